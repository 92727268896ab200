"""Chat agents in the admin: set up, given rules, asked what they would answer."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.postgres.forms import SimpleArrayField
from django.core.validators import MaxLengthValidator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminPasswordWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from accounts.activity import actor_of
from accounts.console import (
    ConsoleAdmin,
    ConsoleTabularInline,
    QuestionFilter,
    ReadOnly,
    TenantScoped,
    display,
)
from accounts.forms import TextsByLanguage
from whatsapp import reasons
from whatsapp.agents import setup
from whatsapp.agents.protocol import NoAnswer, Question
from whatsapp.agents.switchboard import connect
from whatsapp.models import AgentRule, AgentSession, AgentTurn, ChatAgent

State = AgentTurn.State
TURN_COLOURS = {
    State.WAITING: "info",
    State.ASKING: "info",
    State.ANSWERED: "success",
    State.FAILED: "danger",
    State.SKIPPED: "warning",
}


class AgentForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    """What `config` and the sealed secret hold, as fields; the secret is never shown again."""

    url = forms.CharField(
        required=False,
        max_length=setup.LONGEST_URL,
        label=_("Address"),
        widget=UnfoldAdminTextInputWidget,
        help_text=_("Of a webhook: https://…"),
    )
    agent_id = forms.CharField(
        required=False,
        max_length=setup.LONGEST_ID,
        label=_("Retell’s agent"),
        widget=UnfoldAdminTextInputWidget,
        help_text=_("Its id at Retell: agent_…"),
    )
    fallback = TextsByLanguage(
        label=_("When no rule fits"),
        help_text=_("Of rules, a line for each language: fr: Je ne sais pas. Empty: nothing."),
    )
    apology = TextsByLanguage(
        label=_("Apology"),
        help_text=_(
            "What people get once a conversation when there is no answer, a line for each "
            "language: fr: Je reviens vers vous. Empty: a text of Relance’s own."
        ),
    )
    new_secret = forms.CharField(
        required=False,
        max_length=setup.LONGEST_SECRET,
        label=_("Secret"),
        widget=UnfoldAdminPasswordWidget,
        help_text=_(
            "Retell’s API key, or what calls to the webhook are signed with. Empty: it stays."
        ),
    )

    class Meta:
        model = ChatAgent
        fields = [
            "tenant", "name", "kind", "enabled", "apology", "timeout_seconds",
            "answers_per_hour", "idle_minutes",
        ]  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        config = self.instance.config or {}
        for name in ("url", "agent_id", "fallback"):
            self.fields[name].initial = config.get(name) or ({} if name == "fallback" else "")

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or self.cleaned_data
        for problem in setup.check(
            self.instance,
            kind=given.get("kind", ""),
            url=given.get("url", ""),
            agent_id=given.get("agent_id", ""),
            secret=given.get("new_secret", ""),
        ):
            field = "new_secret" if problem.field == "secret" else problem.field
            self.add_error(field, str(problem))
        return given

    def save(self, commit: bool = True) -> Any:
        given = self.cleaned_data
        setup.equip(
            self.instance,
            kind=given["kind"],
            url=given["url"],
            agent_id=given["agent_id"],
            fallback=given["fallback"],
            secret=given["new_secret"],
        )
        return super().save(commit)


class RuleForm(forms.ModelForm):  # type: ignore[type-arg]  # as above
    keywords = SimpleArrayField(
        forms.CharField(max_length=80),
        validators=[MaxLengthValidator(setup.MOST_KEYWORDS)],
        widget=UnfoldAdminTextInputWidget,
        label=_("keywords"),
    )

    class Meta:
        model = AgentRule
        fields = ["position", "keywords", "language", "answer"]
        widgets = {"answer": UnfoldAdminTextareaWidget(attrs={"rows": 2})}


class RulesInline(ConsoleTabularInline):
    model = AgentRule
    form = RuleForm
    extra = 1
    ordering = ["position", "id"]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return True

    has_change_permission = has_view_permission = has_delete_permission = has_add_permission


class AgentQuestions(QuestionFilter):
    title = _("question")
    questions = {
        "failing": (_("Which do not answer?"), lambda rows: rows.exclude(failing_since=None)),
    }


@admin.register(ChatAgent)
class ChatAgentAdmin(TenantScoped, ConsoleAdmin):
    form = AgentForm
    list_display = ["name", "kind", "tenant", "state", "on", "failing_since"]
    list_filter = [AgentQuestions, "kind", "tenant"]
    list_select_related = ["tenant"]
    search_fields = ["^name"]
    inlines = [RulesInline]
    if_empty = _("A chat agent answers who writes to you: add one, then give it to an account.")
    if_empty_page = "admin:whatsapp_chatagent_add"
    change_form_outer_before_template = "admin/whatsapp/chatagent/try.html"
    # What only one kind of agent has is shown when that is chosen.
    conditional_fields = {
        "fallback": "kind == 'rules'",
        "url": "kind == 'webhook'",
        "agent_id": "kind == 'retell'",
        "new_secret": "kind != 'rules'",
    }
    fieldsets = [
        (None, {"fields": ["tenant", "name", "kind", "enabled"]}),
        (_("What it is"), {"fields": ["fallback", "url", "agent_id", "new_secret"]}),
        (
            _("How it behaves"),
            {"fields": ["timeout_seconds", "answers_per_hour", "idle_minutes", "apology"]},
        ),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).prefetch_related("accounts")

    @display(description=_("state"), label={"on": "success", "failing": "danger", "off": "default"})
    def state(self, agent: ChatAgent) -> tuple[str, str]:
        if not agent.enabled:
            return "off", gettext("switched off")
        if agent.failing_since is not None:
            return "failing", gettext("does not answer")
        return "on", gettext("working")

    @display(description=_("accounts"))
    def on(self, agent: ChatAgent) -> str:
        return ", ".join(account.name for account in agent.accounts.all()) or "-"

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if change:  # what the form made of other fields
            obj.save(update_fields=["config", "sealed_secret"])

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        setup.delete(obj, actor=actor_of(request), now=timezone.now())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for agent in queryset:
            self.delete_model(request, agent)

    def get_urls(self) -> list[URLPattern]:
        ask = path(
            "<int:pk>/try/", self.admin_site.admin_view(self.ask), name="whatsapp_chatagent_try"
        )
        return [ask, *super().get_urls()]

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:  # noqa: ARG002
        return {"agent": obj}

    def ask(self, request: HttpRequest, pk: int) -> HttpResponse:
        """What it would answer: asked as it is stored, sent to nobody."""
        agent = self.get_object(request, str(pk))
        if agent is None or request.method != "POST":
            raise Http404("There is no such agent.")
        text = request.POST.get("text", "")[:4096]
        context: dict[str, Any] = {"agent": agent, "text": text, "asked": True}
        variables = {
            "contact_name": "Zoé",
            "contact_phone": "",
            "contact_language": agent.tenant.default_language,
            "account": "",
            "company": agent.tenant.name,
        }
        deadline = float(agent.timeout_seconds)
        try:
            asked = connect(agent)
            session = asked.begin(variables, session=f"try-{agent.pk}", deadline=deadline)
            question = Question(
                id=f"try-{agent.pk}",
                session=session,
                text=text,
                language=agent.tenant.default_language,
                variables=variables,
            )
            context["texts"] = asked.answer(question, deadline=deadline).texts
            asked.end(session, deadline=deadline)
        except NoAnswer as error:
            context["error"] = str(error)
        return TemplateResponse(request, "admin/whatsapp/chatagent/try.html", context)


class TurnQuestions(QuestionFilter):
    title = _("question")
    questions = {
        "failed": (_("What was not answered?"), lambda rows: rows.filter(state=State.FAILED)),
        "skipped": (_("What was left alone?"), lambda rows: rows.filter(state=State.SKIPPED)),
    }


@admin.register(AgentTurn)
class AgentTurnAdmin(ReadOnly, TenantScoped, ConsoleAdmin):
    tenant_path = "agent__tenant"
    if_empty = _("No agent was asked yet: give one to an account.")
    if_empty_page = "admin:whatsapp_account_changelist"
    list_display = ["created_at", "agent", "chat", "state_label", "why", "took"]
    list_filter = [TurnQuestions]
    list_select_related = ["agent__tenant", "chat__account__tenant", "chat__contact"]
    ordering = ["-pk"]

    @display(description=_("state"), ordering="state", label=TURN_COLOURS)
    def state_label(self, turn: AgentTurn) -> tuple[str, str]:
        return turn.state, turn.get_state_display()

    @display(description=_("reason"), ordering="error_code")
    def why(self, turn: AgentTurn) -> str:
        return reasons.of_agent(turn.error_code) or "-"

    @display(description=_("the agent took"))
    def took(self, turn: AgentTurn) -> str:
        if turn.asked_at is None or turn.heard_at is None:
            return "-"
        return f"{(turn.heard_at - turn.asked_at).total_seconds():.1f} s"


@admin.register(AgentSession)
class AgentSessionAdmin(ReadOnly, TenantScoped, ConsoleAdmin):
    tenant_path = "agent__tenant"
    list_display = ["started_at", "agent", "chat", "last_at", "ended_at", "why"]
    list_filter = ["why"]
    list_select_related = ["agent__tenant", "chat__account__tenant", "chat__contact"]
    ordering = ["-pk"]
