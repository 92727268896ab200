from django.urls import path

from whatsapp.api import accounts, media, pace, webhooks

urlpatterns = [
    path("media", media.MediaUploadView.as_view(), name="media"),
    path("accounts", accounts.AccountsView.as_view(), name="accounts"),
    path("accounts/<int:pk>", accounts.AccountView.as_view(), name="account"),
    path("accounts/<int:pk>/status", accounts.AccountStatusView.as_view(), name="status"),
    path("accounts/<int:pk>/connect", accounts.AccountConnectView.as_view(), name="connect"),
    path("accounts/<int:pk>/qr", accounts.AccountQrView.as_view(), name="qr"),
    path("accounts/<int:pk>/qr.png", accounts.AccountQrImageView.as_view(), name="qr-image"),
    path(
        "accounts/<int:pk>/disconnect", accounts.AccountDisconnectView.as_view(), name="disconnect"
    ),
    path("accounts/<int:pk>/pause", accounts.AccountPauseView.as_view(), name="pause"),
    path("accounts/<int:pk>/resume", accounts.AccountResumeView.as_view(), name="resume"),
    path("accounts/<int:pk>/limits", accounts.AccountLimitsView.as_view(), name="limits"),
    path("accounts/<int:pk>/pace", pace.AccountPaceView.as_view(), name="pace"),
    path("accounts/<int:pk>/health", pace.AccountHealthView.as_view(), name="health"),
    path("accounts/<int:pk>/holds", pace.AccountHoldsView.as_view(), name="holds"),
    path("accounts/<int:pk>/usage", accounts.AccountUsageView.as_view(), name="usage"),
    path("webhooks", webhooks.WebhooksView.as_view(), name="webhooks"),
    path("webhooks/<int:pk>", webhooks.WebhookView.as_view(), name="webhook"),
    path("webhooks/<int:pk>/secret", webhooks.WebhookSecretView.as_view(), name="webhook-secret"),
    path("webhooks/<int:pk>/test", webhooks.WebhookTestView.as_view(), name="webhook-test"),
    path(
        "webhooks/<int:pk>/deliveries",
        webhooks.WebhookDeliveriesView.as_view(),
        name="webhook-deliveries",
    ),
    path("webhooks/<int:pk>/replay", webhooks.WebhookReplayView.as_view(), name="webhook-replay"),
]
