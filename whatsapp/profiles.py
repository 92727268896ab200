"""Browser profiles that move: saved after linking, at intervals, at close; restored elsewhere.

A profile lives on one disk at a time. `Profile.live_disk` and `live_fence` say where the last
browser ran, `saved_fence` whether the archive was made when that browser had ended: then it is all
there is to know, and any host may go on from it. An archive made earlier is older than the truth,
and on the real site an older profile may roll the encryption state back: it is restored by itself
only if nothing was sent or received since. Otherwise a person decides.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.db import transaction
from django.db.models import F

from whatsapp import archives, doorbells, leases
from whatsapp.archives import BadArchive
from whatsapp.clock import database_now
from whatsapp.failpoints import failpoint
from whatsapp.leases import Held
from whatsapp.models import Account, Incoming, Message, Profile

log = structlog.get_logger(__name__)


class NotHere(Exception):
    """The profile cannot be opened on this host; the message says why and what to do.

    `passing`: it may work later (storage out of reach, a secret missing here): forget nothing.
    """

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


class LeaseLost(Exception):
    """Somebody else took the account while we were about to open it."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A profile directory that may be opened.

    Of messages sent before `knows_from` it cannot say that they were *not* sent: the login is
    newer, or the profile was restored from an archive older than they are. None: it knows all.
    """

    restored: bool
    knows_from: datetime | None = None


def disk_id(root: Path) -> str:
    """Names the disk under the profiles: workers that share it share their profiles."""
    marker = root / ".disk-id"
    with contextlib.suppress(FileNotFoundError):
        return marker.read_text()
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    mine = str(uuid.uuid4())
    draft = root / f".disk-id.{mine}"
    draft.write_text(mine)
    try:
        # Linked into place whole, by the first only: all that start at once agree on one.
        with contextlib.suppress(FileExistsError):
            marker.hardlink_to(draft)
    finally:
        draft.unlink()
    return marker.read_text()


def make_ready(held: Held, path: Path) -> Ready:
    """Put the right profile of a linked account at `path`, and note that it is live there.

    Call it under the lease, before the browser starts. Raises `NotHere`, and leaves everything
    as it was, and `LeaseLost`.
    """
    here = disk_id(path.parent)
    profile, _ = Profile.objects.get_or_create(account_id=held.account_id)
    ready = _choose(profile, path, here)
    _note_live(held, here, knows_from=ready.knows_from)
    return ready


def _note_live(held: Held, here: str, **fields: object) -> None:
    """A worker that was frozen before this must not say that the newest profile is on its disk."""
    with transaction.atomic():
        if not leases.is_ours(held):
            raise LeaseLost
        Profile.objects.filter(account_id=held.account_id).update(
            live_disk=here, live_fence=held.fence, restore_allowed_by="", **fields
        )


def _choose(profile: Profile, path: Path, here: str) -> Ready:
    if profile.live_disk in ("", here) and path.exists():
        return Ready(restored=False, knows_from=profile.knows_from)
    if not profile.file:
        raise NotHere("its browser profile is on another host and was never saved: link it again")
    complete = profile.saved_fence is not None and profile.saved_fence == profile.live_fence
    if not complete and not profile.restore_allowed_by and _anything_since(profile):
        raise NotHere(
            "messages were sent or received after its profile was last saved: restore that older "
            "profile, or link it again"
        )
    _restore(profile, path)
    return Ready(restored=True, knows_from=profile.knows_from if complete else database_now())


def _anything_since(profile: Profile) -> bool:
    account, since = profile.account_id, profile.saved_at
    return (
        Message.objects.filter(account_id=account, sending_at__gt=since).exists()
        or Incoming.objects.filter(account_id=account, received_at__gt=since).exists()
    )


def _restore(profile: Profile, path: Path) -> None:
    began = time.monotonic()
    try:
        with storages["profiles"].open(profile.file) as file:
            sealed = file.read()
        packed = archives.unseal(
            sealed, account_id=profile.account_id, generation=profile.generation
        )
        archives.unpack(packed, path)
    except BadArchive as error:
        passing = error.code in {"unknown_key", "newer"}
        raise NotHere(f"its saved profile cannot be restored: {error}", passing=passing) from error
    except OSError as error:
        raise NotHere(
            f"its saved profile cannot be read: {error.strerror or error}", passing=True
        ) from error
    log.info(
        "profile restored",
        account_id=profile.account_id,
        generation=profile.generation,
        size=len(sealed),
        seconds=round(time.monotonic() - began, 3),
    )


def save(held: Held, path: Path, *, ended: bool, group: int | None = None) -> bool:
    """Save the profile at `path` as the next generation; the one before stays until this is whole.

    The browser has `ended`; else its process `group` is stopped while it is copied. False when the
    lease is not ours any more, or storage failed: then the saved profile of before is untouched.
    """
    began = time.monotonic()
    profile, _ = Profile.objects.get_or_create(account_id=held.account_id)
    generation = profile.generation + 1
    storage = storages["profiles"]
    name = ""
    try:
        with stopped(None if ended else group):
            now = database_now()
            packed = archives.pack(path)
        sealed = archives.seal(packed, account_id=held.account_id, generation=generation)
        name = storage.save(
            f"{held.account_id}/{generation}-{secrets.token_hex(8)}", ContentFile(sealed)
        )
        failpoint("save.written")
        _check_written(name, sealed)
    except (OSError, BadArchive) as error:
        log.error("profile not saved", account_id=held.account_id, why=str(error))
        _discard(name)
        return False
    old = profile.file
    failpoint("save.before-row")
    with transaction.atomic():
        done = leases.is_ours(held) and Profile.objects.filter(
            pk=profile.pk, generation=profile.generation
        ).update(
            generation=F("generation") + 1,
            file=name,
            size=len(sealed),
            saved_at=now,
            saved_fence=held.fence if ended else None,
        )
    failpoint("save.before-discard")
    _discard(old if done else name)
    log.info(
        "profile saved" if done else "profile not saved: lease lost",
        account_id=held.account_id,
        generation=generation,
        size=len(sealed),
        seconds=round(time.monotonic() - began, 3),
        ended=ended,
    )
    return bool(done)


def _check_written(name: str, sealed: bytes) -> None:
    """A full disk may cut a file short without saying so."""
    if storages["profiles"].size(name) != len(sealed):
        raise OSError("the file was written in part: is the disk full?")


def _discard(name: str) -> None:
    if name:
        with contextlib.suppress(OSError):
            storages["profiles"].delete(name)


@contextlib.contextmanager
def stopped(group: int | None) -> Iterator[None]:
    """Stop a browser's process group while its profile is copied: a live copy lacked messages."""
    if group is None:
        yield
        return
    os.killpg(group, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGCONT)


def exists(account_id: int, path: Path) -> bool:
    """Whether there is a profile of the account, here or saved."""
    return path.exists() or Profile.objects.filter(account_id=account_id).exclude(file="").exists()


def forget(account_id: int, path: Path) -> None:
    """Remove the profile here and its archive: the device was logged out."""
    shutil.rmtree(path, ignore_errors=True)
    shutil.rmtree(path.with_name(f"{path.name}.aside"), ignore_errors=True)
    _forget_archive(account_id)


def _forget_archive(account_id: int) -> None:
    profile = Profile.objects.filter(account_id=account_id).first()
    if profile is not None:
        profile.delete()
        _discard(profile.file)


def began(held: Held, path: Path) -> None:
    """A new profile is live here. Raises `LeaseLost`.

    The directory of before is kept aside, and its archive until the new login is there (`linked`):
    nobody may scan the code.
    """
    here = disk_id(path.parent)
    Profile.objects.get_or_create(account_id=held.account_id)
    _note_live(held, here, knows_from=database_now())
    if path.exists():
        aside = path.with_name(f"{path.name}.aside")
        shutil.rmtree(aside, ignore_errors=True)
        path.rename(aside)


def linked(held: Held) -> datetime:
    """Somebody scanned the code: a new login, which knows nothing of what was sent before.

    Returns that time. The archive of the login before is of no use any more.
    """
    now = database_now()
    profile = Profile.objects.get(account_id=held.account_id)
    Profile.objects.filter(pk=profile.pk).update(
        knows_from=now, file="", saved_at=None, saved_fence=None
    )
    _discard(profile.file)
    return now


def allow_restore(account: Account, *, by: str, now: datetime) -> bool:
    """A person says: restore the older profile although something happened since.

    False when none was saved. Holds for the next opening only.
    """
    saved = Profile.objects.filter(account=account).exclude(file="")
    with transaction.atomic():
        allowed = saved.update(restore_allowed_by=by[:150])
        if allowed:
            log.info("older profile allowed", account_id=account.pk, at=now.isoformat())
            doorbells.ring_on_commit([account.pk])
    return bool(allowed)


def reseal(profile: Profile) -> bool:
    """Seal an archive anew with the first secret; False when it was already.

    Raises `BadArchive` and `OSError`; the archive of before stays then.
    """
    with storages["profiles"].open(profile.file) as file:
        sealed = file.read()
    if archives.read_header(sealed).key_id == archives.current_key_id():
        return False
    packed = archives.unseal(sealed, account_id=profile.account_id, generation=profile.generation)
    renewed = archives.seal(packed, account_id=profile.account_id, generation=profile.generation)
    name = storages["profiles"].save(
        f"{profile.account_id}/{profile.generation}-{secrets.token_hex(8)}", ContentFile(renewed)
    )
    done = Profile.objects.filter(pk=profile.pk, file=profile.file).update(file=name)
    _discard(profile.file if done else name)
    return bool(done)
