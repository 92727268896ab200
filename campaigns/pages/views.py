"""The referrer's page and its two live parts. Every button is a form: it works without JavaScript.

htmx asks for a part with the version it shows, and gets 204 when nothing has changed.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any, TypedDict
from uuid import UUID

from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.forms import PasswordChangeForm
from django.contrib.auth.views import PasswordChangeView, redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views import View
from django.views.decorators.cache import never_cache
from django_htmx.http import HttpResponseClientRefresh
from redis.exceptions import RedisError

from accounts import passwords, phones
from accounts.activity import Actor, actor_of
from accounts.forms import LimitedPasswordChange
from accounts.models import Membership
from accounts.permissions import WRITERS
from accounts.throttles import count
from campaigns import referrers
from campaigns.models import Referrer
from campaigns.pages.panels import AccountPanel, Versioned, account_panel
from campaigns.pages.people import PeoplePanel, people_panel
from whatsapp import linking, outbox
from whatsapp.models import Account, Message

LINKS_PER_MINUTE = 20


class Act(TypedDict):
    actor: Actor
    now: datetime


@method_decorator(never_cache, name="dispatch")
class ReferrerPage(View):
    """For somebody who is logged in and refers. `self.referrer` says who, `may_act` what."""

    referrer: Referrer
    may_act: bool

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            # A part of the page cannot become a log-in form: the whole page has to.
            if request.headers.get("HX-Request"):
                return HttpResponseClientRefresh()
            return redirect_to_login(request.get_full_path())
        found = Referrer.objects.of_user(request.user.pk).counted().first()
        if found is None or found.role is None:
            return self.nobody(request, found)
        self.referrer, self.may_act = found, found.role in WRITERS
        if request.method == "POST" and not self.may_act:
            messages.error(request, _("You may look at this page, but not change anything."))
            return redirect("pages:home")
        with timezone.override(found.tenant.zone):
            return super().dispatch(request, *args, **kwargs)

    def nobody(self, request: HttpRequest, found: Referrer | None) -> HttpResponseBase:
        """Somebody whose page this is not: where theirs is, or whom to ask."""
        if request.headers.get("HX-Request"):
            return HttpResponseClientRefresh()
        if request.path != reverse("pages:home"):
            return redirect("pages:home")
        memberships = Membership.objects.filter(user=request.user.pk or 0)
        return render(
            request,
            "referrer/nobody.html",
            {"left": found is not None, "memberships": memberships.select_related("tenant")},
        )

    def account(self) -> AccountPanel:
        return account_panel(self.referrer, may_act=self.may_act, now=timezone.now())

    def by(self) -> Act:
        """Who acts and when, as every domain function takes it."""
        return {"actor": actor_of(self.request), "now": timezone.now()}

    def own_account(self) -> Account:
        return referrers.account_of(self.referrer, **self.by())

    def people(self) -> PeoplePanel:
        return people_panel(self.referrer, may_act=self.may_act, now=timezone.now())

    def done(self, request: HttpRequest) -> HttpResponse:
        """What an action answers: the part it changed, or the page anew."""
        if request.headers.get("HX-Request"):
            return render(request, "referrer/_account.html", {"account": self.account()})
        return redirect("pages:home")


def part(request: HttpRequest, template: str, name: str, panel: Versioned) -> HttpResponse:
    """One part of the page; 204 when the reader has this version of it already."""
    if request.GET.get("seen") == panel.version:
        return HttpResponse(status=204)
    return render(request, template, {name: panel})


class Home(ReferrerPage):
    def get(self, request: HttpRequest) -> HttpResponse:
        return render(
            request,
            "referrer/home.html",
            {
                "referrer": self.referrer,
                "account": self.account(),
                "people": self.people(),
            },
        )


class Password(PasswordChangeView):
    """For everybody who logs in here or in the admin, with the consequences of the API's."""

    template_name = "referrer/password.html"
    form_class = LimitedPasswordChange

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "request": self.request}

    def form_valid(self, form: PasswordChangeForm) -> HttpResponse:
        passwords.change(
            form.user,
            form.cleaned_data["new_password1"],
            actor=actor_of(self.request),
            now=timezone.now(),
        )
        update_session_auth_hash(self.request, form.user)
        messages.success(self.request, _("Your password is changed."))
        return redirect("admin:index" if form.user.is_staff else "pages:home")


class AccountPart(ReferrerPage):
    def get(self, request: HttpRequest) -> HttpResponse:
        return part(request, "referrer/_account.html", "account", self.account())


class PeoplePart(ReferrerPage):
    def get(self, request: HttpRequest) -> HttpResponse:
        return part(request, "referrer/_people.html", "people", self.people())


class Link(ReferrerPage):
    """Ask for a QR code; the account's part of the page then shows it, and each that follows."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        phone = ""
        if typed := request.POST.get("phone", "").strip():
            try:
                phone = phones.parse(typed[:60], region=self.referrer.tenant.region)
            except phones.BadPhone:
                messages.error(
                    request, _("This is no mobile number: write it with its country code.")
                )
                return self.done(request)
        if self.too_often():
            messages.error(request, _("You asked for a code very often: wait a minute."))
        elif linking.request(self.own_account(), phone=phone, **self.by()) or phone:
            messages.success(request, _("Your code is being fetched."))
        return self.done(request)

    def too_often(self) -> bool:
        """Each attempt starts a browser. Without Redis nothing is shown, so nothing is counted."""
        key = f"page:link:{self.referrer.pk}"
        try:
            return count(key, window=60, now=time.time()) > LINKS_PER_MINUTE
        except RedisError:
            return False


class Disconnect(ReferrerPage):
    """Asks first: linking again takes the phone at hand."""

    def get(self, request: HttpRequest) -> HttpResponse:
        account = self.account()
        if not account.health.may_disconnect:
            return redirect("pages:home")
        return render(request, "referrer/disconnect.html", {"account": account})

    def post(self, request: HttpRequest) -> HttpResponse:
        account = self.referrer.account
        if account is not None and linking.disconnect(account, **self.by()):
            messages.success(request, _("Your WhatsApp is being disconnected."))
        return self.done(request)


class Sending(ReferrerPage):
    """Hold every message back, or go on."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        account = self.own_account()
        match request.POST.get("paused"):
            case "yes":
                linking.pause_sending(account, **self.by())
                messages.success(request, _("Sending is paused. Everybody keeps their place."))
            case "no":
                linking.resume_sending(account, **self.by())
                messages.success(request, _("Sending goes on."))
            case _other:
                messages.error(request, _("Nothing was changed: press Pause or Resume."))
        return self.done(request)


class Enrolment(ReferrerPage):
    """Take no new people in, or take them in again."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        match request.POST.get("paused"):
            case "yes":
                referrers.pause_enrolment(self.referrer, paused=True, **self.by())
                messages.success(request, _("No new people are taken in."))
            case "no":
                referrers.pause_enrolment(self.referrer, paused=False, **self.by())
                messages.success(request, _("New people are taken in again."))
            case _other:
                messages.error(request, _("Nothing was changed: press Pause or Resume."))
        return self.done(request)


class Settle(ReferrerPage):
    """A message that may or may not have arrived: the referrer has looked into the chat."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, public_id: UUID) -> HttpResponse:
        message = get_object_or_404(
            Message, public_id=public_id, delivery__target__referral__referrer=self.referrer
        )
        match request.POST.get("arrived"):
            case "yes" | "no" as arrived:
                done = outbox.settle(message.pk, sent=arrived == "yes", **self.by())
                message.refresh_from_db(fields=["state"])
                if not done:
                    messages.info(request, _("Somebody has answered this already."))
                elif message.state == Message.State.CANCELLED:
                    messages.info(request, _("Thank you. It is too late to send it again."))
                else:
                    messages.success(request, _("Thank you. It goes on from there."))
            case _other:
                messages.error(request, _("Nothing was changed: say whether it is there."))
        if request.headers.get("HX-Request"):
            return render(request, "referrer/_people.html", {"people": self.people()})
        return redirect("pages:home")
