"""How an account fares, on its page: its score with what took points off, and a week of it."""

from __future__ import annotations

import datetime as dt
from datetime import datetime

from django.utils.formats import date_format
from django.utils.translation import gettext as _

from accounts.plots import COLOURS, Plot
from accounts.wording import when
from whatsapp import pace, reasons
from whatsapp.models import Account

DAYS = 7
POINTS = 84  # drawn at most: one for two hours of a week


def plot(account: Account, *, now: datetime) -> Plot:
    """Its score and its share of the limit, over a week. One query."""
    samples = list(
        account.health_samples.filter(at__gt=now - dt.timedelta(days=DAYS))
        .order_by("at")
        .values_list("at", "score", "share")
    )
    every = -(-len(samples) // POINTS) or 1
    zone = account.tenant.zone
    shown = [*samples[:-1:every], *samples[-1:]]
    return Plot(
        name="health",
        title=_("Health"),
        summary=summary(account, now=now),
        kind="line",
        headers=[_("Time"), _("score"), _("share of the limit")],
        rows=[
            [date_format(at.astimezone(zone), "j M H:i"), score, share]
            for at, score, share in shown
        ],
        colours=[COLOURS["good"], COLOURS["sent"]],
        most=100,
    )


def summary(account: Account, *, now: datetime) -> str:
    """One sentence."""
    if account.health_score is None:
        return _("Too little has happened to say how healthy this account is.")
    points = {"score": account.health_score}
    if not account.health_reason or pace.tone(account) == "good":
        return _("%(score)d of 100.") % points
    said = _("%(score)d of 100: %(reason)s.") % {
        **points,
        "reason": reasons.of_health(account.health_reason),
    }
    if account.health_at is None or now - account.health_at < dt.timedelta(hours=2):
        return said
    measured = when(account.health_at, now=now, zone=account.tenant.zone)
    return said + " " + _("Measured %(when)s.") % {"when": measured}
