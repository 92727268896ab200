"""How healthy an account is: a score of 100 from what happened, and what follows from a bad one.

Below `WHATSAPP_HEALTH_PAUSE_BELOW` an account stops by itself (`health_share` 0) and comes back by
quarters of its daily limit, one each `WHATSAPP_HEALTH_STEP_HOURS`, as long as what happens since
the last step is good. What people paused they resume: this never touches `sending_paused_at`, and
takes no step while it stands. docs/explanation/safe-pace.md has the formula.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from django.dispatch import receiver

from accounts import activity, poison
from accounts.activity import SYSTEM, Actor, Verb
from whatsapp import doorbells, pace
from whatsapp.models import Account, HealthSample, Message
from whatsapp.models.pace import ALL
from whatsapp.signals import account_changed, message_changed

WINDOW = dt.timedelta(hours=72)
SAMPLE_EVERY = dt.timedelta(minutes=59)
KEPT = dt.timedelta(days=90)
QUARTER = 25  # per cent
BETTER = 20  # points above the threshold before the next step
ENOUGH, ENOUGH_PEOPLE = 10, 20  # of what a rate is made of; fewer say nothing

Status = Account.Status


@dataclass(frozen=True, slots=True)
class Counts:
    """What happened to one account since `since`."""

    since: datetime
    acked: int = 0  # attempts that WhatsApp's server took
    in_time: int = 0  # of them, within ten seconds
    unanswered: int = 0
    cold_nacks: int = 0  # 463: no new chats
    other_nacks: int = 0
    settled: int = 0  # messages sent more than an hour ago
    delivered: int = 0  # of them
    failed: int = 0  # messages that WhatsApp refused for good, or to nobody on it
    people: int = 0  # written to
    replied: int = 0  # people who wrote
    opted_out: int = 0  # after a message
    logged_out: int = 0
    interrupted: int = 0  # conflicts and lost connections


# Numbers, not rows, come back; each part reads an index that exists for plots and limits.
MEASURE = """
WITH account AS (
    SELECT id, tenant_id, greatest(%(window)s, coalesce(health_share_at, %(window)s)) AS since
    FROM whatsapp_account WHERE id = ANY(%(accounts)s)
), tries AS (
    SELECT account.id,
           count(*) FILTER (WHERE outcome = 'sent') AS acked,
           count(*) FILTER (WHERE outcome = 'sent'
                                  AND finished_at - intent_at <= interval '10 s') AS in_time,
           count(*) FILTER (WHERE outcome = 'unknown') AS unanswered,
           count(*) FILTER (WHERE error_code = 'nack_463') AS cold_nacks,
           count(*) FILTER (WHERE error_code LIKE 'nack\\_%%'
                                  AND error_code <> 'nack_463') AS other_nacks
    FROM account JOIN whatsapp_attempt AS attempt ON attempt.account_id = account.id
         AND attempt.intent_at > account.since
    GROUP BY account.id
), said AS (
    SELECT account.id,
           count(*) FILTER (WHERE sent_at <= %(hour_ago)s) AS settled,
           count(*) FILTER (WHERE sent_at <= %(hour_ago)s
                                  AND delivered_at IS NOT NULL) AS delivered,
           count(DISTINCT contact_id) AS people,
           count(DISTINCT contact_id) FILTER (WHERE contact.opted_out_at >= sent_at) AS opted_out
    FROM account JOIN whatsapp_message AS message ON message.account_id = account.id
         AND message.tenant_id = account.tenant_id AND message.sent_at > account.since
    JOIN whatsapp_contact AS contact ON contact.id = message.contact_id
    WHERE message.sent_at > %(window)s
    GROUP BY account.id
), broken AS (
    SELECT account.id, count(*) AS failed
    FROM account JOIN whatsapp_message AS message ON message.account_id = account.id
         AND message.tenant_id = account.tenant_id AND message.ended_at > account.since
    WHERE message.state = 'failed' AND message.ended_at > %(window)s
      AND (message.error_code IN ('not_on_whatsapp', 'failed')
           OR message.error_code LIKE 'nack\\_%%')
    GROUP BY account.id
), heard AS (
    SELECT account.id, count(DISTINCT contact_id) AS replied
    FROM account JOIN whatsapp_incoming AS incoming ON incoming.account_id = account.id
         AND incoming.sent_at > account.since
    WHERE NOT from_me AND contact_id IS NOT NULL AND chat_id NOT LIKE '%%@g.us'
    GROUP BY account.id
), away AS (
    SELECT account.id,
           count(*) FILTER (WHERE verb = 'logged_out_from_phone') AS logged_out,
           count(*) FILTER (WHERE verb = 'conflict' OR (verb = 'disconnected'
                            AND detail->>'reason' <> 'asked for')) AS interrupted
    FROM account JOIN accounts_activity AS activity
         ON activity.subject_type = 'whatsapp.account' AND activity.subject_id = account.id
         AND activity.at > account.since
    WHERE verb IN ('logged_out_from_phone', 'conflict', 'disconnected')
    GROUP BY account.id
)
SELECT account.id, account.since, {columns}
FROM account LEFT JOIN tries USING (id) LEFT JOIN said USING (id) LEFT JOIN broken USING (id)
     LEFT JOIN heard USING (id) LEFT JOIN away USING (id)
"""
_COLUMNS = tuple(name for name in Counts.__dataclass_fields__ if name != "since")
MEASURE = MEASURE.format(columns=", ".join(f"coalesce({name}, 0)" for name in _COLUMNS))


def measure(account_ids: Collection[int], *, now: datetime) -> dict[int, Counts]:
    """What happened to each account in `WINDOW`, or since its health took its last step."""
    with connection.cursor() as cursor:
        cursor.execute(
            MEASURE,
            {
                "accounts": list(account_ids),
                "window": now - WINDOW,
                "hour_ago": now - dt.timedelta(hours=1),
            },
        )
        return {pk: Counts(*values) for pk, *values in cursor.fetchall()}


def penalties(counts: Counts) -> dict[str, float]:
    """Points off a hundred, by what they are for."""

    def rate(part: int, whole: int, *, good: float, bad: float, points: int, least: int) -> float:
        """Nothing from `good` on, all of `points` from `bad` down, in between in proportion."""
        if whole < least:
            return 0.0
        return points * min(1.0, max(0.0, (good - part / whole) / (good - bad)))

    c = counts
    tried, ended = c.acked + c.unanswered, c.acked + c.failed
    written = min(c.replied, c.people)
    return {
        "acks": rate(c.in_time, tried, good=0.95, bad=0.5, points=15, least=ENOUGH),
        "delivery": rate(c.delivered, c.settled, good=0.9, bad=0.4, points=35, least=ENOUGH),
        "replies": rate(written, c.people, good=0.05, bad=0.0, points=10, least=ENOUGH_PEOPLE),
        "failures": rate(c.acked, ended, good=0.95, bad=0.6, points=25, least=ENOUGH),
        "opt_outs": rate(
            c.people - c.opted_out, c.people, good=0.97, bad=0.85, points=25, least=ENOUGH_PEOPLE
        ),
        "refusals": min(60.0, 25.0 * c.cold_nacks + 5.0 * c.other_nacks),
        "disconnects": min(40.0, 20.0 * c.logged_out + 5.0 * c.interrupted),
    }


def score(counts: Counts) -> tuple[int | None, str]:
    """0 to 100, and what took most off it; None and nothing while too little has happened."""
    off = penalties(counts)
    if not any(off.values()) and counts.acked + counts.unanswered < ENOUGH:
        return None, ""
    worst = max(off, key=lambda name: off[name])
    return max(0, 100 - round(sum(off.values()))), worst if off[worst] else ""


def assess(*, now: datetime, account_ids: Iterable[int] | None = None) -> int:
    """Measure accounts (all that were ever linked), keep samples, take steps; returns how many."""
    accounts = Account.objects.filter(enabled=True).exclude(status=Status.NEW)
    if account_ids is not None:
        accounts = accounts.filter(pk__in=account_ids)
    found = accounts.in_bulk()
    samples = []
    for pk, counts in measure(list(found), now=now).items():
        with poison.apart("health not assessed", account_id=pk):
            sample = _assess(found[pk], counts, now=now)
            samples += [sample] if sample is not None else []
    HealthSample.objects.bulk_create(samples, ignore_conflicts=True)
    Account.objects.bulk_update(
        [found[sample.account_id] for sample in samples],
        ["health_score", "health_reason", "health_at"],
    )
    return len(found)


def _assess(account: Account, counts: Counts, *, now: datetime) -> HealthSample | None:
    """Take a step where one is due; the sample to be kept, if any, whose values it has."""
    measured, why = score(counts)
    share = _step(account, measured, now=now)
    if measured is None and share == 0:
        # Nothing happens while it rests: what made it rest is still what there is to say.
        measured, why = account.health_score, account.health_reason
    changed = (measured, share) != (account.health_score, account.health_share)
    if share != account.health_share and not _take(account, share, measured, why, now=now):
        return None  # somebody lifted it, or paused sending, at this moment
    if not changed and account.health_at is not None and now - account.health_at < SAMPLE_EVERY:
        return None
    details = {name: value for name, value in asdict(counts).items() if name != "since"}
    account.health_score, account.health_reason, account.health_at = measured, why, now
    return HealthSample(account=account, at=now, score=measured, share=share, counts=details)


def _step(account: Account, measured: int | None, *, now: datetime) -> int:
    """The share of its limit that an account should have now."""
    threshold: int = settings.WHATSAPP_HEALTH_PAUSE_BELOW
    share = account.health_share
    if account.sending_paused_at is not None:
        return share
    if threshold == 0:
        return ALL
    next_step = pace.next_step(account)
    waited = next_step is None or now >= next_step
    if account.is_resting:
        return QUARTER if waited else 0
    if measured is not None and measured < threshold:
        return 0
    if share < ALL and waited and (measured is None or measured >= threshold + BETTER):
        return min(ALL, share + QUARTER)
    return share


def _take(account: Account, share: int, measured: int | None, why: str, *, now: datetime) -> bool:
    """Give an account another share of its limit; False when it is not as it was read."""
    stops = share == 0
    with transaction.atomic():
        same = Account.objects.filter(
            pk=account.pk,
            health_share=account.health_share,
            health_share_at=account.health_share_at,
            sending_paused_at=None,
        )
        values: dict[str, Any] = {"health_share": share, "health_share_at": now}
        if stops:
            values |= {"notify_owner": True, "health_reason": why, "health_score": measured}
        if not same.update(**values):
            return False
        activity.record(
            tenant_id=account.tenant_id,
            verb=Verb.HEALTH_PAUSED if stops else Verb.HEALTH_STEPPED,
            subject=account,
            detail={"score": measured, "share": share, "because": why},
            now=now,
        )
        if stops:
            doorbells.notify_on_commit()
        else:
            doorbells.ring_on_commit([account.pk])
    for name, value in values.items():
        setattr(account, name, value)
    return True


def lift(account: Account, *, actor: Actor = SYSTEM, now: datetime) -> bool:
    """Somebody knows better: send all of the limit and begin new chats from now on.

    What has happened until now counts against it no more. False when nothing was held.
    """
    with transaction.atomic():
        held = Account.objects.filter(pk=account.pk).filter(
            Q(health_share__lt=ALL) | Q(cold_held_until__gt=now)
        )
        done = held.update(
            health_share=ALL, health_share_at=now, health_reason="", cold_held_until=None
        )
        if done:
            activity.record(
                tenant_id=account.tenant_id,
                verb=Verb.HOLDS_LIFTED,
                actor=actor,
                subject=account,
                now=now,
            )
            pace.ask_again(account, now=now)
            doorbells.ring_on_commit([account.pk])
    account.refresh_from_db()
    return bool(done)


def forget_samples(*, now: datetime) -> int:
    """Delete samples older than `KEPT`; returns how many."""
    return HealthSample.objects.filter(at__lt=now - KEPT).delete()[0]


@receiver(message_changed)
def on_message_changed(*, message: Message, **_: Any) -> None:
    """What WhatsApp refused may be one too many: look at once, not at the next round."""
    if message.state == Message.State.FAILED or message.error_code.startswith("nack_"):
        doorbells.assess_on_commit(message.account_id)


@receiver(account_changed)
def on_account_changed(*, account: Account, **_: Any) -> None:
    if account.status in {Status.LOGGED_OUT, Status.CONFLICT, Status.DISCONNECTED}:
        doorbells.assess_on_commit(account.pk)
