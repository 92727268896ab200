"""`/api/whatsapp/accounts|groups|messages|stats`: the routes that marketing's tools know."""

from django.urls import path

from whatsapp.api import marketing, stats

urlpatterns = [
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
