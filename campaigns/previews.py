"""What somebody would read: a text of a campaign, rendered for one referral."""

from __future__ import annotations

from datetime import datetime

from campaigns import content, rendering, texts
from campaigns.content import Due
from campaigns.models import Campaign, Referral, Referrer


def sample(campaign: Campaign, *, now: datetime) -> Referral:
    """Whom a preview is for unless somebody is chosen: the newest referral, or one made up."""
    found = (
        Referral.objects.filter(tenant=campaign.tenant_id)
        .select_related("tenant", "referrer__account__tenant")
        .order_by("-id")
        .first()
    )
    return found or Referral(
        tenant=campaign.tenant,
        external_id="ref-0001",
        name="Chloé Camara",
        registered_at=now,
        referrer=Referrer(tenant=campaign.tenant, name="Amina"),
    )


def preview(body: str, campaign: Campaign, referral: Referral, now: datetime) -> tuple[str, str]:
    """What `referral` would read, or an empty string and what is wrong."""
    if not body.strip():
        return "", ""
    if problem := texts.problem(body, campaign):
        return "", problem
    due = Due.of(referral, campaign_id=campaign.pk, now=now)
    try:
        return rendering.render(body, content.values(due, campaign.tenant)), ""
    except rendering.TemplateError as error:
        return "", str(error)
