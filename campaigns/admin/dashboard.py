"""The admin's home: what waits for a person, and how it is going, of companies one administers."""

from __future__ import annotations

import datetime as dt
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode

from django.contrib.humanize.templatetags.humanize import intcomma
from django.core.cache import cache
from django.http import Http404, HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from redis import RedisError

from accounts.console import CompanyFilter, companies
from accounts.plots import COLOURS, Plot
from campaigns import statistics
from campaigns.models import Target
from whatsapp import explaining
from whatsapp import statistics as numbers
from whatsapp.models import Account

T = TypeVar("T")
DAYS = 14
WORTH = 200  # what took a second is remembered for as many


@dataclass(frozen=True, slots=True)
class Question:
    """Something that waits for a person; `link` leads to the rows, `count` says how many."""

    text: str
    count: int
    link: str
    icon: str
    urgent: bool


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Fill the context of the admin's home (UNFOLD["DASHBOARD_CALLBACK"]). Raises Http404."""
    known = companies(request)
    chosen = request.GET.get(CompanyFilter.parameter_name, "")
    if chosen and chosen not in {str(pk) for pk in known}:
        raise Http404(f"company: you administer none with the id {chosen[:40]!r}")
    ids = [int(chosen)] if chosen else list(known)
    now = timezone.now()
    # Whole days of the company's clock (`console.company_time`).
    since = _midnight(now, days_ago=DAYS - 1)
    usage = numbers.usage(ids, now=now)
    return context | {
        "any_company": bool(known),
        "companies": known if len(known) > 1 else {},
        "company_parameter": CompanyFilter.parameter_name,
        "chosen": chosen,
        "questions": _questions(ids, chosen=chosen, now=now),
        "plots": [
            _per_day(ids, since=since, now=now),
            _funnel(ids, since=since, now=now),
            _accounts(ids),
            _failures(ids, since=since, now=now),
        ],
        "usage": usage,
        "days": DAYS,
        "now": now,
    }


def _questions(ids: list[int], *, chosen: str, now: dt.datetime) -> list[Question]:
    found = statistics.open_questions(ids, now=now)

    def link(model: str, **query: str) -> str:
        if chosen:
            query[CompanyFilter.parameter_name] = chosen
        return f"{reverse(f'admin:{model}_changelist')}?{urlencode(query)}"

    message, account, target = "whatsapp_message", "whatsapp_account", "campaigns_target"
    asked = [
        Question(
            ngettext(
                "message may or may not have arrived: decide",
                "messages may or may not have arrived: decide",
                found.uncertain,
            ),
            found.uncertain, link(message, show="uncertain"), "help", urgent=True,
        ),
        Question(
            ngettext("account needs a scan", "accounts need a scan", found.accounts_to_link),
            found.accounts_to_link, link(account, show="link"), "qr_code_scanner", urgent=True,
        ),
        Question(
            ngettext(
                "account waits for a worker", "accounts wait for a worker",
                found.accounts_without_worker,
            ),
            found.accounts_without_worker, link(account, show="no-worker"), "cloud_off",
            urgent=True,
        ),
        Question(
            ngettext("message is stuck", "messages are stuck", found.stuck),
            found.stuck, link(message, show="stuck"), "hourglass_disabled", urgent=True,
        ),
        Question(
            ngettext(
                "message failed in 24 hours", "messages failed in 24 hours", found.failed_today
            ),
            found.failed_today, link(message, show="failed"), "error", urgent=False,
        ),
        Question(
            ngettext("account is paused", "accounts are paused", found.accounts_paused),
            found.accounts_paused, link(account, show="paused"), "pause_circle", urgent=False,
        ),
        Question(
            ngettext(
                "account rests for its health", "accounts rest for their health",
                found.accounts_resting,
            ),
            found.accounts_resting, link(account, show="resting"), "healing", urgent=True,
        ),
        Question(
            ngettext(
                "account has used up today’s limit", "accounts have used up today’s limit",
                found.accounts_at_limit,
            ),
            found.accounts_at_limit, link(account, show="at-limit"), "speed", urgent=False,
        ),
    ]  # fmt: skip
    asked += [
        Question(
            _("held: %(reason)s") % {"reason": Target.Hold(hold).label},
            count, link(target, show="held", hold__exact=hold), "front_hand", urgent=False,
        )
        for hold, count in found.held.items()
    ]  # fmt: skip
    return [question for question in asked if question.count]


def _remembered(name: str, ids: list[int], work: Callable[[], T], *, seconds: int) -> T:
    """What `work` found up to `seconds` ago. Without Redis it is found anew each time.

    What is found at once is forgotten soon: whoever watches a small company sees it move.
    """
    key = hashlib.sha256(repr((name, sorted(ids))).encode()).hexdigest()
    try:
        found: T | None = cache.get(key)
        if found is None:
            began = time.perf_counter()
            found = work()
            cache.set(key, found, min(seconds, round(WORTH * (time.perf_counter() - began))))
    except RedisError:
        return work()
    return found


def _days(ids: list[int], *, since: dt.datetime, now: dt.datetime) -> list[numbers.Day]:
    """Today and yesterday as they are; before, where little happens, up to an hour old."""
    yesterday = _midnight(now, days_ago=1)
    before = _remembered(
        f"days {yesterday}",
        ids,
        lambda: numbers.days(ids, since=since, until=yesterday),
        seconds=3600,
    )
    days: dict[dt.date, numbers.Day] = {}
    # The day of a zone that the cut goes through stands in both.
    for day in (*before, *numbers.days(ids, since=yesterday, until=now)):
        seen = days.get(day.day, numbers.Day(day.day, 0, 0, 0))
        days[day.day] = numbers.Day(
            day.day, seen.sent + day.sent, seen.delivered + day.delivered, seen.read + day.read
        )
    return list(days.values())


def _per_day(ids: list[int], *, since: dt.datetime, now: dt.datetime) -> Plot:
    days = _days(ids, since=since, now=now)
    sent = sum(day.sent for day in days)
    read = sum(day.read for day in days)
    return Plot(
        name="days",
        title=_("Messages by the day they were sent"),
        summary=_("%(sent)s sent in %(days)d days, %(percent)d %% of them read so far.")
        % {"sent": intcomma(sent), "days": DAYS, "percent": round(100 * read / max(sent, 1))},
        kind="bar",
        headers=[_("Day"), _("sent"), _("delivered"), _("read")],
        rows=[
            [date_format(day.day, "j M"), day.sent, day.delivered, day.read] for day in days
        ],
        colours=[COLOURS["sent"], COLOURS["delivered"], COLOURS["read"]],
    )  # fmt: skip


def _midnight(now: dt.datetime, *, days_ago: int) -> dt.datetime:
    day = timezone.localdate(now) - dt.timedelta(days=days_ago)
    return dt.datetime.combine(day, dt.time(), tzinfo=timezone.get_current_timezone())


def _funnel(ids: list[int], *, since: dt.datetime, now: dt.datetime) -> Plot:
    funnel = _remembered(
        "funnel",
        ids,
        lambda: statistics.funnel(ids, since=since, until=now),
        seconds=300,
    )
    left = ", ".join(
        f"{intcomma(count)} {Target.ExitReason(reason).label}"
        for reason, count in funnel.exited.items()
    )
    return Plot(
        name="funnel",
        title=_("How far people come"),
        summary=_(
            "Of %(enrolled)s people enrolled in %(days)d days, %(active)s are under way, "
            "%(completed)s got every message; left before: %(left)s."
        )
        % {
            "enrolled": intcomma(funnel.enrolled),
            "days": DAYS,
            "active": intcomma(funnel.active),
            "completed": intcomma(funnel.completed),
            "left": left or _("nobody"),
        },
        kind="bar",
        headers=[_("Step"), _("people")],
        rows=[
            [_("enrolled"), funnel.enrolled],
            *(
                [_("step %(n)d done") % {"n": number}, count]
                for number, count in enumerate(funnel.reached, start=1)
            ),
        ],
        colours=[COLOURS["good"]],
        horizontal=True,
    )


def _accounts(ids: list[int]) -> Plot:
    found = numbers.accounts(ids)
    rows = [[str(Account.Status(s).label), count] for s, count in found.by_status.items() if count]
    return Plot(
        name="accounts",
        title=_("Accounts by status"),
        summary=ngettext(
            "%(connected)d of %(count)d account is connected; %(paused)d paused.",
            "%(connected)d of %(count)d accounts are connected; %(paused)d paused.",
            sum(found.by_status.values()),
        )
        % {
            "connected": found.by_status[Account.Status.CONNECTED],
            "count": sum(found.by_status.values()),
            "paused": found.paused,
        },
        kind="bar",
        headers=[_("Status"), _("accounts")],
        rows=rows,
        colours=[COLOURS["good"]],
        horizontal=True,
    )


def _failures(ids: list[int], *, since: dt.datetime, now: dt.datetime) -> Plot:
    found = _remembered(
        "failures",
        ids,
        lambda: numbers.failures(ids, since=since, until=now),
        seconds=300,
    )
    return Plot(
        name="failures",
        title=_("Failures by reason"),
        summary=ngettext(
            "%(count)s message failed in %(days)d days.",
            "%(count)s messages failed in %(days)d days.",
            found.total,
        )
        % {"count": intcomma(found.total), "days": DAYS},
        kind="bar",
        headers=[_("Reason"), _("messages")],
        rows=[[explaining.reason(code), count] for code, count in list(found.by_code.items())[:10]],
        colours=[COLOURS["bad"]],
        horizontal=True,
    )
