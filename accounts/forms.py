"""Logging in with a session: on the page and in the admin, with the limits of the API's."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from accounts.throttles import LoginThrottle


class LimitedLogIn(AuthenticationForm):
    """Refuses attempts beyond `LoginThrottle`, the right password included."""

    def clean(self) -> dict[str, Any]:
        name = str(self.cleaned_data.get("username", ""))
        if self.request is not None and not LoginThrottle().allow(self.request, name):
            raise ValidationError(_("Too many attempts: wait five minutes."), "throttled")
        return super().clean()
