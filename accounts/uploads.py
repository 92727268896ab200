"""Files that somebody has uploaded and not yet confirmed: kept for an hour, seen by nobody else.

    token = uploads.keep(file, user_id=1, tenant_id=2)      # between a dry run and its "yes"
    with uploads.opened(token, user_id=1) as upload: ...

A token is signed: it names the file, its owner and the company, and is worth nothing to others.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO, cast

from django.core import signing
from django.core.files.base import File
from django.core.files.storage import default_storage

from accounts import poison

KEPT = dt.timedelta(hours=1)
FOLDER = "uploads"
SALT = "accounts.uploads"


class Gone(Exception):
    """The token is somebody else's, too old or made up, or the file is no longer there."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A kept file, open for reading; `name` is what its owner calls it."""

    file: BinaryIO
    name: str
    tenant_id: int


def keep(file: File[Any], *, name: str, user_id: int, tenant_id: int) -> str:
    """Keep `file`; returns the token to open it with."""
    file.seek(0)
    path = default_storage.save(f"{FOLDER}/{secrets.token_hex(16)}", file)
    value = {"path": path, "name": name[:200], "user": user_id, "tenant": tenant_id}
    return signing.dumps(value, salt=SALT)


@contextlib.contextmanager
def opened(token: str, *, user_id: int) -> Iterator[Upload]:
    """The file of `token`. Raises `Gone`."""
    value = _read(token, user_id)
    try:
        file = default_storage.open(value["path"])
    except FileNotFoundError as error:
        raise Gone from error
    with file:
        yield Upload(cast("BinaryIO", file.file), value["name"], value["tenant"])


def forget(token: str, *, user_id: int) -> None:
    """Delete the file of `token`, if it is there."""
    with contextlib.suppress(Gone):
        default_storage.delete(_read(token, user_id)["path"])


def sweep(*, now: datetime) -> int:
    """Delete what nobody confirmed in time; returns how many. Phone numbers do not lie about."""
    try:
        _folders, names = default_storage.listdir(FOLDER)
    except FileNotFoundError:
        return 0
    deleted = 0
    for name in names:
        path = f"{FOLDER}/{name}"
        with (
            contextlib.suppress(FileNotFoundError),
            poison.apart("upload not deleted", but=FileNotFoundError, file=name),
        ):
            if default_storage.get_modified_time(path) < now - KEPT:
                default_storage.delete(path)
                deleted += 1
    return deleted


def _read(token: str, user_id: int) -> dict[str, Any]:
    try:
        value: dict[str, Any] = signing.loads(token, salt=SALT, max_age=KEPT)
    except signing.BadSignature as error:
        raise Gone from error
    if value["user"] != user_id:
        raise Gone
    return value
