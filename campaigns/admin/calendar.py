"""The calendar: what is planned, was sent and failed on each day; planned messages are moved here.

Days and times are those of the company (`console.company_time`).
"""

from __future__ import annotations

import calendar as months
import datetime as dt
import functools
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import messages as notes
from django.core.exceptions import PermissionDenied
from django.core.paginator import InvalidPage
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts.activity import actor_of
from accounts.console import CompanyFilter, StaffOfCompany, companies
from accounts.lists import QuickPaginator
from campaigns import calendars
from campaigns.calendars import ONE_DAY, Counts, Day, Span
from whatsapp import messages, schedules
from whatsapp.contents import CannotSend
from whatsapp.models import Message

VIEWS = ("month", "week", "day")
SHOWN = ("", "planned", "sent", "failed")
CHOICES = 500  # accounts to choose from
ROWS = 50  # messages on a page
LISTED = {"month": 3, "week": 50}  # accounts of a day
YEARS = range(2000, 2100)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What somebody looks at; said in the address, so that every view has one."""

    view: str
    on: dt.date
    company: int | None
    account: int | None
    show: str
    page: str

    @classmethod
    def read(cls, request: HttpRequest) -> Wishes:
        """Raises `Http404` for what cannot be meant."""
        given = request.GET
        view, show = given.get("view") or "month", given.get("show", "")
        try:
            on = parse_date(given.get("on", "")) or timezone.localdate()
        except ValueError as error:
            raise Http404("there is no such day") from error
        if view not in VIEWS or show not in SHOWN or on.year not in YEARS:
            raise Http404("there is no such view")
        company = given.get(CompanyFilter.parameter_name, "")
        if company and company not in {str(pk) for pk in companies(request)}:
            raise Http404("you administer no such company")
        account = given.get("account", "")
        return cls(
            view,
            on,
            int(company) if company else None,
            int(account) if account.isdecimal() and len(account) < 19 else None,
            show,
            given.get("page", "1"),
        )

    def span(self, zone: ZoneInfo) -> Span:
        if self.view == "day":
            return Span(self.on, self.on, zone)
        monday = self.on - self.on.weekday() * ONE_DAY
        if self.view == "week":
            return Span(monday, monday + 6 * ONE_DAY, zone)
        first = self.on.replace(day=1)
        last = self.on.replace(day=months.monthrange(self.on.year, self.on.month)[1])
        return Span(first - first.weekday() * ONE_DAY, last + (6 - last.weekday()) * ONE_DAY, zone)

    def neighbour(self, steps: int) -> dt.date:
        """The same view one further, or back."""
        if self.view != "month":
            return self.on + steps * (7 if self.view == "week" else 1) * ONE_DAY
        month = self.on.month - 1 + steps
        return dt.date(self.on.year + month // 12, month % 12 + 1, 1)

    def title(self, span: Span) -> str:
        match self.view:
            case "day":
                return date_format(self.on, "l j F Y")
            case "week":
                return f"{date_format(span.first, 'j M')} – {date_format(span.last, 'j M Y')}"
        return date_format(self.on, "F Y")


def urls(admin: StaffOfCompany) -> list[Any]:
    """Addresses below those of `admin`, whose readers may see the calendar."""

    def page(address: str, view: Any, name: str, only: Any = require_GET) -> Any:
        bound = functools.partial(view, admin)
        # Middleware and decorators look at a view's name.
        functools.update_wrapper(bound, view)
        return path(
            address, admin.admin_site.admin_view(only(bound)), name=f"campaigns_calendar{name}"
        )

    return [
        page("calendar/", show, ""),
        page("calendar/<int:pk>/move/", move, "_move", only=require_POST),
        page("calendar/<int:pk>/cancel/", cancel, "_cancel", only=require_POST),
    ]


def show(admin: StaffOfCompany, request: HttpRequest) -> HttpResponse:
    if not admin.has_view_permission(request):
        raise PermissionDenied
    wishes = Wishes.read(request)
    zone = _zone()
    now, span = timezone.now(), wishes.span(zone)
    known = companies(request)
    tenants = [wishes.company] if wishes.company else list(known)
    found = calendars.days(tenants, span, account_id=wishes.account, now=now)
    names = calendars.accounts_of(tenants, most=CHOICES)
    context: dict[str, Any] = {
        **admin.admin_site.each_context(request),
        "media": admin.media,
        "title": _("Calendar"),
        "heading": wishes.title(span),
        "wishes": wishes,
        "views": [("month", _("Month")), ("week", _("Week")), ("day", _("Day"))],
        "before": _within(wishes.neighbour(-1)),
        "after": _within(wishes.neighbour(1)),
        "today": timezone.localdate(now),
        "zone": zone,
        "companies": known if len(known) > 1 else {},
        "company_parameter": CompanyFilter.parameter_name,
        "accounts": names,
        "weeks": [_shown(found[n : n + 7], wishes, names) for n in range(0, len(found), 7)],
        "total": sum((day.total for day in found), Counts()),
    }
    if wishes.view == "day":
        rows = calendars.messages_of(
            tenants, span, account_id=wishes.account, show=wishes.show, now=now
        )
        try:
            page = QuickPaginator(rows, ROWS).page(wishes.page)
        except InvalidPage as error:
            raise Http404("there is no such page") from error
        context |= {
            "page": page,
            "day": found[0],
            "by_account": _lines(found[0], names, CHOICES)[0],
        }
    return TemplateResponse(request, "admin/campaigns/calendar.html", context)


def _zone() -> ZoneInfo:
    zone = timezone.get_current_timezone()
    assert isinstance(zone, ZoneInfo)  # noqa: S101  Django makes no other
    return zone


def _within(day: dt.date) -> dt.date | None:
    return day if day.year in YEARS else None


def _lines(day: Day, names: dict[int, str], most: int) -> tuple[list[tuple[str, Counts]], int]:
    """The busiest accounts of a day with their names, and how many more there are."""
    busy = sorted(day.accounts.items(), key=lambda item: (-item[1].all, names.get(item[0], "")))
    shown = [(names.get(pk, f"#{pk}"), counts) for pk, counts in busy[:most]]
    return shown, len(busy) - len(shown)


def _shown(week: list[Day], wishes: Wishes, names: dict[int, str]) -> list[dict[str, Any]]:
    cells = []
    for day in week:
        lines, more = _lines(day, names, LISTED.get(wishes.view, 0))
        outside = wishes.view == "month" and day.date.month != wishes.on.month
        cells.append({"day": day, "lines": lines, "more": more, "outside": outside})
    return cells


def move(admin: StaffOfCompany, request: HttpRequest, pk: int) -> HttpResponse:
    message = _message(admin, request, pk)
    zone = _zone()
    try:
        wall = parse_datetime(request.POST.get("at", "")[:30])
        if wall is None or wall.tzinfo is not None or wall.year not in YEARS:
            raise ValueError("no time")
        due_at = schedules.moment(wall, zone)
        done = messages.move(message, due_at=due_at, actor=actor_of(request), now=timezone.now())
    except CannotSend as error:
        notes.error(request, _refusal(error))
    except ValueError:
        notes.error(request, _("This is no time: write it as 2026-11-23 10:00."))
    else:
        if done:
            when = date_format(timezone.localtime(due_at), "l j F Y, H:i")
            notes.success(request, _("It goes out %s.") % when)
        else:
            notes.warning(request, _("It is not waiting any more, or is held back by a pause."))
    return _back(request)


def _refusal(error: CannotSend) -> str:
    if error.code == "past":
        return _("This time is over: give one to come.")
    return _("Give a time within a year.") if error.code == "too_far" else str(error)


def cancel(admin: StaffOfCompany, request: HttpRequest, pk: int) -> HttpResponse:
    message = _message(admin, request, pk)
    if messages.cancel([message.pk], actor=actor_of(request), now=timezone.now()):
        notes.success(request, _("The message is cancelled."))
    else:
        notes.warning(request, _("It is not waiting any more."))
    return _back(request)


def _message(admin: StaffOfCompany, request: HttpRequest, pk: int) -> Message:
    if not admin.has_view_permission(request):
        raise PermissionDenied
    return get_object_or_404(Message, pk=pk, tenant__in=companies(request))


def _back(request: HttpRequest) -> HttpResponseRedirect:
    """To where somebody looked: the same view."""
    query = request.GET.urlencode()
    return HttpResponseRedirect(
        reverse("admin:campaigns_calendar") + (f"?{query}" if query else "")
    )
