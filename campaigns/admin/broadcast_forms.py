"""The form of a broadcast: whom, from where, when; and what it says in each language."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf.locale import LANG_INFO
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminFileFieldWidget,
    UnfoldAdminTextareaWidget,
)

from accounts.console import ConsoleStackedInline, StaffOfCompany
from campaigns.broadcasts import texts
from campaigns.models import Broadcast, BroadcastText
from whatsapp import media
from whatsapp.models import Message

Kind = Message.Kind
LANGUAGE = _("Write the code of a language: fr, en, pt-br.")


class BroadcastForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    class Meta:
        model = Broadcast
        fields = ["tenant", "name", "segment", "accounts", "default_language", "starts_at", "clock"]
        widgets = {"accounts": UnfoldAdminCheckboxSelectMultipleWidget}

    def clean_default_language(self) -> str:
        language = str(self.cleaned_data["default_language"]).lower()
        if language not in LANG_INFO:
            raise forms.ValidationError(LANGUAGE)
        return language

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        tenant = data.get("tenant") or (self.instance.tenant if self.instance.pk else None)
        segment, accounts = data.get("segment"), data.get("accounts") or []
        if tenant is not None and segment is not None and segment.tenant_id != tenant.pk:
            self.add_error("segment", _("This segment is of another company."))
        if tenant is not None and any(account.tenant_id != tenant.pk for account in accounts):
            self.add_error("accounts", _("One of these accounts is of another company."))
        starts_at = data.get("starts_at")
        if "starts_at" in self.changed_data and starts_at and starts_at < timezone.now():
            self.add_error("starts_at", _("This time has passed: choose a later one, or none."))
        return data


class TextForm(forms.ModelForm):  # type: ignore[type-arg]
    file = forms.FileField(
        label=_("File"), required=False, widget=UnfoldAdminFileFieldWidget,
        help_text=_("A picture, video, document or audio file that goes along."),
    )  # fmt: skip
    drop = forms.BooleanField(label=_("without the file"), required=False)

    class Meta:
        model = BroadcastText
        fields = ["language", "body"]
        widgets = {"body": UnfoldAdminTextareaWidget(attrs={"rows": 5})}

    def clean_language(self) -> str:
        language = str(self.cleaned_data["language"]).lower()
        if language not in LANG_INFO:
            raise forms.ValidationError(LANGUAGE)
        return language

    def clean(self) -> dict[str, Any]:
        """A file is kept although something else is wrong; `kind` follows from what there is."""
        data: dict[str, Any] = super().clean() or self.cleaned_data
        data["body"] = str(data.get("body") or "").replace("\r\n", "\n")
        text: BroadcastText = self.instance
        tenant = text.broadcast.tenant if text.broadcast_id or self._new_tenant() else None
        if data.get("drop"):
            text.media, text.kind = None, Kind.TEXT
        if (upload := data.get("file")) and tenant is not None:
            try:
                text.media = media.store(
                    tenant=tenant,
                    data=upload.read(max(media.MAX_BYTES.values()) + 1),
                    filename=upload.name,
                )
                text.kind, text.content = Kind.MEDIA, {}
            except media.BadMedia as error:
                self.add_error("file", str(error))
        if tenant is not None and (wrong := texts.problem(text.kind, data["body"], tenant)):
            self.add_error("body", wrong)
        return data

    def _new_tenant(self) -> bool:
        return getattr(self.instance.broadcast, "tenant_id", None) is not None


class TextFormSet(BaseInlineFormSet):  # type: ignore[type-arg]
    """Forms know their broadcast, the new one included: texts are checked for its company."""

    def _construct_form(self, i: int, **kwargs: Any) -> Any:
        form = super()._construct_form(i, **kwargs)  # type: ignore[misc]  # Django's own
        form.instance.broadcast = self.instance
        return form


class TextInline(StaffOfCompany, ConsoleStackedInline):
    model = BroadcastText
    form = TextForm
    formset = TextFormSet
    fields = ["language", "body", "attached", "file", "drop"]
    readonly_fields = ["attached"]
    extra = 0
    min_num = 0
    verbose_name = _("text")
    verbose_name_plural = _("texts")

    def attached(self, text: BroadcastText) -> str:
        if text.media is not None:
            return f"{text.media.filename} ({text.media.get_kind_display()})"
        return text.get_kind_display() if text.content else "–"

    attached.short_description = _("goes along")  # type: ignore[attr-defined]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_fields(request, obj)
        # Nothing is attached or taken off once it was begun.
        return fields if self._draft(request, obj) else ["language", "body", "attached"]

    def _draft(self, request: HttpRequest, obj: Any) -> bool:
        return self._may(request) and (obj is None or obj.state == Broadcast.State.DRAFT)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._draft(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._draft(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._draft(request, obj)
