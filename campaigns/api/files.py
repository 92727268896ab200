"""The file that a body's `media` means."""

from __future__ import annotations

from collections.abc import Mapping

from accounts.models import Tenant
from accounts.problems import Problem
from campaigns import days
from whatsapp.fetching import CannotFetch
from whatsapp.media import BadMedia
from whatsapp.models import Media


def fetched(wish: Mapping[str, str], *, tenant: Tenant) -> Media:
    """Fetched and stored now, or one of the company's own. Raises `Problem`."""
    try:
        return days.get_media(tenant, days.FileWish(wish["url"], wish["type"], days.BOTH))
    except (BadMedia, CannotFetch) as error:
        part = "type" if error.code == "wrong_kind" else "url"
        raise Problem.of_field(f"media.{part}", error.code, str(error)) from error
