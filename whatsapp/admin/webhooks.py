"""Webhooks in the admin: added with a secret shown once, tried, read and sent again."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from accounts.actions import back_to_page, confirmed, finished
from accounts.activity import actor_of
from accounts.admin.keys import MadeWithSecret, secret_page
from accounts.console import ConsoleAdmin, QuestionFilter, ReadOnly, TenantScoped, action, display
from whatsapp.admin.panel import Button
from whatsapp.models import WebhookDelivery, WebhookEndpoint
from whatsapp.webhooks import endpoints

State = WebhookDelivery.State
COLOURS = {"on": "success", "failing": "warning", "off": "danger"}
SHOWN = 20  # calls on a webhook's page; the log has them all
AGAIN = ngettext_lazy("%d event goes out again.", "%d events go out again.")
DELIVERY_COLOURS = {State.PENDING: "info", State.DELIVERED: "success", State.DEAD: "danger"}


class WebhookForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    events = forms.MultipleChoiceField(
        label=_("events"),
        choices=WebhookEndpoint.Event,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=_("What it is told."),
    )

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        try:
            endpoints.check(url=given.get("url", ""), events=given.get("events", ()))
        except endpoints.BadEndpoint as error:
            self.add_error(error.field, str(error))
        return given

    class Meta:
        model = WebhookEndpoint
        fields = ["tenant", "name", "url", "events", "include_text", "active"]


class EndpointQuestions(QuestionFilter):
    title = _("question")
    questions = {
        "failing": (_("Which are failing?"), lambda rows: rows.exclude(failing_since=None)),
        "off": (_("Which are switched off?"), lambda rows: rows.filter(active=False)),
    }


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(MadeWithSecret, TenantScoped, ConsoleAdmin):
    list_display = ["name", "url", "tenant", "health", "created_at"]
    list_filter = [EndpointQuestions, "tenant"]
    list_select_related = ["tenant"]
    search_fields = ["^name", "^url"]
    form = WebhookForm
    if_empty = _("Webhooks tell your own systems what happens: add one.")
    if_empty_page = "admin:whatsapp_webhookendpoint_add"
    fields = [
        "tenant", "name", "url", "events", "include_text", "active", "failing_since",
        "switched_off_at",
    ]  # fmt: skip
    readonly_fields = ["failing_since", "switched_off_at"]
    actions = ["try_out", "replay_dead", "rotate"]
    change_form_outer_before_template = "admin/whatsapp/webhookendpoint/story.html"

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        every = super().get_fields(request, obj)
        return every if obj else [name for name in every if name in WebhookForm.Meta.fields[:5]]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        return [*fields, "name"] if obj else fields

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:  # noqa: ARG002
        return {"story": self._story(obj)}

    def _story(self, endpoint: WebhookEndpoint) -> dict[str, Any]:
        """How it fares, what can be done, and its latest calls."""
        colour, state = self._state(endpoint)
        dead = endpoint.deliveries.filter(state=State.DEAD).exists()
        buttons = [Button("try_out", _("Send a test event"), "send", "primary")]
        if dead:
            again = _("Send dead letters again …")
            buttons.append(Button("replay_dead", again, "replay"))
        latest = endpoint.deliveries.select_related("event").order_by("-id")[:SHOWN]
        return {
            "colour": COLOURS[colour],
            "state": state,
            "dead": dead,
            "buttons": [*buttons, Button("rotate", _("Give it a new secret …"), "key")],
            "calls": [(one, DELIVERY_COLOURS[State(one.state)]) for one in latest],
        }

    @display(description=_("state"), label=COLOURS)
    def health(self, endpoint: WebhookEndpoint) -> tuple[str, Any]:
        return self._state(endpoint)

    def _state(self, endpoint: WebhookEndpoint) -> tuple[str, Any]:
        if not endpoint.active:
            return "off", _("switched off")
        return ("failing", _("failing")) if endpoint.failing_since else ("on", _("working"))

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        given = form.cleaned_data
        actor, now = actor_of(request), timezone.now()
        if change:
            endpoints.change(
                obj,
                url=given["url"],
                events=given["events"],
                include_text=given["include_text"],
                active=given["active"],
                actor=actor,
                now=now,
            )
            return
        made, secret = endpoints.create(
            tenant=given["tenant"],
            name=given["name"],
            url=given["url"],
            events=given["events"],
            include_text=given["include_text"],
            actor=actor,
            now=now,
        )
        obj.pk, obj.issued_secret = made.pk, secret

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        endpoints.delete(obj, actor=actor_of(request), now=timezone.now())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for endpoint in queryset:
            self.delete_model(request, endpoint)

    @action(description=_("Send a test event"), permissions=["view"])
    def try_out(self, request: HttpRequest, rows: QuerySet[WebhookEndpoint]) -> HttpResponse | None:
        for endpoint in rows:
            endpoints.test(endpoint, now=timezone.now())
        self.message_user(request, _("Sent: the log says what came of it."), messages.SUCCESS)
        return back_to_page(self, request)

    @action(description=_("Send dead letters again …"), permissions=["view"])
    def replay_dead(
        self, request: HttpRequest, rows: QuerySet[WebhookEndpoint]
    ) -> HttpResponse | None:
        page = confirmed(
            self,
            request,
            rows,
            action_name="replay_dead",
            question=_("Send every dead letter of these webhooks again?"),
            consequence=_("Each carries the id it had: a receiver that has it can drop it."),
        )
        if page is not None:
            return page
        now = timezone.now()
        done = sum(endpoints.replay(row, actor=actor_of(request), now=now) for row in rows)
        return finished(self, request, done, AGAIN)

    @action(description=_("Give it a new secret …"), permissions=["view"])
    def rotate(self, request: HttpRequest, rows: QuerySet[WebhookEndpoint]) -> HttpResponse | None:
        if rows.count() != 1:
            self.message_user(
                request, _("Choose one webhook: each secret is shown once."), messages.WARNING
            )
            return None
        page = confirmed(
            self,
            request,
            rows,
            action_name="rotate",
            question=_("Give this webhook a new secret?"),
            consequence=_("Calls fit the old and the new secret for a day, then the new one only."),
        )
        if page is not None:
            return page
        endpoint: Any = rows.get()
        endpoint.issued_secret = endpoints.rotate(
            endpoint, actor=actor_of(request), now=timezone.now()
        )
        return secret_page(self, request, endpoint)


class DeliveryQuestions(QuestionFilter):
    title = _("question")
    questions = {
        "dead": (_("What was given up?"), lambda rows: rows.filter(state=State.DEAD)),
        "waiting": (_("What waits?"), lambda rows: rows.filter(state=State.PENDING)),
        "failed": (
            _("What fails?"),
            lambda rows: rows.filter(state=State.PENDING).exclude(error=""),
        ),
    }


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(ReadOnly, TenantScoped, ConsoleAdmin):
    """The log: every event for every webhook."""

    tenant_path = "endpoint__tenant"
    if_empty = _("Nothing was told to your own systems yet: add a webhook.")
    if_empty_page = "admin:whatsapp_webhookendpoint_add"
    list_display = [
        "happened", "endpoint", "type", "object_key", "state_label", "attempts", "status", "error",
    ]  # fmt: skip
    list_filter = [DeliveryQuestions]
    list_select_related = ["event", "endpoint__tenant"]
    search_fields = ["=object_key"]
    search_help_text = _("What it is about, as in message:0d9c1f0e-…")
    ordering = ["-id"]
    actions = ["replay"]
    fields = [
        "endpoint", "type", "object_key", "data", "state", "attempts", "next_at", "give_up_at",
        "status", "error", "milliseconds", "ended_at",
    ]  # fmt: skip
    readonly_fields = ["type", "data"]

    @display(description=_("created at"), ordering="id")
    def happened(self, delivery: WebhookDelivery) -> Any:
        return delivery.event.created_at

    @display(description=_("event"))
    def type(self, delivery: WebhookDelivery) -> str:
        return delivery.event.type

    @display(description=_("data"))
    def data(self, delivery: WebhookDelivery) -> Any:
        return delivery.event.data

    @display(description=_("state"), ordering="state", label=DELIVERY_COLOURS)
    def state_label(self, delivery: WebhookDelivery) -> tuple[str, str]:
        return delivery.state, delivery.get_state_display()

    @action(description=_("Send again …"), permissions=["view"])
    def replay(self, request: HttpRequest, rows: QuerySet[WebhookDelivery]) -> HttpResponse | None:
        ended = rows.exclude(state=State.PENDING)
        page = confirmed(
            self,
            request,
            ended,
            action_name="replay",
            question=_("Send these events again?"),
            consequence=_("Each carries the id it had: a receiver that has it can drop it."),
        )
        if page is not None:
            return page
        now, done = timezone.now(), 0
        for endpoint in WebhookEndpoint.objects.filter(deliveries__in=ended).distinct():
            ids = list(ended.filter(endpoint=endpoint).values_list("pk", flat=True))
            done += endpoints.replay(endpoint, delivery_ids=ids, actor=actor_of(request), now=now)
        return finished(self, request, done, AGAIN)
