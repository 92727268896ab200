"""How an account and somebody it is to write to stand: who wrote to whom before.

A chat is new when the account has never sent to this person, nor heard from them. What was tried
and did not arrive begins no chat: it is new until WhatsApp's server has taken a message. Nor does
what they write into a group.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import (
    DateField,
    DateTimeField,
    Exists,
    F,
    Func,
    OuterRef,
    QuerySet,
    Subquery,
)
from django.db.models.functions import Cast

from whatsapp.models import Incoming, Message, Usage

# The same for the intent, of a row `message`: what is read before may be a moment old. Of rows with
# an account and a contact alone, too.
IS_NEW = """
    message.contact_id IS NOT NULL
    AND NOT EXISTS (SELECT FROM whatsapp_incoming AS incoming
                    WHERE incoming.contact_id = message.contact_id
                      AND incoming.account_id = message.account_id
                      AND incoming.chat_id NOT LIKE '%%@g.us')
    AND NOT EXISTS (SELECT FROM whatsapp_message AS earlier
                    WHERE earlier.contact_id = message.contact_id
                      AND earlier.account_id = message.account_id
                      AND earlier.state IN ('sent', 'delivered', 'read'))
"""

# What `with_standing` adds to a message and `standing` reads.
STANDING = ("heard_at", "in_touch", "begun_today")


@dataclass(frozen=True, slots=True)
class Standing:
    """How an account and somebody it is to write to stand.

    `heard_at`: when they last wrote to it; `is_new`: neither has ever reached the other;
    `begun_today`: new chats the account began on this day of its tenant.
    """

    heard_at: datetime | None
    is_new: bool
    begun_today: int


def with_standing(messages: QuerySet[Message]) -> QuerySet[Message]:
    """The same messages with what `standing` wants, read by the same query."""
    incoming = (
        Incoming.objects.filter(account=OuterRef("account"), contact=OuterRef("contact"))
        .exclude(chat_id__endswith="@g.us")
        .order_by()
    )
    arrived = Message.objects.filter(
        account=OuterRef("account"), contact=OuterRef("contact"), state__in=Message.ARRIVED
    ).order_by()
    wall = Func(
        F("account__tenant__timezone"),
        Func(function="clock_timestamp", output_field=DateTimeField()),
        function="timezone",
        output_field=DateTimeField(),
    )
    today = Usage.objects.filter(account=OuterRef("account"), day=OuterRef("tenants_day"))
    return messages.annotate(
        tenants_day=Cast(wall, DateField()),
        heard_at=Subquery(
            incoming.filter(from_me=False).order_by("-sent_at").values("sent_at")[:1]
        ),
        in_touch=Exists(incoming) | Exists(arrived),
        begun_today=Subquery(today.values("new_chats")[:1]),
    )


def standing(message: Message) -> Standing:
    """Of a message read by `with_standing`; another costs a query."""
    if not hasattr(message, "in_touch"):
        rows = with_standing(Message.objects.filter(pk=message.pk))
        message = rows.select_related("account__tenant").get()
    found = message.__dict__
    return Standing(
        heard_at=found["heard_at"],
        is_new=message.contact_id is not None and not found["in_touch"],
        begun_today=found["begun_today"] or 0,
    )
