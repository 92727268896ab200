"""Groups: asked for by people, discovered by whoever drives the account (discovery.py).

A request is a time in the row of the account, or of the group: it is rung for until a worker has
done it. What it found, and when, stands beside it.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from django.db import transaction
from django.db.models import F, Q, Value
from django.db.models.functions import Greatest
from django.utils.translation import gettext as _

from accounts import deadlocks
from accounts.activity import SYSTEM, Actor, Verb, record
from accounts.models import Tenant
from whatsapp import doorbells, identities, suppression
from whatsapp.driver.base import GroupInfo, Member, storable
from whatsapp.models import Account, Contact, Group, GroupMember
from whatsapp.models.accounts import E164
from whatsapp.signals import contacts_scraped

log = structlog.get_logger(__name__)

# A group in which much happens says so with every change: its account asks this often at most.
REFRESH_EVERY = dt.timedelta(minutes=1)
BATCH = 100  # members of one transaction
SEEN = ("subject", "description", "member_count", "role", "announce_only", "refreshed_at")

Role = Group.Role


class CannotAsk(ValueError):
    """Why nothing can be discovered; `code` is ``not_linked`` or ``not_in_group``."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Scraped:
    """What a look at the members of a group brought. `skipped`: our own numbers, and people who
    asked to be forgotten."""

    members: int = 0
    new_contacts: int = 0
    left: int = 0
    skipped: int = 0


# ------------------------------------------------------------------------------------- asking


def request_discovery(account: Account, *, actor: Actor = SYSTEM, now: datetime) -> bool:
    """Have the groups of `account` looked up; False when that is asked for already.

    Raises `CannotAsk` unless the account is linked.
    """
    _check_linked(account)
    with transaction.atomic():
        # A look that is due by itself, later, is brought forward.
        waits = Q(groups_requested_at=None) | Q(groups_requested_at__gt=now)
        asked = Account.objects.filter(waits, pk=account.pk).update(
            groups_requested_at=now, groups_error=""
        )
        doorbells.ring_on_commit([account.pk])
        if asked:
            record(
                tenant_id=account.tenant_id,
                verb=Verb.DISCOVERY_REQUESTED,
                actor=actor,
                subject=account,
                now=now,
            )
    account.refresh_from_db()
    return bool(asked)


def request_members(group: Group, *, actor: Actor = SYSTEM, now: datetime) -> bool:
    """Have the members of `group` taken over as contacts; False when that is asked for already.

    Raises `CannotAsk` unless the account is linked and in the group.
    """
    _check_linked(group.account)
    if group.role == Role.LEFT:
        raise CannotAsk("not_in_group", _("the account is not in this group any more"))
    with transaction.atomic():
        waits = Q(members_requested_at=None) | Q(members_requested_at__gt=now)
        asked = Group.objects.filter(waits, pk=group.pk).update(
            members_requested_at=now, members_error=""
        )
        doorbells.ring_on_commit([group.account_id])
        if asked:
            record(
                tenant_id=group.tenant_id,
                verb=Verb.MEMBERS_REQUESTED,
                actor=actor,
                subject=group,
                now=now,
            )
    group.refresh_from_db()
    return bool(asked)


def note_changed(account_id: int, *, now: datetime) -> bool:
    """A group of the account changed: look again, soon. False when nobody wanted its groups yet,
    or it is asked for already."""
    rows = Account.objects.filter(pk=account_id, groups_requested_at=None)
    changed = rows.exclude(groups_discovered_at=None).update(
        groups_requested_at=Greatest(Value(now), F("groups_discovered_at") + REFRESH_EVERY)
    )
    return bool(changed)


def _check_linked(account: Account) -> None:
    if not account.is_linked or not account.enabled:
        raise CannotAsk("not_linked", _("this account is not linked: connect it first"))


# ------------------------------------------------------------------------------------- storing


def store(account: Account, infos: Iterable[GroupInfo], *, now: datetime) -> int:
    """Write down the groups that `account` is in; those it does not name any more were left.

    Answers the request that `account` carries, not one that came meanwhile. Returns how many
    groups it is in.
    """
    by_chat = {info.chat_id: info for info in infos if len(info.chat_id) <= 100}
    rows = [
        Group(
            tenant_id=account.tenant_id,
            account=account,
            chat_id=info.chat_id,
            subject=storable(info.subject)[:200],
            description=storable(info.description),
            member_count=max(info.size, 0),
            role=_role(info),
            announce_only=info.announce_only,
            discovered_at=now,
            refreshed_at=now,
        )
        for info in by_chat.values()
    ]
    with transaction.atomic():
        before = dict(Group.objects.filter(account=account).values_list("chat_id", "role"))
        Group.objects.bulk_create(
            sorted(rows, key=lambda group: group.chat_id),
            update_conflicts=True,
            unique_fields=["account", "chat_id"],
            update_fields=SEEN,
        )
        gone = Group.objects.filter(account=account).exclude(chat_id__in=by_chat)
        gone.exclude(role=Role.LEFT).update(role=Role.LEFT, refreshed_at=now)
        Account.objects.filter(
            pk=account.pk, groups_requested_at=account.groups_requested_at
        ).update(groups_requested_at=None)
        Account.objects.filter(pk=account.pk).update(groups_discovered_at=now, groups_error="")
        after = dict(Group.objects.filter(account=account).values_list("chat_id", "role"))
        if before != after:
            record(
                tenant_id=account.tenant_id,
                verb=Verb.GROUPS_DISCOVERED,
                subject=account,
                detail={"groups": len(after), "new": len(after.keys() - before.keys())},
                now=now,
            )
    return sum(role != Role.LEFT for role in after.values())


def _role(info: GroupInfo) -> str:
    if not info.member:
        return Role.LEFT
    return Role.ADMIN if info.admin else Role.MEMBER


def store_members(group: Group, members: Sequence[Member], *, now: datetime) -> Scraped:
    """Make contacts of the members of `group`, and note who is in it and who is not any more.

    Whoever is new is a contact of source ``group``: nobody may write to them before a lawful
    basis is recorded. Our own numbers are no contacts. 100 members a transaction: a call that is
    broken off is repeated as a whole and does no harm.
    """
    tenant = group.tenant
    ours = _own(tenant)
    people: dict[tuple[str, str], Member] = {}
    skipped = 0
    for member in members:
        phone = member.phone if re.fullmatch(E164, member.phone) else ""
        lid = storable(member.lid)[:40]
        if {phone, lid} - {""} & ours or not (phone or lid):
            skipped += 1
        else:
            people[phone, lid] = member
    new = 0
    # Whole pairs first: whoever comes once more with half of one is found then, and not made.
    pairs = sorted(people.items(), key=lambda item: (not all(item[0]), item[0]))
    for start in range(0, len(pairs), BATCH):
        made, forgotten = _store_batch(group, tenant, pairs[start : start + BATCH], now=now)
        new += made
        skipped += forgotten
    with transaction.atomic():
        absent = GroupMember.objects.filter(group=group, left_at=None, seen_at__lt=now)
        left = absent.update(left_at=now)
        Group.objects.filter(pk=group.pk, members_requested_at=group.members_requested_at).update(
            members_requested_at=None
        )
        Group.objects.filter(pk=group.pk).update(
            members_scraped_at=now, members_error="", member_count=len(members)
        )
        found = Scraped(members=len(people), new_contacts=new, left=left, skipped=skipped)
        record(
            tenant_id=tenant.pk,
            verb=Verb.MEMBERS_SCRAPED,
            subject=group,
            detail={"members": found.members, "new": new, "left": left},
            now=now,
        )
    log.info("members taken over", group_id=group.pk, members=found.members, new=new)
    return found


@deadlocks.retried
def _store_batch(
    group: Group, tenant: Tenant, batch: Sequence[tuple[tuple[str, str], Member]], *, now: datetime
) -> tuple[int, int]:
    """New contacts, and people who asked to be forgotten."""
    with transaction.atomic():
        suppression.hold(tenant)
        known_as = {text for (pair, _member) in batch for text in pair if text}
        forgotten = suppression.suppressed(tenant, known_as).keys()
        rows: dict[int, GroupMember] = {}
        scraped: set[int] = set()
        new: set[int] = set()
        left_out = 0
        for (phone, lid), member in batch:
            if {phone, lid} & forgotten:
                left_out += 1
                known = Contact.objects.filter(Q(phone=phone) | Q(lid=lid), tenant=tenant)
                if phone and lid and known.exists():
                    # By the other of the two, which is not to be written to either.
                    identities.find_or_make(
                        tenant_id=tenant.pk, phone=phone, lid=lid, source=Contact.Source.GROUP,
                        now=now,
                    )  # fmt: skip
                continue
            contact = identities.find_or_make(
                tenant_id=tenant.pk,
                phone=phone,
                lid=lid,
                name=storable(member.name),
                source=Contact.Source.GROUP,
                source_detail=group.subject or group.chat_id,
                now=now,
            )
            if contact.created_at == now:
                new.add(contact.pk)
            if contact.obstacle == "no_lawful_basis":
                scraped.add(contact.pk)
            # One person may be named twice: by phone, and by LID.
            before = rows.get(contact.pk)
            rows[contact.pk] = GroupMember(
                group=group,
                contact=contact,
                admin=member.admin or (before is not None and before.admin),
                seen_at=now,
            )
        GroupMember.objects.bulk_create(
            [rows[pk] for pk in sorted(rows)],
            update_conflicts=True,
            unique_fields=["group", "contact"],
            update_fields=["admin", "seen_at", "left_at"],
        )
        if scraped:
            contacts_scraped.send(
                sender=Contact, tenant_id=tenant.pk, contact_ids=sorted(scraped), now=now
            )
    return len(new), left_out


def _own(tenant: Tenant) -> set[str]:
    """Phones and LIDs of all accounts of the company."""
    rows = Account.objects.filter(tenant=tenant).values_list("phone", "lid")
    return {text for row in rows for text in row if text}


def put_off(account: Account, error: str, *, wait: dt.timedelta, now: datetime) -> None:
    """The page could not tell now: ask again later, and say why."""
    Account.objects.filter(pk=account.pk, groups_requested_at=account.groups_requested_at).update(
        groups_requested_at=now + wait, groups_error=error[:200]
    )


def put_off_members(
    group: Group, error: str, *, wait: dt.timedelta | None, now: datetime, **fields: Any
) -> None:
    """The same for the members of a group; without `wait` for good."""
    again = None if wait is None else now + wait
    Group.objects.filter(pk=group.pk, members_requested_at=group.members_requested_at).update(
        members_requested_at=again, members_error=error[:200], **fields
    )


# ------------------------------------------------------------------------------------ labelling


def label(
    group: Group,
    *,
    region: str,
    segments: list[str],
    tags: list[str],
    actor: Actor = SYSTEM,
    now: datetime,
) -> bool:
    """Say where a group belongs; False when all of it stood there already."""
    with transaction.atomic():
        row = Group.objects.select_for_update().get(pk=group.pk)
        wanted = {"region": region, "segments": segments, "tags": tags}
        fields = [name for name, value in wanted.items() if getattr(row, name) != value]
        if not fields:
            return False
        Group.objects.filter(pk=group.pk).update(**wanted)
        record(
            tenant_id=group.tenant_id,
            verb=Verb.CHANGED,
            actor=actor,
            subject=group,
            detail={"fields": fields},
            now=now,
        )
    group.refresh_from_db()
    return True
