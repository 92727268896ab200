"""Linking an account by QR code, and undoing it: what people ask for, what workers answer.

A request is a state in PostgreSQL plus a doorbell. The code itself is short-lived and lives in
Redis: published by the worker that shows the page, read by whoever shows it to a person.
"""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar

import qrcode
import redis
import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts import activity
from accounts.activity import SYSTEM, Actor, Verb
from accounts.models import Activity
from whatsapp import doorbells, leases, limits, numbers
from whatsapp.driver.base import Me, QrCode, storable
from whatsapp.leases import Held
from whatsapp.models import Account
from whatsapp.signals import account_changed, sending_resumed

log = structlog.get_logger(__name__)

T = TypeVar("T")

Status = Account.Status
# What a change of status is called in the activity log; what people asked for is recorded there.
VERBS = {
    Status.CONNECTED: Verb.CONNECTED,
    Status.RECONNECTING: Verb.RECONNECTING,
    Status.DISCONNECTED: Verb.DISCONNECTED,
    Status.LOGGED_OUT: Verb.LOGGED_OUT_FROM_PHONE,
    Status.CONFLICT: Verb.CONFLICT,
}


@dataclass(frozen=True, slots=True)
class PublishedQr:
    """A code to scan: its text, and a PNG of it. `expires_at` is when the attempt ends."""

    text: str
    png: bytes
    seq: int
    published_at: datetime
    expires_at: datetime

    @property
    def data_url(self) -> str:
        return "data:image/png;base64," + base64.b64encode(self.png).decode()


def key(account_id: int) -> str:
    return f"{settings.REDIS_PREFIX}qr:{account_id}"


def attempt_ends(account: Account) -> datetime | None:
    """When the running attempt to link ends, None when there is none."""
    if account.status != Status.PENDING or account.link_requested_at is None:
        return None
    return account.link_requested_at + timedelta(seconds=settings.WHATSAPP_LINK_SECONDS)


def request(account: Account, *, phone: str = "", actor: Actor = SYSTEM, now: datetime) -> bool:
    """Ask for a QR code, and with a `phone` (E.164) for a code to type in on it beside that.

    False when the account is linked or an attempt is running already; that one gets the `phone`.
    """
    over = now - timedelta(seconds=settings.WHATSAPP_LINK_SECONDS)
    with transaction.atomic():
        asked = (
            Account.objects.filter(pk=account.pk, logout_requested_at=None)
            .exclude(status__in=Account.LINKED_STATUSES)
            .filter(~Q(status=Status.PENDING) | Q(link_requested_at__lte=over))
            .update(
                status=Status.PENDING,
                status_reason="",
                status_changed_at=now,
                link_requested_at=now,
                link_phone=phone,
            )
        )
        if phone and not asked:
            Account.objects.filter(pk=account.pk, status=Status.PENDING).update(link_phone=phone)
        if asked:
            old = account.status
            account.refresh_from_db()
            account_changed.send(sender=Account, account=account, old_status=old, now=now)
            _record(account, Verb.LINK_REQUESTED, actor=actor, now=now)
            # Before anybody can see the attempt: afterwards it could be its own code.
            forget_qr(account.pk)
        doorbells.ring_on_commit([account.pk])
    return bool(asked)


def _record(
    account: Account, verb: Verb, *, actor: Actor = SYSTEM, now: datetime, **detail: str
) -> None:
    activity.record(
        tenant_id=account.tenant_id,
        verb=verb,
        actor=actor,
        subject=account,
        detail=detail,
        now=now,
    )


def change_status(
    account_id: int,
    *,
    to: str,
    when: tuple[str, ...],
    now: datetime,
    reason: str = "",
    held: Held | None = None,
    **fields: Any,
) -> bool:
    """Change the status of an account if it is one of `when`; False when it is not.

    Workers give `held`: one that lost the account says nothing about it any more.
    """
    with transaction.atomic():
        if held is not None and not leases.is_ours(held):
            return False
        account = (
            Account.objects.select_for_update(of=("self",), no_key=True)
            .select_related("tenant")
            .filter(pk=account_id, status__in=when)
            .first()
        )
        if account is None:
            return False
        old = account.status
        account.status = Status(to)
        account.status_reason = reason[:200]
        account.status_changed_at = now
        account.last_checked_at = now
        for name, value in fields.items():
            setattr(account, name, value)
        account.save(
            update_fields=[
                "status",
                "status_reason",
                "status_changed_at",
                "last_checked_at",
                *fields,
            ]
        )
        account_changed.send(sender=Account, account=account, old_status=old, now=now)
        if old != to and account.status in VERBS:
            abandoned = (old, to) == (Status.PENDING, Status.DISCONNECTED)
            verb = Verb.LINK_ABANDONED if abandoned else VERBS[account.status]
            _record(account, verb, now=now, was=old, reason=account.status_reason)
    return True


def linked(account_id: int, me: Me, *, now: datetime, held: Held) -> bool:
    """The page is logged in as `me`: after a scan, or restored. False when it may not be.

    Refused when the phone is linked to another account already, whose limits it would share.
    """
    taken = (
        Account.objects.filter(
            phone=me.phone, status__in=[Status.CONNECTED, Status.RECONNECTING, Status.CONFLICT]
        )
        .exclude(pk=account_id)
        .exists()
    )
    if taken:
        change_status(
            account_id,
            to=Status.DISCONNECTED,
            when=(Status.PENDING,),
            now=now,
            reason="this phone is linked to another account of Relance already",
            held=held,
        )
        forget_qr(account_id)
        return False
    was = Account.objects.values_list("status", flat=True).get(pk=account_id)
    fields: dict[str, Any] = {
        "phone": me.phone,
        "lid": me.lid,
        "push_name": storable(me.name)[:120],
        "platform": me.platform[:40],
    }
    if was == Status.PENDING:
        fields |= {"linked_at": now, "link_requested_at": None, "link_phone": ""}
        fields |= numbers.since_when(account_id, me.phone, now=now)
    done = change_status(
        account_id,
        to=Status.CONNECTED,
        when=(Status.PENDING, Status.CONNECTED, Status.RECONNECTING, Status.CONFLICT),
        now=now,
        held=held,
        **fields,
    )
    forget_qr(account_id)
    return done


def connection_lost(account_id: int, *, reason: str, now: datetime, held: Held) -> bool:
    """The page gave up: the profile stays, a person has to connect again, and is told so once."""
    with transaction.atomic():
        done = change_status(
            account_id,
            to=Status.DISCONNECTED,
            when=Account.LINKED_STATUSES,
            now=now,
            reason=reason,
            held=held,
            notify_owner=True,
        )
        if done:
            doorbells.notify_on_commit()
    return done


def disconnect(account: Account, *, actor: Actor = SYSTEM, now: datetime) -> bool:
    """Have the device logged out and the profile forgotten; nothing is sent from now on.

    The worker that holds the account does it; `logout_requested_at` stands until it is done.
    """
    with transaction.atomic():
        current = Account.objects.select_for_update(of=("self",), no_key=True).get(pk=account.pk)
        old = current.status
        if old == Status.NEW:
            return False
        had_profile = old != Status.DISCONNECTED or current.logout_requested_at is not None
        current.status = Status.DISCONNECTED
        current.status_reason = "disconnected by request"
        current.status_changed_at = now
        current.link_requested_at, current.link_phone = None, ""
        if had_profile:
            current.logout_requested_at = now
        current.save()
        account_changed.send(sender=Account, account=current, old_status=old, now=now)
        _record(account, Verb.DISCONNECTED, actor=actor, now=now, was=old, reason="asked for")
        doorbells.ring_on_commit([account.pk])
        transaction.on_commit(lambda: forget_qr(account.pk))
    account.refresh_from_db()
    return True


def pause_sending(account: Account, *, actor: Actor = SYSTEM, now: datetime) -> bool:
    """Send nothing from this account until `resume_sending`; everybody keeps their place."""
    with transaction.atomic():
        done = Account.objects.filter(pk=account.pk, sending_paused_at=None).update(
            sending_paused_at=now
        )
        if done:
            _record(account, Verb.ACCOUNT_PAUSED, actor=actor, now=now)
    account.refresh_from_db()
    return bool(done)


def resume_sending(account: Account, *, actor: Actor = SYSTEM, now: datetime) -> bool:
    """Send again. What was planned moves on by the length of the pause, so nothing bursts."""
    with transaction.atomic():
        current = Account.objects.select_for_update(of=("self",), no_key=True).get(pk=account.pk)
        since = current.sending_paused_at
        if since is None:
            return False
        Account.objects.filter(pk=account.pk).update(sending_paused_at=None)
        account.refresh_from_db()
        sending_resumed.send(sender=Account, account=account, paused_for=now - since, now=now)
        _record(account, Verb.ACCOUNT_RESUMED, actor=actor, now=now)
        doorbells.ring_on_commit([account.pk])
    return True


# ------------------------------------------------------------------------------ the QR code


def publish_qr(account: Account, code: QrCode) -> None:
    """Show `code` to whoever waits. A code that Redis does not take is shown at its next turn."""
    image = io.BytesIO()
    qrcode.make(code.text, box_size=6, border=2).save(image)
    now = timezone.now()
    ends = attempt_ends(account) or now + timedelta(seconds=60)
    value = json.dumps(
        {
            "text": code.text,
            "png": base64.b64encode(image.getvalue()).decode(),
            "seq": code.seq,
            "published_at": now.isoformat(),
            "expires_at": ends.isoformat(),
        }
    )
    seconds = max(1, int((ends - now).total_seconds()))
    client = limits.server().client
    try:
        client.set(key(account.pk), value, ex=seconds)
        client.publish(key(account.pk), "new")
    except redis.RedisError as error:
        log.warning("QR code not published", account_id=account.pk, error=type(error).__name__)
        return
    # Once per attempt: a code changes every 20 s. One worker holds the account, so no race.
    recorded = Activity.objects.filter(
        subject_type=Account._meta.label_lower,
        subject_id=account.pk,
        verb=Verb.QR_SHOWN,
        at__gte=account.link_requested_at or now,
    )
    if not recorded.exists():
        _record(account, Verb.QR_SHOWN, now=now)


def forget_qr(account_id: int) -> None:
    """Take the code away and wake whoever waits for one."""
    client = limits.server().client
    try:
        client.delete(*(key(account_id) + part for part in ("", ":scanned", ":typed")))
        client.publish(key(account_id), "gone")
    except redis.RedisError:
        log.warning("QR code not taken away", account_id=account_id)


def note_scan(account_id: int) -> None:
    """A phone has scanned the code: it is no use any more, and its owner wants to be told."""
    client = limits.server().client
    try:
        client.set(key(account_id) + ":scanned", 1, ex=settings.WHATSAPP_LINK_SECONDS)
        client.delete(key(account_id))
    except redis.RedisError:
        log.warning("scan not noted", account_id=account_id)


def was_scanned(account_id: int) -> bool:
    """Whether a phone has scanned the code of the running attempt. False when Redis is away."""
    try:
        return bool(limits.server().client.exists(key(account_id) + ":scanned"))
    except redis.RedisError:
        return False


def current_qr(account_id: int) -> PublishedQr | None:
    """The code to show now. None when there is none, or Redis is away."""
    try:
        value = limits.server().client.get(key(account_id))
    except redis.RedisError:
        return None
    if not isinstance(value, str):
        return None
    found = json.loads(value)
    return PublishedQr(
        text=found["text"],
        png=base64.b64decode(found["png"]),
        seq=found["seq"],
        published_at=datetime.fromisoformat(found["published_at"]),
        expires_at=datetime.fromisoformat(found["expires_at"]),
    )


def wait_for_qr(account_id: int, *, timeout: float) -> PublishedQr | Literal["connected"] | None:
    """Wait up to `timeout` seconds for a code, or for the account to be linked without one.

    None when neither came, the attempt ended, or Redis is away.
    """
    return wait_for(account_id, lambda: current_qr(account_id), timeout=timeout)


def wait_for(
    account_id: int, look: Callable[[], T | None], *, timeout: float
) -> T | Literal["connected"] | None:
    """The same for whatever is announced on the account's channel (`key`) when it is there."""
    until = time.monotonic() + timeout
    try:
        with limits.server().client.pubsub(  # type: ignore[no-untyped-call]
            ignore_subscribe_messages=True
        ) as listener:
            listener.subscribe(key(account_id))
            while True:
                if found := look():
                    return found
                status = Account.objects.values_list("status", flat=True).get(pk=account_id)
                if status in Account.LINKED_STATUSES:
                    return "connected"
                left = until - time.monotonic()
                if status != Status.PENDING or left <= 0:
                    return None
                listener.get_message(timeout=min(left, 1.0))
    except redis.RedisError:
        return None
