"""Somebody who is in every place where a number or a name can be."""

from __future__ import annotations

import io
from pathlib import Path

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from PIL import Image

from accounts import activity
from accounts.activity import Verb
from campaigns.models import Delivery, Payment, Recipient
from tests import factories
from tests.factories import NOW
from whatsapp import contacts, inbox, media, outbox
from whatsapp.driver.base import IncomingMessage
from whatsapp.models import (
    Attempt,
    Chat,
    Contact,
    Group,
    GroupMember,
    Incoming,
    Media,
    Message,
    MessageReceipt,
)

PHONE = "+33639989876"
DIGITS = PHONE[1:]
NAME = "Zénobie Quatremaille"


def tell(account, body="Merci !", *, sent_at, wa_id="in-1"):
    message = IncomingMessage(
        wa_id=wa_id, chat_id=f"{DIGITS}@c.us", phone=PHONE, lid="777@lid", name=NAME, kind="chat",
        body=body, sent_at=sent_at,
    )  # fmt: skip
    return inbox.store_incoming(account.pk, message, now=sent_at)


def put_into(tenant, *, state="sent"):
    """`PHONE` in every place where a number or a name can be."""
    referrer = factories.make_referrer(tenant)
    referral = factories.make_referral(referrer, phone=PHONE, name=NAME, external_id=f"c-{DIGITS}")
    target = factories.make_target(referral)
    contact = Contact.objects.create(tenant=tenant, phone=PHONE, name=NAME, lid="777@lid")
    message = outbox.queue(
        tenant=tenant, account=target.account, contact=contact, idempotency_key=f"{DIGITS}-1",
        body=f"Bonjour {NAME}, {PHONE}", now=NOW,
    )  # fmt: skip
    fields = {
        "state": state, "sending_at": NOW, "not_after": NOW, "fence": 1, "error": f"to {PHONE}",
        "wa_id": f"true_{DIGITS}@c.us_3EB0", "chat_id": f"{DIGITS}@c.us",
    }  # fmt: skip
    if state == "sent":
        fields["sent_at"] = NOW
    Message.objects.filter(pk=message.pk).update(**fields)
    Attempt.objects.create(
        message=message, account=target.account, number=1, fence=1, worker="w",
        wa_id=f"true_{DIGITS}@c.us_3EB0", usage_day=NOW.date(), intent_at=NOW,
    )  # fmt: skip
    Delivery.objects.create(target=target, number=1, language="fr", message=message)
    Recipient.objects.create(
        broadcast=factories.make_broadcast(accounts=[target.account]), contact=contact,
        account=target.account, due_at=NOW,
    )  # fmt: skip
    tell(target.account, f"Je suis {NAME}", sent_at=NOW)
    Payment.objects.create(tenant=tenant, external_id=f"c-{DIGITS}", paid_at=NOW)
    put_into_group(contact, target.account, message)
    for subject in (referral, contact, target):
        activity.record(tenant_id=tenant.pk, verb=Verb.EXITED, subject=subject, now=NOW)
    user = factories.make_user(tenant)
    for row in (referral, contact):
        LogEntry.objects.create(
            user=user, content_type=ContentType.objects.get_for_model(row), object_id=row.pk,
            object_repr=f"{row} {PHONE}", action_flag=CHANGE, change_message=f"was {PHONE}",
        )  # fmt: skip
    return target


def put_into_group(contact, account, message):
    """They wrote into a group, we answered there, and they have seen it."""
    group = Group.objects.create(
        tenant=account.tenant, account=account, chat_id="1@g.us", subject="Voisins",
        discovered_at=NOW, refreshed_at=NOW,
    )  # fmt: skip
    GroupMember.objects.create(group=group, contact=contact, seen_at=NOW)
    wrote = IncomingMessage(
        wa_id=f"false_1@g.us_3A_{DIGITS}@c.us", chat_id="1@g.us", phone=PHONE, lid="777@lid",
        name=NAME, kind="chat", body=f"De {NAME}", sent_at=NOW, author=f"{DIGITS}@c.us",
        author_phone=PHONE, author_lid="777@lid",
    )  # fmt: skip
    inbox.store_incoming(account.pk, wrote, now=NOW)
    post = Message.objects.create(
        tenant=account.tenant, account=account, group=group, idempotency_key="post", body="Oui !",
        content_hash="h", due_at=NOW, state="sent", sent_at=NOW, quoted_wa_id=wrote.wa_id,
    )  # fmt: skip
    # As old as all the rest, on whatever day this runs.
    Message.objects.filter(pk=post.pk).update(created_at=NOW)
    for participant in (f"{DIGITS}@c.us", "777@lid"):
        MessageReceipt.objects.create(message=post, participant=participant, read_at=NOW)
    MessageReceipt.objects.create(message=post, participant="888@lid", read_at=NOW)
    contacts.record_basis(contact, basis="consent", note=f"{NAME} signed", how="admin", now=NOW)
    chat = Chat.objects.get(contact=contact)
    assert chat.account == message.account


def picture_from(account, *, wa_id="in-1"):
    """They have sent a picture, and it was fetched."""
    drawn = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(drawn, "PNG")
    stored = media.store(tenant=account.tenant, data=drawn.getvalue(), filename="me.png")
    Media.objects.filter(pk=stored.pk).update(created_at=NOW)
    Incoming.objects.filter(account=account, wa_id=wa_id).update(
        media=stored, media_state="stored", content={"filename": "me.png"}
    )
    return Path(stored.file.path)


def places(*needles):
    """table.column of every row of every table that holds one of `needles` in any column."""
    found = []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name FROM information_schema.columns "
            "WHERE table_schema = 'public' ORDER BY 1, 2"
        )
        for table, column in cursor.fetchall():
            for needle in needles:
                cursor.execute(
                    f'SELECT count(*) FROM "{table}" WHERE "{column}"::text ILIKE %s',  # noqa: S608
                    [f"%{needle}%"],
                )
                if cursor.fetchone()[0]:
                    found.append(f"{table}.{column}")
    return found
