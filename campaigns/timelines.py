"""What happened to a target: every step, attempt, receipt, decision and answer, in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import Activity
from accounts.verbs import ActorKind, Verb
from campaigns.background import Background
from campaigns.models import Delivery, Target
from whatsapp.models import Attempt, Contact, Incoming, Message

ANSWERS = 50  # of what they wrote, the newest
OF_MESSAGES = (Verb.RETRIED, Verb.SETTLED)
DECISIONS = (*OF_MESSAGES, Verb.TARGET_PAUSED, Verb.TARGET_RESUMED)


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened. `kind` is a word for programs, `text` a line for people.

    `kind` is registered, enrolled, written, attempt, sent, delivered, read, failed, cancelled,
    uncertain, decision, answer, opted_out, paid, completed or exited; `detail` is a text, an error,
    a name or empty.
    """

    at: datetime
    kind: str
    text: str
    detail: str = ""


def timeline(target: Target) -> list[Entry]:
    """Everything that is known to have happened, the oldest first. Five queries."""
    return tell(Background(target, timezone.now()))


def tell(known: Background) -> list[Entry]:
    """The same of a target about which something is known already."""
    target = known.target
    deliveries = list(
        Delivery.objects.filter(target=target).select_related("message__media").order_by("number")
    )
    numbers = {delivery.message_id: delivery.number for delivery in deliveries}
    done = list(_activities(target, numbers))
    entries = [
        *_target(target, done),
        *_messages(deliveries, numbers),
        *_decisions(done, numbers),
        *_person(target, known.contact),
    ]
    return sorted(entries, key=lambda entry: entry.at)


def _activities(target: Target, numbers: Mapping[int, int]) -> QuerySet[Activity]:
    """What people did with the target and its messages."""
    here = Q(subject_type=Target._meta.label_lower, subject_id=target.pk)
    there = Q(subject_type=Message._meta.label_lower, subject_id__in=list(numbers))
    return Activity.objects.filter(here | there, verb__in=[*DECISIONS, Verb.EXITED]).order_by("at")


def _target(target: Target, done: Iterable[Activity]) -> Iterator[Entry]:
    referral = target.referral
    yield Entry(
        referral.registered_at, "registered", _("Registered through %s") % referral.referrer
    )
    yield Entry(target.enrolled_at, "enrolled", _("Taken into “%s”") % target.campaign)
    if referral.paid_at is not None:
        yield Entry(referral.paid_at, "paid", _("Paid"))
    if target.ended_at is None:
        return
    if target.state == Target.State.COMPLETED:
        yield Entry(target.ended_at, "completed", _("Through the whole sequence"))
    else:
        by = [
            activity.actor_name
            for activity in done
            if activity.verb == Verb.EXITED and activity.actor_kind != ActorKind.SYSTEM
        ]
        reason = ", ".join([str(target.get_exit_reason_display()), *by[-1:]])
        yield Entry(target.ended_at, "exited", _("Left the sequence"), reason)


def _decisions(done: Iterable[Activity], numbers: Mapping[int, int]) -> Iterator[Entry]:
    for activity in done:
        if activity.verb == Verb.EXITED:
            continue
        text = str(activity.get_verb_display())
        if (number := numbers.get(activity.subject_id or 0)) and activity.verb in OF_MESSAGES:
            text = _("Message %(number)d: %(what)s") % {"number": number, "what": text}
        yield Entry(activity.at, "decision", text[:1].upper() + text[1:], activity.actor_name)


def _messages(deliveries: Iterable[Delivery], numbers: Mapping[int, int]) -> Iterator[Entry]:
    for delivery in deliveries:
        yield from _message(delivery)
    for attempt in Attempt.objects.filter(message__in=numbers).order_by("intent_at"):
        text = _("Message %(number)d, attempt %(attempt)d: %(outcome)s") % {
            "number": numbers[attempt.message_id],
            "attempt": attempt.number,
            "outcome": attempt.get_outcome_display(),
        }
        yield Entry(attempt.intent_at, "attempt", text, attempt.error or attempt.error_code)


def _message(delivery: Delivery) -> Iterator[Entry]:
    message = delivery.message
    number = {"number": delivery.number}
    text = _("Message %(number)d was written in “%(language)s”")
    file = f"[{message.media.filename}] " if message.media else ""
    yield Entry(
        message.created_at,
        "written",
        text % {**number, "language": delivery.language},
        file + message.body,
    )
    if message.sent_at:
        yield Entry(
            message.sent_at,
            "sent",
            _("Message %(number)d was sent") % number,
            # What a person decided about it stands there.
            message.error if message.error_code == "settled_sent" else "",
        )
    if message.delivered_at:
        text = _("Message %(number)d arrived on the phone") % number
        yield Entry(message.delivered_at, "delivered", text)
    if message.read_at:
        yield Entry(message.read_at, "read", _("Message %(number)d was read") % number)
    reason = message.error or message.error_code
    if message.state == Message.State.UNCERTAIN and message.sending_at:
        text = _("Nobody can tell whether message %(number)d arrived") % number
        yield Entry(message.sending_at, "uncertain", text, reason)
    if message.ended_at and message.state == Message.State.FAILED:
        yield Entry(message.ended_at, "failed", _("Message %(number)d failed") % number, reason)
    if message.ended_at and message.state == Message.State.CANCELLED:
        yield Entry(
            message.ended_at, "cancelled", _("Message %(number)d was cancelled") % number, reason
        )


def _person(target: Target, contact: Contact | None) -> Iterator[Entry]:
    if contact is None:
        return
    if contact.opted_out_at is not None:
        yield Entry(contact.opted_out_at, "opted_out", _("Said stop"), contact.opt_out_reason)
    answers = Incoming.objects.filter(
        account=target.account_id,
        contact=contact,
        from_me=False,
        sent_at__gte=target.enrolled_at,
    ).exclude(chat_id__endswith="@g.us")
    for answer in answers.order_by("-sent_at")[:ANSWERS]:
        yield Entry(answer.sent_at, "answer", _("They wrote"), answer.body)
