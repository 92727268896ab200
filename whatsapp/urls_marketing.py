"""`/api/whatsapp/accounts|groups|messages|stats`: the routes that marketing's tools know."""

from django.urls import path

from whatsapp.api import groups, marketing, marketing_accounts, stats

_ACCOUNT = "accounts/<int:pk>"
urlpatterns = [
    path("accounts", marketing_accounts.MarketingAccountsView.as_view(), name="marketing-accounts"),
    path(_ACCOUNT, marketing_accounts.MarketingAccountView.as_view(), name="marketing-account"),
    path(
        f"{_ACCOUNT}/initialize",
        marketing_accounts.MarketingInitializeView.as_view(),
        name="marketing-initialize",
    ),
    path(f"{_ACCOUNT}/qr", marketing_accounts.MarketingQrView.as_view(), name="marketing-qr"),
    path(
        f"{_ACCOUNT}/disconnect",
        marketing_accounts.MarketingDisconnectView.as_view(),
        name="marketing-disconnect",
    ),
    path("groups", groups.MarketingGroupsView.as_view(), name="marketing-groups"),
    path("groups/<int:pk>", groups.MarketingGroupView.as_view(), name="marketing-group"),
    path(
        "groups/<int:pk>/scrape-contacts",
        groups.MarketingGroupScrapeView.as_view(),
        name="marketing-group-scrape",
    ),
    path(
        f"{_ACCOUNT}/groups/discover",
        groups.MarketingGroupDiscoveryView.as_view(),
        name="marketing-groups-discover",
    ),
    path("messages", marketing.MarketingMessagesView.as_view(), name="marketing-messages"),
    path(
        "messages/<uuid:public_id>",
        marketing.MarketingMessageView.as_view(),
        name="marketing-message",
    ),
    path(
        "messages/<uuid:public_id>/retry",
        marketing.MarketingMessageRetryView.as_view(),
        name="marketing-message-retry",
    ),
    path("stats", stats.StatsTotalsView.as_view(), name="marketing-stats"),
]
