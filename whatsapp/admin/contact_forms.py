"""What is filled in and filtered by on the pages of contacts and groups."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.admin import SimpleListFilter
from django.contrib.postgres.forms import SimpleArrayField
from django.db.models import F, Func, QuerySet
from django.http import HttpRequest
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from accounts import phones
from accounts.console import companies
from whatsapp import contacts, suppression, tags
from whatsapp.models import Contact, Group


class TagField(SimpleArrayField):
    """Words with commas between them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            forms.CharField(),
            required=False,
            widget=UnfoldAdminTextInputWidget,
            help_text=_("Words with commas between them: lyon, vip"),
            **options,
        )

    def clean(self, value: Any) -> list[str]:
        try:
            return tags.read(super().clean(value))
        except tags.BadTag as error:
            raise forms.ValidationError(str(error)) from error


class TagFilter(SimpleListFilter):
    """The tags that rows of one's companies have."""

    title: Any = _("tag")
    parameter_name = "tag"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        rows = model_admin.model.objects.filter(tenant__in=companies(request)).exclude(tags=[])
        found = rows.annotate(tag=Func(F("tags"), function="unnest")).values_list("tag", flat=True)
        return [(tag, tag) for tag in found.distinct().order_by("tag")[:50]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        tag = (self.value() or "").replace("\0", "")
        return queryset.filter(tags__contains=[tag]) if tag else queryset


class GroupFilter(SimpleListFilter):
    """Members of the group whose page led here."""

    title: Any = _("group")
    parameter_name = "group"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        pk = request.GET.get("group", "")
        if not pk.isdecimal() or len(pk) > 18:
            return []
        found = Group.objects.filter(pk=pk, tenant__in=companies(request)).first()
        return [(pk, str(found))] if found else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        known = {key for key, _name in self.lookup_choices}
        if self.value() not in known:
            return queryset
        return queryset.filter(memberships__group=self.value(), memberships__left_at=None)


class ContactForm(forms.ModelForm):  # type: ignore[type-arg]
    tags = TagField(label=capfirst(_("tags")))
    language = forms.RegexField(
        rf"^{contacts.LANGUAGE}$",
        label=capfirst(_("language")),
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text=_("fr, en, pt-br; empty: not known"),
    )

    class Meta:
        model = Contact
        fields = ["tenant", "phone", "name", "language", "persona", "tags"]

    def clean(self) -> dict[str, Any]:
        """A new number is read as people write it, and may not be one that is known."""
        given: dict[str, Any] = super().clean() or {}
        tenant = given.get("tenant")
        if self.instance.pk is not None or tenant is None or "phone" not in given:
            return given
        try:
            given["phone"] = phones.parse(given["phone"], region=tenant.region)
        except phones.BadPhone as error:
            raise forms.ValidationError({"phone": str(error)}) from error
        if suppression.suppressed(tenant, [given["phone"]]):
            raise forms.ValidationError({"phone": gettext("This person asked to be forgotten.")})
        if Contact.objects.filter(tenant=tenant, phone=given["phone"]).exists():
            raise forms.ValidationError(
                {"phone": gettext("There is a contact with this number already.")}
            )
        return given


class BasisForm(forms.Form):
    basis = forms.ChoiceField(
        label=_("lawful basis"),
        choices=Contact.LawfulBasis.choices,
        widget=UnfoldAdminSelectWidget,
    )
    note = forms.CharField(
        label=_("where it comes from"),
        max_length=300,
        widget=UnfoldAdminTextInputWidget,
        help_text=_("Stays in the ledger with your name and the time: signed at the fair in Lyon"),
    )


class NoteForm(forms.Form):
    note = forms.CharField(label=_("why"), max_length=300, widget=UnfoldAdminTextInputWidget)


class TagsForm(forms.Form):
    tags = TagField(label=_("tags"))
