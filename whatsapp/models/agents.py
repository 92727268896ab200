"""Agents that answer chats, and what became of each message they were asked about."""

from __future__ import annotations

import datetime as dt
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts import sealed
from accounts.models import Tenant, validate_texts_by_language
from whatsapp.models.chats import Chat, Incoming
from whatsapp.models.messages import Message

PURPOSE = "chat-agent"


class ChatAgent(models.Model):
    """Something that answers what people write to the accounts it is given to.

    What `config` is depends on the kind: of a webhook ``{"url"}``, of Retell ``{"agent_id"}``, of
    rules ``{"fallback": {"fr": …}}`` beside the `AgentRule` rows. The secret is the key of
    Retell's API, or what calls to the webhook are signed with; rules have none.
    """

    class Kind(models.TextChoices):
        RULES = "rules", _("keyword rules")
        WEBHOOK = "webhook", _("signed webhook")
        RETELL = "retell", _("Retell AI")

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="chat_agents")
    name = models.CharField(max_length=80, help_text=_("Name within the company: reception"))
    kind = models.CharField(max_length=8, choices=Kind, default=Kind.RULES)
    enabled = models.BooleanField(default=True)
    config = models.JSONField(default=dict, blank=True)
    sealed_secret = models.BinaryField(default=b"", editable=False)
    apology = models.JSONField(
        default=dict,
        blank=True,
        validators=[validate_texts_by_language],
        help_text=_(
            "What people get once a conversation when there is no answer, by language; empty: a "
            "text of Relance’s own."
        ),
    )
    timeout_seconds = models.PositiveSmallIntegerField(
        default=15,
        validators=[MinValueValidator(1), MaxValueValidator(60)],
        help_text=_("How long an answer may take."),
    )
    answers_per_hour = models.PositiveSmallIntegerField(
        default=20,
        validators=[MinValueValidator(1)],
        help_text=_("Answers to one contact in an hour: two bots do not talk for ever."),
    )
    idle_minutes = models.PositiveIntegerField(
        default=60,
        validators=[MinValueValidator(1)],
        help_text=_("A conversation ends after so long without a message."),
    )
    failing_since = models.DateTimeField(null=True, blank=True, editable=False)
    alerted_at = models.DateTimeField(null=True, blank=True, editable=False)
    alert_wanted = models.BooleanField(default=False, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("chat agent")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "name"], name="chat_agent_name_per_tenant"),
            models.CheckConstraint(
                condition=Q(kind__in=["rules", "webhook", "retell"]), name="chat_agent_kind_known"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def secret(self) -> bytes:
        return sealed.unseal(bytes(self.sealed_secret), purpose=PURPOSE)

    def seal_secret(self, secret: bytes) -> None:
        self.sealed_secret = sealed.seal(secret, purpose=PURPOSE)

    @property
    def timeout(self) -> dt.timedelta:
        return dt.timedelta(seconds=self.timeout_seconds)

    @property
    def idle(self) -> dt.timedelta:
        return dt.timedelta(minutes=self.idle_minutes)


class AgentRule(models.Model):
    """An answer to whoever writes one of the keywords; the first rule that fits counts."""

    agent = models.ForeignKey(ChatAgent, on_delete=models.CASCADE, related_name="rules")
    position = models.PositiveSmallIntegerField(default=0, help_text=_("Lower is tried first"))
    keywords = ArrayField(
        models.CharField(max_length=80),
        help_text=_("Whole words or phrases, separated by commas. Case and accents count not."),
    )
    language = models.CharField(
        max_length=8, blank=True, help_text=_("For contacts of this language; empty: for all.")
    )
    answer = models.TextField(max_length=4096, help_text=_("{{name}} is the name of whoever asks."))

    class Meta:
        ordering: ClassVar = ["position", "id"]

    def __str__(self) -> str:
        return ", ".join(self.keywords)[:80]


class AgentSession(models.Model):
    """A conversation of an agent with a contact; one at a time in a chat.

    Ends when nobody wrote for `ChatAgent.idle_minutes`, a person takes over, the contact opts
    out, or the account gets another agent.
    """

    class Why(models.TextChoices):
        IDLE = "idle", _("nobody wrote any more")
        TAKEN_OVER = "taken_over", _("a person took over")
        OPTED_OUT = "opted_out", _("said stop")
        AGENT_CHANGED = "agent_changed", _("another agent")
        FINISHED = "finished", _("the agent ended it")

    chat = models.ForeignKey(Chat, on_delete=models.CASCADE, related_name="agent_sessions")
    agent = models.ForeignKey(ChatAgent, on_delete=models.CASCADE, related_name="sessions")
    external_id = models.CharField(
        max_length=200, blank=True, help_text=_("What the agent calls this conversation")
    )
    started_at = models.DateTimeField()
    last_at = models.DateTimeField()
    apologised_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    why = models.CharField(max_length=14, choices=Why, blank=True)
    told_at = models.DateTimeField(
        null=True, blank=True, help_text=_("When the agent was told that it ended")
    )

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["chat"], condition=Q(ended_at=None), name="agent_session_one_open_per_chat"
            )
        ]
        indexes: ClassVar = [
            models.Index(fields=["last_at"], condition=Q(ended_at=None), name="agent_session_open"),
            models.Index(
                fields=["ended_at"],
                condition=Q(told_at=None, ended_at__isnull=False),
                name="agent_session_to_tell",
            ),
        ]

    def __str__(self) -> str:
        return f"session {self.pk}"


class AgentTurn(models.Model):
    """One incoming message that an agent is to answer.

    The way of its state (only agents/intake.py and turns.py write)::

        waiting -> asking -> answered   its answer is queued, or there is deliberately none
                     |----> failed      no answer; `error_code` says why
                     `----> skipped     a person took over, they opted out, a limit was reached

    Whoever asks claims it until `claimed_until`; after that another may. An answer is queued under
    ``agent:<turn>``, so that it is queued once whoever asked.
    """

    class State(models.TextChoices):
        WAITING = "waiting", _("to be asked")
        ASKING = "asking", _("being asked")
        ANSWERED = "answered", _("answered")
        FAILED = "failed", _("no answer")
        SKIPPED = "skipped", _("left alone")

    OPEN: ClassVar = (State.WAITING, State.ASKING)

    incoming = models.OneToOneField(
        Incoming, on_delete=models.CASCADE, primary_key=True, related_name="turn"
    )
    chat = models.ForeignKey(Chat, on_delete=models.CASCADE, related_name="turns")
    agent = models.ForeignKey(ChatAgent, on_delete=models.CASCADE, related_name="turns")
    session = models.ForeignKey(
        AgentSession, on_delete=models.SET_NULL, null=True, blank=True, related_name="turns"
    )
    message = models.ForeignKey(
        Message, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    state = models.CharField(max_length=8, choices=State, default=State.WAITING)
    error_code = models.CharField(max_length=40, blank=True)
    error = models.CharField(max_length=300, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    claimed_until = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()
    asked_at = models.DateTimeField(null=True, blank=True)
    heard_at = models.DateTimeField(
        null=True, blank=True, help_text=_("When the agent had answered or failed")
    )
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(state__in=["waiting", "asking", "answered", "failed", "skipped"]),
                name="agent_turn_state_is_legal",
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["chat"], condition=Q(state__in=["waiting", "asking"]),
                name="agent_turn_open",
            ),
            models.Index(fields=["chat", "-created_at"], name="agent_turn_of_chat"),
            models.Index(fields=["agent", "-created_at"], name="agent_turn_of_agent"),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"turn {self.pk} ({self.get_state_display()})"
