"""Writing a broadcast: itself and its texts, while it is a draft."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from accounts.activity import SYSTEM, Actor, Verb, record
from accounts.models import Tenant
from campaigns.authoring import Refused, check_language
from campaigns.broadcasts import texts
from campaigns.broadcasts.running import NotPossible
from campaigns.models import Broadcast, BroadcastText, Segment
from whatsapp.models import Account, Media, Message

Kind = Message.Kind


def create(
    *,
    tenant: Tenant,
    name: str,
    segment: Segment | None = None,
    accounts: Sequence[Account] = (),
    default_language: str = "",
    starts_at: datetime | None = None,
    clock: str = Broadcast.Clock.TENANT,
    actor: Actor = SYSTEM,
    now: datetime,
) -> Broadcast:
    """A new draft without a text. Raises `Refused`."""
    broadcast = Broadcast(
        tenant=tenant,
        name=name,
        segment=segment,
        default_language=default_language or tenant.default_language,
        starts_at=starts_at,
        clock=clock,
    )
    _check(broadcast, accounts, now=now)
    with transaction.atomic():
        _save(broadcast)
        broadcast.accounts.set(accounts)
        _record(broadcast, Verb.BROADCAST_CREATED, actor, now)
    return broadcast


def change(
    broadcast: Broadcast,
    *,
    accounts: Sequence[Account] | None = None,
    actor: Actor = SYSTEM,
    now: datetime,
    **wishes: Any,
) -> None:
    """Change what is given: `name`, `segment`, `default_language`, `starts_at`, `clock`.

    Raises `Refused`, and `NotPossible` once it is no draft any more.
    """
    with transaction.atomic():
        current = _locked(broadcast)
        changed = [name for name, value in wishes.items() if value != getattr(current, name)]
        for name in changed:
            setattr(current, name, wishes[name])
        if "starts_at" not in changed:
            _check(current, accounts or (), now=now, time=False)
        else:
            _check(current, accounts or (), now=now)
        _save(current, *changed)
        if accounts is not None and set(accounts) != set(current.accounts.all()):
            current.accounts.set(accounts)
            changed.append("accounts")
        if changed:
            _record(current, Verb.CHANGED, actor, now, fields=changed)
    broadcast.refresh_from_db()


def write_text(
    broadcast: Broadcast,
    *,
    language: str,
    body: str,
    media: Media | None = None,
    kind: str = "",
    content: dict[str, Any] | None = None,
    actor: Actor = SYSTEM,
    now: datetime,
) -> BroadcastText:
    """What it says in one language; `kind`, `content` and `media` as of a message.

    Raises `Refused` and `NotPossible`.
    """
    check_language("language", language)
    what = kind or (Kind.MEDIA if media else Kind.TEXT)
    if wrong := texts.problem(what, body, broadcast.tenant):
        raise Refused("text", "template", wrong)
    with transaction.atomic():
        current = _locked(broadcast)
        text, _made = BroadcastText.objects.update_or_create(
            broadcast=current,
            language=language,
            defaults={"body": body, "media": media, "kind": what, "content": content or {}},
        )
        _record(current, Verb.TEMPLATE_CHANGED, actor, now, language=language)
    return text


def remove_text(text: BroadcastText, *, actor: Actor = SYSTEM, now: datetime) -> None:
    """Raises `NotPossible`."""
    with transaction.atomic():
        current = _locked(text.broadcast)
        _record(current, Verb.TEMPLATE_CHANGED, actor, now, language=text.language)
        text.delete()


def remove(broadcast: Broadcast, *, actor: Actor = SYSTEM, now: datetime) -> None:
    """Delete a draft. Raises `NotPossible`: what was begun has a history."""
    with transaction.atomic():
        current = _locked(broadcast)
        _record(current, Verb.DELETED, actor, now)
        current.delete()


def _check(
    broadcast: Broadcast, accounts: Sequence[Account], *, now: datetime, time: bool = True
) -> None:
    check_language("defaultLanguage", broadcast.default_language)
    tenant = broadcast.tenant_id
    if broadcast.segment is not None and broadcast.segment.tenant_id != tenant:
        raise Refused("segment", "unknown", _("you have no such segment"))
    if any(account.tenant_id != tenant for account in accounts):
        raise Refused("accounts", "unknown", _("you have no such account"))
    if time and broadcast.starts_at is not None and broadcast.starts_at < now:
        raise Refused("startsAt", "past", _("this time has passed: choose a later one"))


def _locked(broadcast: Broadcast) -> Broadcast:
    current = (
        Broadcast.objects.select_for_update(of=("self",))
        .select_related("tenant", "segment")
        .get(pk=broadcast.pk)
    )
    if current.state != Broadcast.State.DRAFT:
        text = _("this broadcast is %s: only a draft can be changed")
        raise NotPossible(text % current.get_state_display())
    return current


def _save(broadcast: Broadcast, *fields: str) -> None:
    try:
        with transaction.atomic():
            if broadcast._state.adding:
                broadcast.save()
            elif fields:
                broadcast.save(update_fields=fields)
    except IntegrityError as error:
        text = _("there is a broadcast named “%s” already") % broadcast.name
        raise Refused("name", "taken", text) from error


def _record(
    broadcast: Broadcast, verb: Verb, actor: Actor, now: datetime, **detail: str | list[str]
) -> None:
    record(
        tenant_id=broadcast.tenant_id,
        verb=verb,
        actor=actor,
        subject=broadcast,
        detail=detail,
        now=now,
    )
