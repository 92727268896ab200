"""`/api/whatsapp/accounts|groups|messages|stats`: the routes that marketing's tools know."""

from django.urls import path

from whatsapp.api import marketing, stats

_ACCOUNT = "accounts/<int:pk>"
urlpatterns = [
    path("accounts", marketing.MarketingAccountsView.as_view(), name="marketing-accounts"),
    path(_ACCOUNT, marketing.MarketingAccountView.as_view(), name="marketing-account"),
    path(
        f"{_ACCOUNT}/initialize",
        marketing.MarketingInitializeView.as_view(),
        name="marketing-initialize",
    ),
    path(f"{_ACCOUNT}/qr", marketing.MarketingQrView.as_view(), name="marketing-qr"),
    path(
        f"{_ACCOUNT}/disconnect",
        marketing.MarketingDisconnectView.as_view(),
        name="marketing-disconnect",
    ),
    path("stats", stats.StatsTotalsView.as_view(), name="marketing-stats"),
]
