"""Forms of the page and the admin: logging in with the API's limits, rows of one company."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextareaWidget

from accounts.models import Membership, Tenant, validate_texts_by_language
from accounts.throttles import LoginThrottle

# A language and a colon begin a text; what else begins a line goes on with the one before.
_LANGUAGE = re.compile(r"^([a-z]{2,3}(?:-[a-z0-9]{2,8})?) ?: ?")


class TextsByLanguage(forms.CharField):
    """A text in each of some languages, typed as lines that begin with “fr:”; a value is
    ``{"fr": "a text"}``."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("widget", UnfoldAdminTextareaWidget(attrs={"rows": 3}))
        super().__init__(required=False, validators=[validate_texts_by_language], **options)

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return "\n".join(f"{language}: {text}" for language, text in value.items())

    def to_python(self, value: Any) -> Any:
        texts: dict[str, str] = {}
        language = ""
        for line in (super().to_python(value) or "").splitlines():
            if found := _LANGUAGE.match(line):
                language = found[1]
                if language in texts:
                    raise ValidationError(_("There are two texts in “%s”.") % language, "twice")
                texts[language] = line[found.end() :]
            elif language:
                texts[language] += "\n" + line
            elif line.strip():
                raise ValidationError(
                    _("Begin each text with its language and a colon: fr: C’est noté."), "language"
                )
        return {language: text.strip() for language, text in texts.items() if text.strip()}

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.to_python(data) != (initial or {}))
        except ValidationError:
            return True


class LimitedLogIn(AuthenticationForm):
    """Refuses attempts beyond `LoginThrottle`, the right password included."""

    def clean(self) -> dict[str, Any]:
        name = str(self.cleaned_data.get("username", ""))
        if self.request is not None and not LoginThrottle().allow(self.request, name):
            raise ValidationError(_("Too many attempts: wait five minutes."), "throttled")
        return super().clean()


class LimitedPasswordChange(PasswordChangeForm):
    """A session that somebody left open must not be good for guessing the password."""

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request

    def clean_old_password(self) -> str:
        if not LoginThrottle().allow(self.request, self.user.get_username()):
            raise ValidationError(_("Too many attempts: wait five minutes."), "throttled")
        old: str = super().clean_old_password()
        return old


class OfCompany(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    """A row of a company, with a field `person` for one of its people."""

    person: str
    # Of the row, new or stored; None while it is not known.
    tenant: Tenant | None

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        self.tenant = data.get("tenant") or (self.instance.tenant if self.instance.pk else None)
        user = data.get(self.person)
        # Whoever left the company may stay what they are, until somebody chooses another.
        chosen = self.person in self.changed_data and user is not None and self.tenant is not None
        if chosen and not Membership.objects.filter(tenant=self.tenant, user=user).exists():
            self.add_error(self.person, _("This person does not belong to the company."))
        return data
