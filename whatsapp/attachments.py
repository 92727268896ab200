"""The file that a caller means: one by address, fetched and stored now, or one of the company's."""

from __future__ import annotations

import re

from accounts.models import Tenant
from whatsapp import media
from whatsapp.fetching import CannotFetch, fetch
from whatsapp.models import Media

FETCH_SECONDS = 20.0
# How a file that came without an address (an upload) is named in answers.
OWN_FILE = re.compile(r"relance:media/([0-9]{1,18})")


def address_of(media: Media) -> str:
    """Where a file came from; for one without an address, a name that is taken back."""
    return media.source_url or f"relance:media/{media.pk}"


def own(tenant: Tenant, address: str, *, kind: str) -> Media | None:
    """The stored file that `address` names; None when it is an address of the web.

    Raises `CannotFetch` when the company has no such file.
    """
    named = OWN_FILE.fullmatch(address)
    if named is None:
        return None
    stored = Media.objects.filter(tenant=tenant, pk=int(named[1]), kind=kind).first()
    if stored is None:
        raise CannotFetch("not_found", "you have no such file of this type")
    return stored


def get(tenant: Tenant, address: str, *, kind: str) -> Media:
    """The file at `address`, fetched, checked and stored once. Raises `CannotFetch`, `BadMedia`."""
    if stored := own(tenant, address, kind=kind):
        return stored
    fetched = fetch(address, deadline=FETCH_SECONDS)
    return media.store(
        tenant=tenant,
        data=fetched.data,
        filename=fetched.filename,
        kind=kind,
        source_url=address,
    )
