"""The words of the activity log: who can act, and what can be done."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _


class ActorKind(models.TextChoices):
    USER = "user", _("person")
    API_KEY = "api_key", _("API key")
    SERVICE = "service", _("other system")
    SYSTEM = "system", _("Relance")


class Verb(models.TextChoices):
    """What was done; the stored word is part of the API and never renamed."""

    # people and keys
    LOGGED_IN = "logged_in", _("logged in")
    LOGIN_FAILED = "login_failed", _("could not log in")
    LOGGED_OUT = "logged_out", _("logged out")
    PASSWORD_CHANGED = "password_changed", _("password changed")
    TOKEN_REUSED = "token_reused", _("used refresh token came back: logged out everywhere")
    API_KEY_ISSUED = "api_key_issued", _("API key issued")
    API_KEY_REVOKED = "api_key_revoked", _("API key revoked")
    SERVICE_KEY_ISSUED = "service_key_issued", _("service key issued")
    PERSON_EXPORTED = "person_exported", _("person's data exported")
    PERSON_DELETED = "person_deleted", _("person's data deleted")
    # WhatsApp accounts
    ACCOUNT_CREATED = "account_created", _("account created")
    LINK_REQUESTED = "link_requested", _("QR code asked for")
    QR_SHOWN = "qr_shown", _("QR code shown")
    LINK_ABANDONED = "link_abandoned", _("QR code not scanned")
    CONNECTED = "connected", _("connected")
    RECONNECTING = "reconnecting", _("reconnecting")
    CONFLICT = "conflict", _("opened somewhere else")
    DISCONNECTED = "disconnected", _("disconnected")
    LOGGED_OUT_FROM_PHONE = "logged_out_from_phone", _("logged out from the phone")
    ACCOUNT_PAUSED = "account_paused", _("sending paused")
    ACCOUNT_RESUMED = "account_resumed", _("sending resumed")
    LIMITS_CHANGED = "limits_changed", _("limits changed")
    NEW_CHATS_HELD = "new_chats_held", _("new chats refused by WhatsApp")
    HEALTH_PAUSED = "health_paused", _("stopped sending for its health")
    HEALTH_STEPPED = "health_stepped", _("sends more again")
    HOLDS_LIFTED = "holds_lifted", _("holds lifted")
    # messages
    MESSAGE_QUEUED = "message_queued", _("message queued")
    MESSAGE_MOVED = "message_moved", _("message moved to another time")
    SENT = "sent", _("message sent")
    FAILED = "failed", _("message failed")
    UNCERTAIN = "uncertain", _("message uncertain")
    CANCELLED = "cancelled", _("message cancelled")
    RETRIED = "retried", _("message tried again")
    SETTLED = "settled", _("uncertain message settled")
    OPTED_OUT = "opted_out", _("said stop")
    OPTED_IN = "opted_in", _("said start")
    # conversations
    INCOMING_NOT_STORED = "incoming_not_stored", _("message that came in could not be stored")
    CHAT_TAKEN_OVER = "chat_taken_over", _("chat taken over")
    CHAT_GIVEN_BACK = "chat_given_back", _("chat given back")
    AGENT_FAILED = "agent_failed", _("chat agent does not answer")
    AGENT_RECOVERED = "agent_recovered", _("chat agent answers again")
    AGENT_SILENCED = "agent_silenced", _("chat agent keeps silent: too many messages")
    # webhooks
    WEBHOOK_SECRET_ROTATED = "webhook_secret_rotated", _("webhook secret rotated")
    WEBHOOK_REPLAYED = "webhook_replayed", _("webhook events sent again")
    WEBHOOK_SWITCHED_OFF = "webhook_switched_off", _("webhook switched off: it failed for days")
    # contacts and groups
    BASIS_RECORDED = "basis_recorded", _("lawful basis recorded")
    BASIS_WITHDRAWN = "basis_withdrawn", _("lawful basis withdrawn")
    CONTACTS_MERGED = "contacts_merged", _("two contacts found to be one person")
    CONTACTS_IMPORTED = "contacts_imported", _("contacts imported")
    CONTACTS_EXPORTED = "contacts_exported", _("contacts exported")
    DISCOVERY_REQUESTED = "discovery_requested", _("groups asked for")
    GROUPS_DISCOVERED = "groups_discovered", _("groups discovered")
    MEMBERS_REQUESTED = "members_requested", _("members of a group asked for")
    MEMBERS_SCRAPED = "members_scraped", _("members of a group taken over")
    # following up
    REFERRALS_IMPORTED = "referrals_imported", _("referrals imported")
    ENROLLED = "enrolled", _("referrals enrolled")
    ENROLMENT_PAUSED = "enrolment_paused", _("enrolment paused")
    ENROLMENT_RESUMED = "enrolment_resumed", _("enrolment resumed")
    TARGET_PAUSED = "target_paused", _("follow-up paused")
    TARGET_RESUMED = "target_resumed", _("follow-up resumed")
    EXITED = "exited", _("left the sequence")
    COMPLETED = "completed", _("sequence completed")
    # what is said
    TEMPLATE_CHANGED = "template_changed", _("template changed")
    STEP_CHANGED = "step_changed", _("step changed")
    CAMPAIGN_CREATED = "campaign_created", _("campaign created")
    CAMPAIGN_ACTIVATED = "campaign_activated", _("campaign activated")
    CAMPAIGN_PAUSED = "campaign_paused", _("campaign paused")
    BROADCAST_CREATED = "broadcast_created", _("broadcast created")
    BROADCAST_SCHEDULED = "broadcast_scheduled", _("broadcast scheduled")
    BROADCAST_WITHDRAWN = "broadcast_withdrawn", _("broadcast withdrawn from its schedule")
    BROADCAST_STARTED = "broadcast_started", _("broadcast started")
    BROADCAST_PAUSED = "broadcast_paused", _("broadcast paused")
    BROADCAST_RESUMED = "broadcast_resumed", _("broadcast resumed")
    BROADCAST_CANCELLED = "broadcast_cancelled", _("broadcast cancelled")
    BROADCAST_DONE = "broadcast_done", _("broadcast done")
    # whatever else people edit; the subject says what
    CREATED = "created", _("created")
    CHANGED = "changed", _("changed")
    DELETED = "deleted", _("deleted")


def verbs() -> list[tuple[str, Any]]:
    """Choices by a function, so that a new word needs no migration."""
    return list(Verb.choices)
