"""Contacts in the admin: who they are, whether one may write to them, and what they agreed to."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.translation import gettext, ngettext_lazy
from django.utils.translation import gettext_lazy as _

from accounts.actions import confirmed, finished
from accounts.activity import Verb, actor_of, record
from accounts.console import (
    ConsoleAdmin,
    ConsoleTabularInline,
    QuestionFilter,
    ReadOnly,
    TenantScoped,
    action,
    display,
)
from accounts.exports import csv_answer
from accounts.import_pages import ImportsCsv
from accounts.wording import when
from whatsapp import contact_files, contacts
from whatsapp.admin.contact_forms import (
    BasisForm,
    ContactForm,
    GroupFilter,
    NoteForm,
    TagFilter,
    TagsForm,
)
from whatsapp.admin.contact_story import VERDICTS, story
from whatsapp.models import ConsentEntry, Contact

ONE_DAY = dt.timedelta(days=1)
ENGAGED = 60
HOW = "admin"


class ContactQuestions(QuestionFilter):
    title = _("question")
    questions = {
        "scraped": (
            _("Who was scraped and lacks a lawful basis?"),
            lambda rows: rows.filter(source=Contact.Source.GROUP, lawful_basis=""),
        ),
        "stopped": (_("Who said stop?"), lambda rows: rows.exclude(opted_out_at=None)),
        "engaged": (_("Who takes part?"), lambda rows: rows.filter(engagement__gte=ENGAGED)),
        "absent": (_("Who is not on WhatsApp?"), lambda rows: rows.filter(on_whatsapp=False)),
        "new": (
            _("Who is new in 24 hours?"),
            lambda rows: rows.filter(created_at__gte=timezone.now() - ONE_DAY),
        ),
    }


class ConsentInline(ReadOnly, ConsoleTabularInline):
    model = ConsentEntry
    fields = ["at", "what", "how", "note", "actor_name"]
    ordering = ["-at", "-id"]
    extra = 0
    hide_title = True
    verbose_name_plural = _("consent ledger")


@admin.register(Contact)
class ContactAdmin(ImportsCsv, TenantScoped, ConsoleAdmin):
    form = ContactForm
    list_display = [
        "who", "name", "tenant", "tags_shown", "source", "may_be_written_to", "engagement",
    ]  # fmt: skip
    list_filter = [ContactQuestions, TagFilter, GroupFilter, "source", "language", "tenant"]
    list_select_related = ["tenant"]
    search_fields = ["^phone", "^name", "=lid"]
    search_help_text = _("How a name or a number begins: Zoé, 06 39 98 …, +33 6 39")
    ordering = ["-id"]
    actions = ["tag", "record_basis", "withdraw_basis", "opt_out", "opt_in", "export_csv"]
    import_title = _("Import contacts")
    import_table = contact_files.ContactTable
    import_row = "phone"
    import_rows = staticmethod(contact_files.import_rows)
    if_empty = _("Nobody is known yet: import a CSV file, or discover an account’s groups.")
    if_empty_page = "admin:whatsapp_contact_import_csv"
    inlines = [ConsentInline]
    change_form_outer_before_template = "admin/whatsapp/contact/story.html"
    fields = [
        "tenant", "phone", "lid", "name", "language", "persona", "tags", "source",
        "source_detail", "engagement", "lawful_basis_shown", "opted_out_at", "on_whatsapp",
        "created_at", "correspondence",
    ]  # fmt: skip
    readonly_fields = [
        "lid", "source", "source_detail", "engagement", "lawful_basis_shown", "opted_out_at",
        "on_whatsapp", "created_at", "correspondence",
    ]  # fmt: skip

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        entered = ["tenant", "phone", "name", "language", "persona", "tags"]
        return super().get_fields(request, obj) if obj is not None else entered

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        return [*fields, "phone"] if obj is not None else fields

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return super().get_inlines(request, obj) if obj is not None else []

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False  # deleting a person's data is more than a row: docs/how-to/peoples-data.md

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change:
            obj.source = Contact.Source.HAND
        super().save_model(request, obj, form, change)

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:  # noqa: ARG002
        return {"story": story(obj)}

    # ------------------------------------------------------------------------ columns

    @display(description=_("phone"), ordering="phone")
    def who(self, contact: Contact) -> str:
        return contact.address

    @display(description=_("tags"))
    def tags_shown(self, contact: Contact) -> str:
        return ", ".join(contact.tags)

    @display(
        description=_("may be written to"),
        ordering="opted_out_at",
        label={"yes": "success", "opted_out": "danger", "no_lawful_basis": "warning"},
    )
    def may_be_written_to(self, contact: Contact) -> tuple[str, str]:
        return contact.obstacle or "yes", str(VERDICTS[contact.obstacle])

    @display(description=_("lawful basis"))
    def lawful_basis_shown(self, contact: Contact) -> str:
        if not contact.lawful_basis or contact.lawful_basis_at is None:
            return "-"
        return gettext("%(basis)s, recorded by %(who)s %(when)s: %(note)s") % {
            "basis": contact.get_lawful_basis_display(),
            "who": contact.lawful_basis_by,
            "when": when(contact.lawful_basis_at, now=timezone.now(), zone=contact.tenant.zone),
            "note": contact.lawful_basis_note or "-",
        }

    @display(description=_("correspondence"))
    def correspondence(self, contact: Contact) -> str:
        return format_html_join(
            " · ",
            '<a class="underline" href="{}?contact__id__exact={}">{}</a>',
            (
                (reverse(f"admin:whatsapp_{model}_changelist"), contact.pk, words)
                for model, words in (
                    ("message", _("messages to them")),
                    ("incoming", _("messages from them")),
                )
            ),
        )

    # ------------------------------------------------------------------------ actions

    @action(description=_("Tag …"), permissions=["change"])
    def tag(self, request: HttpRequest, rows: QuerySet[Contact]) -> HttpResponse | None:
        form = TagsForm(_given(request))
        actor, now = actor_of(request), timezone.now()
        return self._each(
            request,
            rows,
            name="tag",
            question=_("Which tags do they get?"),
            consequence=_("They keep those they have."),
            form=form,
            act=lambda contact: bool(
                contacts.tag(
                    Contact.objects.filter(pk=contact.pk),
                    form.cleaned_data["tags"],
                    actor=actor,
                    now=now,
                )
            ),
            done=ngettext_lazy("%d person is tagged.", "%d people are tagged."),
        )

    @action(description=_("Record a lawful basis …"), permissions=["change"])
    def record_basis(self, request: HttpRequest, rows: QuerySet[Contact]) -> HttpResponse | None:
        form = BasisForm(_given(request))
        actor, now = actor_of(request), timezone.now()
        return self._each(
            request,
            rows,
            name="record_basis",
            question=_("Why may one write to these people?"),
            consequence=_(
                "People scraped from groups get messages from then on, unless they said stop. "
                "Your name and the time are kept."
            ),
            form=form,
            act=lambda contact: contacts.record_basis(
                contact, how=HOW, actor=actor, now=now, **form.cleaned_data
            ),
            done=ngettext_lazy("Recorded for %d person.", "Recorded for %d people."),
        )

    @action(description=_("Withdraw the lawful basis …"), permissions=["change"])
    def withdraw_basis(self, request: HttpRequest, rows: QuerySet[Contact]) -> HttpResponse | None:
        form = NoteForm(_given(request))
        actor, now = actor_of(request), timezone.now()
        return self._each(
            request,
            rows.exclude(lawful_basis=""),
            name="withdraw_basis",
            question=_("Withdraw the lawful basis of these people?"),
            consequence=_(
                "People scraped from groups leave every sequence, and no message goes to them."
            ),
            form=form,
            act=lambda contact: contacts.withdraw_basis(
                contact, how=HOW, actor=actor, now=now, **form.cleaned_data
            ),
            done=ngettext_lazy("Withdrawn for %d person.", "Withdrawn for %d people."),
        )

    @action(description=_("Said stop: never write to them again …"), permissions=["change"])
    def opt_out(self, request: HttpRequest, rows: QuerySet[Contact]) -> HttpResponse | None:
        reason, actor, now = f"by hand: {request.user}", actor_of(request), timezone.now()
        return self._each(
            request,
            rows,
            name="opt_out",
            question=_("Never write to these people again?"),
            consequence=_("They leave every sequence now, and no message goes to them any more."),
            act=lambda contact: contacts.opt_out(
                contact, reason=reason, how=HOW, actor=actor, now=now
            ),
            done=ngettext_lazy("%d person is opted out.", "%d people are opted out."),
        )

    @action(description=_("Wants messages again …"), permissions=["change"])
    def opt_in(self, request: HttpRequest, rows: QuerySet[Contact]) -> HttpResponse | None:
        form = NoteForm(_given(request))
        actor, now = actor_of(request), timezone.now()
        return self._each(
            request,
            rows.exclude(opted_out_at=None),
            name="opt_in",
            question=_("Do these people want messages again?"),
            consequence=_("Nothing that was cancelled is sent after all."),
            form=form,
            act=lambda contact: contacts.opt_in(
                contact, how=HOW, actor=actor, now=now, **form.cleaned_data
            ),
            done=ngettext_lazy("%d person is back.", "%d people are back."),
        )

    def _each(
        self,
        request: HttpRequest,
        rows: QuerySet[Contact],
        *,
        name: str,
        question: Any,
        consequence: Any,
        act: Callable[[Contact], bool],
        done: Any,
        form: Any = None,
    ) -> HttpResponse | None:
        """Ask, do it to each, say how many it changed, and go back to where one was."""
        asked = confirmed(
            self,
            request,
            rows,
            action_name=name,
            question=question,
            consequence=consequence,
            form=form,
        )
        if asked is not None:
            return asked
        changed = [contact for contact in rows.order_by("pk") if act(contact)]
        for contact in changed:
            self.log_change(request, contact, name)
        return finished(self, request, len(changed), done)

    @action(description=_("Export as CSV"), permissions=["view"])
    def export_csv(self, request: HttpRequest, rows: QuerySet[Contact]) -> HttpResponseBase:
        """The chosen rows; their columns can be imported again."""
        now, actor = timezone.now(), actor_of(request)
        for tenant_id in rows.order_by().values_list("tenant", flat=True).distinct():
            record(
                tenant_id=tenant_id,
                verb=Verb.CONTACTS_EXPORTED,
                actor=actor,
                detail={"contacts": rows.filter(tenant=tenant_id).count()},
                now=now,
            )
        return csv_answer("contacts.csv", contact_files.HEADER, contact_files.exported(rows))


def _given(request: HttpRequest) -> Any:
    """What was filled in, once it was: the question comes first."""
    return request.POST if "confirmed" in request.POST else None
