"""How the API is described: for drf-spectacular, which writes docs/openapi.yaml."""

from __future__ import annotations

from typing import Any

DESCRIPTION: dict[str, Any] = {
    "TITLE": "Relance",
    "DESCRIPTION": "Follows up unpaid referrals over WhatsApp.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "accounts.schema.describe",
    ],
    "ENUM_NAME_OVERRIDES": {
        "AccountStatus": "whatsapp.models.Account.Status",
        "MediaKind": "whatsapp.models.Media.Kind",
        "MessageKind": "whatsapp.models.Message.Kind",
        "MessageState": "whatsapp.models.Message.State",
        "TargetState": "campaigns.models.Target.State",
        "BroadcastState": "campaigns.models.Broadcast.State",
        "RecipientState": "campaigns.models.Recipient.State",
        "TargetHold": "campaigns.models.Target.Hold",
        "Role": "accounts.models.Membership.Role",
        "ActorKind": "accounts.verbs.ActorKind",
        "Verb": "accounts.verbs.Verb",
        "WebhookEventType": "whatsapp.models.WebhookEndpoint.Event",
        "ChatAgentKind": "whatsapp.models.ChatAgent.Kind",
        "AgentStatus": ["pending", "connected", "disconnected"],
    },
}
