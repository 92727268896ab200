"""Forms of the page and the admin: logging in with the API's limits, rows of one company."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts.models import Membership, Tenant
from accounts.throttles import LoginThrottle


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
