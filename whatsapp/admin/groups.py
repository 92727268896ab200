"""Groups in the admin: where accounts can write, who is in there, and where it belongs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext, ngettext_lazy
from django.utils.translation import gettext_lazy as _

from accounts.actions import back_to_page
from accounts.activity import actor_of
from accounts.console import ConsoleAdmin, MixinBase, QuestionFilter, TenantScoped, action, display
from accounts.wording import when
from whatsapp import groups
from whatsapp.admin.contact_forms import TagField, TagFilter
from whatsapp.admin.contact_story import VERDICTS
from whatsapp.admin.panel import Button
from whatsapp.models import Account, Group

SHOWN_MEMBERS = 100
ROLE_COLOURS = {"member": "info", "admin": "success", "left": "danger"}


class AsksOnce(MixinBase):
    """Lists of accounts and of groups whose worker can be asked for something."""

    def ask(
        self,
        request: HttpRequest,
        rows: QuerySet[Any],
        request_it: Callable[..., bool],
        done: Any,
    ) -> HttpResponse | None:
        """Ask for each; say for how many, and why not for the others."""
        now, actor = timezone.now(), actor_of(request)
        asked, refused = 0, ""
        for row in rows:
            try:
                request_it(row, actor=actor, now=now)
                asked += 1
            except groups.CannotAsk as error:
                refused = f"{row}: {error}"
        if asked:
            self.message_user(request, done % asked, messages.SUCCESS)
        if refused:
            self.message_user(request, refused, messages.WARNING)
        return back_to_page(self, request)


class DiscoversGroups(AsksOnce):
    """The action of the list of accounts."""

    @action(description=_("Discover groups"), permissions=["change"])
    def discover_groups(self, request: HttpRequest, rows: QuerySet[Account]) -> HttpResponse | None:
        return self.ask(
            request,
            rows,
            groups.request_discovery,
            ngettext_lazy(
                "WhatsApp is asked for the groups of %d account: they come within seconds.",
                "WhatsApp is asked for the groups of %d accounts: they come within seconds.",
            ),
        )


class GroupQuestions(QuestionFilter):
    title = _("question")
    questions = {
        "writable": (_("Where can we write?"), lambda rows: rows.writable()),
        "left": (_("What did we leave?"), lambda rows: rows.filter(role=Group.Role.LEFT)),
        "waiting": (
            _("Whose members are asked for?"),
            lambda rows: rows.exclude(members_requested_at=None),
        ),
        "unseen": (
            _("Whose members are not known?"),
            lambda rows: rows.filter(members_scraped_at=None),
        ),
    }


class GroupForm(forms.ModelForm):  # type: ignore[type-arg]
    segments = TagField(label=capfirst(_("segments")))
    tags = TagField(label=capfirst(_("tags")))

    class Meta:
        model = Group
        fields = ["region", "segments", "tags"]


@admin.register(Group)
class GroupAdmin(AsksOnce, TenantScoped, ConsoleAdmin):
    form = GroupForm
    list_display = [
        "subject", "account", "tenant", "role_label", "writes", "member_count",
        "tags_shown", "members_scraped_at",
    ]  # fmt: skip
    list_filter = [GroupQuestions, TagFilter, "role", "tenant"]
    list_select_related = ["account__tenant", "tenant"]
    search_fields = ["^subject", "=account__name", "=chat_id"]
    search_help_text = _("How a subject begins, or an account")
    ordering = ["-id"]
    actions = ["scrape"]
    if_empty = _("No group is known yet: discover the groups of an account.")
    if_empty_page = "admin:whatsapp_account_changelist"
    change_form_outer_before_template = "admin/whatsapp/group/story.html"
    fields = [
        "account", "subject", "description", "role", "announce_only", "member_count", "region",
        "segments", "tags", "chat_id", "discovered_at", "refreshed_at",
    ]  # fmt: skip
    readonly_fields = [
        "account", "subject", "description", "role", "announce_only", "member_count", "chat_id",
        "discovered_at", "refreshed_at",
    ]  # fmt: skip

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False  # discovered, never made up

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.select_related("account__tenant", "tenant")

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:  # noqa: ARG002
        return {"story": _story(obj)}

    @display(description=_("role"), ordering="role", label=ROLE_COLOURS)
    def role_label(self, group: Group) -> tuple[str, str]:
        return group.role, group.get_role_display()

    @display(description=_("can write"), boolean=True)
    def writes(self, group: Group) -> bool:
        return group.can_write

    @display(description=_("tags"))
    def tags_shown(self, group: Group) -> str:
        return ", ".join(group.tags)

    @action(description=_("Take members over as contacts"), permissions=["change"])
    def scrape(self, request: HttpRequest, rows: QuerySet[Group]) -> HttpResponse | None:
        return self.ask(
            request,
            rows,
            groups.request_members,
            ngettext_lazy(
                "WhatsApp is asked for the members of %d group. Nobody may write to them before a "
                "lawful basis is recorded.",
                "WhatsApp is asked for the members of %d groups. Nobody may write to them before "
                "a lawful basis is recorded.",
            ),
        )


def _story(group: Group) -> dict[str, Any]:
    members = list(group.members.select_related("contact").order_by("-admin", "id")[:SHOWN_MEMBERS])
    for member in members:
        member.verdict = VERDICTS[member.contact.obstacle]  # type: ignore[attr-defined]
    return {
        "colour": "success" if group.can_write else "danger",
        "answer": _("yes") if group.can_write else _("no"),
        "why": _why(group),
        "buttons": _buttons(group),
        "members": members,
        "members_state": _members_state(group),
    }


def _why(group: Group) -> str:
    if group.role == Group.Role.LEFT:
        return gettext("The account is not in this group any more.")
    if group.role == Group.Role.ADMIN:
        return gettext("The account is an administrator of this group.")
    if group.announce_only:
        return gettext("Only administrators write there, and the account is none.")
    return gettext("The account is a member, and everybody may write.")


def _members_state(group: Group) -> str:
    if group.members_error:
        return gettext("They could not be read: %s") % group.members_error
    if group.members_requested_at is not None:
        return gettext("WhatsApp is being asked: load this page again in some seconds.")
    if group.members_scraped_at is None:
        return gettext("Nobody has asked for them yet.")
    zone = group.account.tenant.zone
    seen = when(group.members_scraped_at, now=timezone.now(), zone=zone)
    return gettext("As they were seen %s.") % seen


def _buttons(group: Group) -> list[Button]:
    if group.role == Group.Role.LEFT:
        return []
    return [Button("scrape", _("Take members over as contacts"), "group_add", "primary")]
