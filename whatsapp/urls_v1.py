from django.urls import path

from whatsapp.api import accounts, chat_agents, chats, contacts, groups, media, pace, webhooks

_CONTACT = "contacts/<int:pk>"

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
    path(
        "accounts/<int:pk>/groups/discover",
        groups.GroupDiscoveryView.as_view(),
        name="groups-discover",
    ),
    path("contacts", contacts.ContactsView.as_view(), name="contacts"),
    path("contacts/import", contacts.ContactsImportView.as_view(), name="contacts-import"),
    path("contacts/export", contacts.ContactsExportView.as_view(), name="contacts-export"),
    path(_CONTACT, contacts.ContactView.as_view(), name="contact"),
    path(_CONTACT + "/basis", contacts.ContactBasisView.as_view(), name="contact-basis"),
    path(
        _CONTACT + "/basis/withdraw",
        contacts.ContactBasisWithdrawView.as_view(),
        name="contact-basis-withdraw",
    ),
    path(_CONTACT + "/opt-out", contacts.ContactOptOutView.as_view(), name="contact-opt-out"),
    path(_CONTACT + "/opt-in", contacts.ContactOptInView.as_view(), name="contact-opt-in"),
    path(_CONTACT + "/consent", contacts.ContactConsentView.as_view(), name="contact-consent"),
    path(_CONTACT + "/timeline", contacts.ContactTimelineView.as_view(), name="contact-timeline"),
    path("groups", groups.GroupsView.as_view(), name="groups"),
    path("groups/<int:pk>", groups.GroupView.as_view(), name="group"),
    path("groups/<int:pk>/members", groups.GroupMembersView.as_view(), name="group-members"),
    path("groups/<int:pk>/scrape-contacts", groups.GroupScrapeView.as_view(), name="group-scrape"),
    path("chats", chats.ChatsView.as_view(), name="chats"),
    path("chats/<int:pk>", chats.ChatView.as_view(), name="chat"),
    path("chats/<int:pk>/messages", chats.ChatMessagesView.as_view(), name="chat-messages"),
    path("chats/<int:pk>/take-over", chats.ChatTakeOverView.as_view(), name="chat-take-over"),
    path("chats/<int:pk>/give-back", chats.ChatGiveBackView.as_view(), name="chat-give-back"),
    path("chats/<int:pk>/read", chats.ChatReadView.as_view(), name="chat-read"),
    path("agents", chat_agents.ChatAgentsView.as_view(), name="chat-agents"),
    path("agents/<int:pk>", chat_agents.ChatAgentView.as_view(), name="chat-agent"),
    path("agents/<int:pk>/secret", chat_agents.ChatAgentSecretView.as_view(), name="agent-secret"),
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
