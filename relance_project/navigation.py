"""The admin's frame; in its sidebar what people do every day comes first, the machinery last."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse, reverse_lazy
from django.utils.translation import gettext_lazy as _


def _link(title: Any, model: str, icon: str, **more: Any) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse_lazy(f"admin:{model}_changelist"), **more}


def _superuser(request: HttpRequest) -> bool:
    return bool(request.user.is_superuser)


def _campaigns(request: HttpRequest) -> bool:
    """Whether to mark them: the calendar is below their address, with a line of its own."""
    here = request.path
    return here.startswith(reverse("admin:campaigns_campaign_changelist")) and not here.startswith(
        reverse("admin:campaigns_calendar")
    )


SIDEBAR: list[dict[str, Any]] = [
    {
        "title": _("Overview"),
        "items": [
            {"title": _("Today"), "icon": "monitoring", "link": reverse_lazy("admin:index")},
            {
                "title": _("Calendar"),
                "icon": "calendar_month",
                "link": reverse_lazy("admin:campaigns_calendar"),
            },
            _link(_("Activity"), "accounts_activity", "history"),
        ],
    },
    {
        "title": _("Following up"),
        "items": [
            _link(_("Campaigns"), "campaigns_campaign", "campaign", active=_campaigns),
            _link(_("Broadcasts"), "campaigns_broadcast", "cell_tower"),
            _link(_("Segments"), "campaigns_segment", "filter_alt"),
            _link(_("Targets"), "campaigns_target", "track_changes"),
            _link(_("Referrals"), "campaigns_referral", "group_add"),
            _link(_("Referrers"), "campaigns_referrer", "person"),
            _link(_("Payments"), "campaigns_payment", "payments"),
        ],
    },
    {
        "title": "WhatsApp",
        "items": [
            _link(_("Accounts"), "whatsapp_account", "smartphone"),
            _link(_("Conversations"), "whatsapp_chat", "forum"),
            _link(_("Messages"), "whatsapp_message", "send"),
            _link(_("Incoming"), "whatsapp_incoming", "inbox"),
            _link(_("Contacts"), "whatsapp_contact", "contacts"),
            _link(_("Groups"), "whatsapp_group", "groups"),
            _link(_("Chat agents"), "whatsapp_chatagent", "smart_toy"),
            _link(_("Agents’ log"), "whatsapp_agentturn", "quickreply"),
            _link(_("Media"), "whatsapp_media", "image"),
            _link(_("Usage"), "whatsapp_usage", "bar_chart"),
            _link(_("Leases"), "whatsapp_lease", "lock_clock"),
        ],
    },
    {
        "title": _("People"),
        "collapsible": True,
        "items": [
            _link(_("Companies"), "accounts_tenant", "domain"),
            _link(_("Members"), "accounts_membership", "groups"),
            _link(_("Users"), "accounts_user", "manage_accounts", permission=_superuser),
            _link(_("API keys"), "accounts_apikey", "vpn_key"),
            _link(_("Service keys"), "accounts_servicekey", "key"),
            _link(_("Webhooks"), "whatsapp_webhookendpoint", "webhook"),
            _link(_("Webhook log"), "whatsapp_webhookdelivery", "receipt_long"),
        ],
    },
    {
        "title": _("Machinery"),
        "collapsible": True,
        "items": [
            _link(
                _("Schedules"), "django_celery_beat_periodictask", "schedule", permission=_superuser
            ),
        ],
    },
]

UNFOLD = {
    "SITE_TITLE": "Relance",
    "SITE_HEADER": "Relance",
    "SITE_URL": None,
    "SHOW_HISTORY": True,
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "type": "image/svg+xml",
            "href": lambda request: static("referrer/icon.svg"),  # noqa: ARG005
        }
    ],
    "SHOW_LANGUAGES": True,
    "DASHBOARD_CALLBACK": "campaigns.admin.dashboard.dashboard",
    "STYLES": [lambda request: static("relance/console.css")],  # noqa: ARG005
    "SIDEBAR": {
        "show_search": True,
        "show_all_applications": False,
        "navigation": SIDEBAR,
    },
}
