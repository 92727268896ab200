"""What people do with agents, over the API and in the admin: set up, change, give to accounts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypedDict

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext

from accounts import deadlocks
from accounts.activity import SYSTEM, Actor, Verb, record
from accounts.models import Tenant
from whatsapp.fetching import CannotFetch
from whatsapp.models import Account, AgentRule, ChatAgent
from whatsapp.webhooks import signing
from whatsapp.webhooks.delivery import fetcher

Kind = ChatAgent.Kind

LONGEST_URL = 1000
LONGEST_ID = 200
LONGEST_SECRET = 500
MOST_KEYWORDS = 50  # of a rule
COLUMNS = ("name", "enabled", "apology", "timeout_seconds", "answers_per_hour", "idle_minutes")
# What only agents of one kind have.
ONLY_OF = {
    "url": Kind.WEBHOOK,
    "agent_id": Kind.RETELL,
    "api_key": Kind.RETELL,
    "fallback": Kind.RULES,
    "rules": Kind.RULES,
}


class BadAgent(ValueError):
    """`field` is what to change, named as in `Given`; `code` a stable word."""

    def __init__(self, field: str, code: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.code = code


class GivenRule(TypedDict):
    keywords: list[str]
    language: str
    answer: str


class Given(TypedDict, total=False):
    """What is not named stays; of a new agent it is what the model's default is."""

    name: str
    kind: str
    enabled: bool
    apology: dict[str, str]
    timeout_seconds: int
    answers_per_hour: int
    idle_minutes: int
    url: str
    agent_id: str
    api_key: str
    fallback: dict[str, str]
    rules: list[GivenRule]  # in the order in which they are tried
    accounts: Sequence[Account]  # of the company: these have the agent, and no others


# ------------------------------------------------------------------------- what a kind takes


def check(
    agent: ChatAgent, *, kind: str, url: str = "", agent_id: str = "", secret: str = ""
) -> list[BadAgent]:
    """What keeps `agent` from becoming this, as far as can be seen without calling anybody.

    `agent` is as it is stored. Its secret stays when none is given, but within its kind only:
    Retell's key signs no calls to others, and what those are signed with is not for Retell.
    """
    found = []
    if kind == Kind.WEBHOOK:
        try:
            fetcher().check(url)
        except CannotFetch as error:
            found.append(BadAgent("url", error.code, str(error)))
    if kind == Kind.RETELL and not agent_id:
        found.append(
            BadAgent("agent_id", "required", gettext("Say which of Retell’s agents it is."))
        )
    if kind in {Kind.WEBHOOK, Kind.RETELL} and not (has_secret(agent, kind) or _raw(kind, secret)):
        found.append(BadAgent("secret", "required", gettext("This kind of agent needs a secret.")))
    return found


def has_secret(agent: ChatAgent, kind: str) -> bool:
    """Whether the stored secret of `agent` is one for `kind`."""
    return bool(agent.sealed_secret) and agent.kind == kind


def equip(
    agent: ChatAgent,
    *,
    kind: str,
    url: str = "",
    agent_id: str = "",
    fallback: dict[str, str] | None = None,
    secret: str = "",
) -> None:
    """Make `agent` what `check` let through; the caller saves it."""
    by_kind: dict[str, dict[str, Any]] = {
        Kind.WEBHOOK: {"url": url},
        Kind.RETELL: {"agent_id": agent_id},
        Kind.RULES: {"fallback": fallback},
    }
    agent.kind = kind
    agent.config = {name: value for name, value in by_kind[kind].items() if value}
    if raw := _raw(kind, secret):
        agent.seal_secret(raw)
    elif kind == Kind.RULES:
        agent.sealed_secret = b""


def _raw(kind: str, secret: str) -> bytes:
    return signing.read(secret) if kind == Kind.WEBHOOK else secret.encode()


# ------------------------------------------------------------------------- over the API


def create(
    *, tenant: Tenant, given: Given, actor: Actor = SYSTEM, now: datetime
) -> tuple[ChatAgent, str]:
    """Make an agent; returns it with its webhook's secret, shown this once. Raises `BadAgent`."""
    agent = ChatAgent(tenant=tenant)
    with transaction.atomic():
        shown = _apply(agent, given)
        record(tenant_id=tenant.pk, verb=Verb.CREATED, actor=actor, subject=agent, now=now)
    return agent, shown


def change(agent: ChatAgent, given: Given, *, actor: Actor = SYSTEM, now: datetime) -> str:
    """Change what is named; returns a secret if it has become a webhook, otherwise nothing.

    Raises `BadAgent`.
    """
    with transaction.atomic():
        current = ChatAgent.objects.select_for_update(no_key=True).get(pk=agent.pk)
        shown = _apply(current, given)
        record(
            tenant_id=agent.tenant_id,
            verb=Verb.CHANGED,
            actor=actor,
            subject=current,
            detail={"fields": sorted(given)},
            now=now,
        )
    agent.refresh_from_db()
    return shown


def rotate(agent: ChatAgent, *, actor: Actor = SYSTEM, now: datetime) -> str:
    """Give a webhook a new secret, shown this once; calls carry it at once. Raises `BadAgent`."""
    secret = signing.shown(signing.new_secret())
    with transaction.atomic():
        current = ChatAgent.objects.select_for_update(no_key=True).get(pk=agent.pk)
        if current.kind != Kind.WEBHOOK:
            raise BadAgent("kind", "other_kind", _only(Kind.WEBHOOK))
        equip(current, kind=Kind.WEBHOOK, url=current.config.get("url", ""), secret=secret)
        current.save(update_fields=["sealed_secret"])
        record(
            tenant_id=agent.tenant_id,
            verb=Verb.WEBHOOK_SECRET_ROTATED,
            actor=actor,
            subject=current,
            now=now,
        )
    return secret


@deadlocks.retried
def delete(agent: ChatAgent, *, actor: Actor = SYSTEM, now: datetime) -> None:
    """Its accounts have no agent then; its conversations and what it was asked go with it."""
    with transaction.atomic():
        # Whoever writes a turn of it down at this moment holds the row: see turns.py.
        locked = ChatAgent.objects.select_for_update().filter(pk=agent.pk).first()
        if locked is None:
            return
        record(tenant_id=agent.tenant_id, verb=Verb.DELETED, actor=actor, subject=locked, now=now)
        locked.delete()


def _apply(agent: ChatAgent, given: Given) -> str:
    kind = given.get("kind", agent.kind)
    for field, of in ONLY_OF.items():
        if given.get(field) and kind != of:
            raise BadAgent(field, "other_kind", _only(of))
    secret = given.get("api_key", "")
    shown = ""
    if kind == Kind.WEBHOOK and not has_secret(agent, kind):
        secret = shown = signing.shown(signing.new_secret())
    config = agent.config
    wanted: dict[str, Any] = {
        "kind": kind,
        "url": given.get("url", config.get("url", "")),
        "agent_id": given.get("agent_id", config.get("agent_id", "")),
        "secret": secret,
    }
    for problem in check(agent, **wanted):
        field = "api_key" if problem.field == "secret" else problem.field
        raise BadAgent(field, problem.code, str(problem))
    equip(agent, **wanted, fallback=given.get("fallback", config.get("fallback")))
    for name in COLUMNS:
        if name in given:
            setattr(agent, name, given[name])  # type: ignore[literal-required]  # of COLUMNS
    _clean(agent)
    try:
        with transaction.atomic():
            agent.save()
    except IntegrityError as error:
        raise BadAgent("name", "taken", gettext("Another agent has this name.")) from error
    if "rules" in given:
        _set_rules(agent, given["rules"])
    if "accounts" in given:
        chosen = [account.pk for account in given["accounts"]]
        agent.accounts.exclude(pk__in=chosen).update(agent=None)
        Account.objects.filter(tenant=agent.tenant_id, pk__in=chosen).update(agent=agent)
    return shown


def _set_rules(agent: ChatAgent, rules: Sequence[GivenRule]) -> None:
    rows = [
        AgentRule(agent=agent, position=position, **rule) for position, rule in enumerate(rules)
    ]
    for position, row in enumerate(rows):
        _clean(row, prefix=f"rules[{position}].")
    agent.rules.all().delete()
    AgentRule.objects.bulk_create(rows)


def _clean(row: ChatAgent | AgentRule, *, prefix: str = "") -> None:
    try:
        row.clean_fields(exclude={"tenant", "agent", "config"})
    except ValidationError as error:
        field, [first, *_] = next(iter(error.error_dict.items()))
        raise BadAgent(prefix + field, first.code or "invalid", first.messages[0]) from error


def _only(kind: Kind) -> str:
    return gettext("Only agents of the kind “%(kind)s” have this.") % {"kind": kind.value}
