"""Files that messages carry: checked by their bytes, stored once, under names nobody can guess.

    media.store(tenant=tenant, data=data, filename="guide.pdf")           # a Media, or BadMedia

A file is written before its row. If the surrounding transaction rolls back afterwards the file
stays without a row: it costs disk space and is served to nobody.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath

from django.core.files.base import ContentFile
from django.db import IntegrityError, transaction
from django.db.models import Exists, F, OuterRef, QuerySet

from accounts import poison
from accounts.models import Tenant
from whatsapp.filetypes import BadMedia, FileType, recognise
from whatsapp.models import Incoming, Media

__all__ = [
    "MAX_BYTES", "BadMedia", "check", "find", "forget", "open_bytes", "received", "store",
]  # fmt: skip

MIB = 1024 * 1024
# What WhatsApp accepts by kind. Documents may be larger there; a browser has to hold the file
# several times over while it sends, so it stops at 64 MiB here.
MAX_BYTES = {
    Media.Kind.IMAGE: 16 * MIB,
    Media.Kind.VIDEO: 16 * MIB,
    Media.Kind.AUDIO: 16 * MIB,
    Media.Kind.DOCUMENT: 64 * MIB,
}
MAX_FILENAME = 120  # characters


def check(data: bytes, *, kind: str | None = None) -> tuple[Media.Kind, FileType]:
    """How `data` will be sent and what it is. Raises `BadMedia`.

    `kind` is image, video, audio or document; None: what the file naturally is. Any file that
    is allowed at all may be sent as a document.
    """
    if kind is not None and kind not in Media.Kind.values:
        raise BadMedia("wrong_kind", f"“{kind[:20]}” is no kind: image, video, document or audio")
    # Before its bytes are looked at: nothing is decoded of a file that is too large for any kind.
    _check_size(data, Media.Kind(kind) if kind else Media.Kind.DOCUMENT)
    found = recognise(data)
    chosen = Media.Kind(kind or found.kind)
    if chosen not in {Media.Kind.DOCUMENT, Media.Kind(found.kind)}:
        raise BadMedia(
            "wrong_kind",
            f"the file is a {found.label}: it can be sent as {found.kind}"
            + ("" if found.kind == "document" else " or as document")
            + f", not as {chosen.value}",
        )
    _check_size(data, chosen)
    return chosen, found


def _check_size(data: bytes, kind: Media.Kind) -> None:
    if len(data) > MAX_BYTES[kind]:
        raise BadMedia(
            "too_large",
            f"the file has {len(data) / MIB:.1f} MiB: WhatsApp takes {MAX_BYTES[kind] // MIB} MiB "
            f"at most as {kind.value}",
        )


def store(
    *, tenant: Tenant, data: bytes, filename: str, kind: str | None = None, source_url: str = ""
) -> Media:
    """The row of a file, stored now or found: the same bytes, kind and name are stored once.

    `filename` is what the recipient of a document sees; its path and odd characters are dropped
    and its extension follows the content. Raises `BadMedia`.
    """
    media = find(tenant=tenant, data=data, filename=filename, kind=kind)
    if not media._state.adding:
        return media
    media.source_url = source_url[:1000]
    name = f"{secrets.token_hex(16)}{recognise(data).extension}"
    media.file.save(name, ContentFile(data), save=False)
    try:
        with transaction.atomic():
            media.save()
    except IntegrityError:
        # Somebody else stored the same file in between: theirs counts.
        media.file.storage.delete(media.file.name or "")
        return find(tenant=tenant, data=data, filename=filename, kind=kind)
    return media


def find(*, tenant: Tenant, data: bytes, filename: str, kind: str | None = None) -> Media:
    """The row that `store` would return; one that is not saved when it would be new.

    Raises `BadMedia`.
    """
    chosen, found = check(data, kind=kind)
    key = {
        "tenant": tenant,
        "sha256": hashlib.sha256(data).hexdigest(),
        "kind": chosen,
        "filename": clean_filename(filename, found),
    }
    existing = Media.objects.filter(**key).first()
    return existing or Media(**key, mime=found.mime, size=len(data))


def open_bytes(media: Media) -> bytes:
    """The content. Raises `FileNotFoundError` when the storage lost it."""
    with media.file.open("rb") as file:
        return bytes(file.read())


def received(rows: QuerySet[Incoming]) -> list[int]:
    """Ids of the files that came with these messages; not of those the company had before."""
    theirs = rows.filter(media__created_at__gte=F("received_at"))
    return list(theirs.values_list("media_id", flat=True))


def forget(media_ids: Iterable[int]) -> int:
    """Delete those files that nothing refers to any more; returns how many.

    In the caller's transaction: the bytes go when it commits.
    """
    unused = Media.objects.select_for_update(of=("self",)).filter(pk__in=set(media_ids))
    for relation in Media._meta.related_objects:
        users = relation.related_model._base_manager
        unused = unused.exclude(Exists(users.filter(**{relation.field.name: OuterRef("pk")})))
    files = list(unused.order_by("pk"))
    Media.objects.filter(pk__in=[media.pk for media in files]).delete()

    def delete() -> None:
        for media in files:
            with poison.apart("file not deleted", media_id=media.pk):
                media.file.storage.delete(media.file.name or "")

    transaction.on_commit(delete)
    return len(files)


def clean_filename(filename: str, found: FileType) -> str:
    """A name that is safe in any file system and tells the truth about the content."""
    name = PurePosixPath(filename.replace("\\", "/")).name
    name = "".join(c for c in unicodedata.normalize("NFC", name) if _is_printable(c))
    name = re.sub(r'[<>:"/|?*]+', "_", re.sub(r"\s+", " ", name)).strip(" .")
    stem = name
    suffix = PurePosixPath(name).suffix
    if suffix and re.fullmatch(r"\.[A-Za-z0-9]{1,5}", suffix):
        stem = name[: -len(suffix)].rstrip(" .")
        if suffix.lower() == ".jpeg" and found.extension == ".jpg":
            return (stem[:MAX_FILENAME] or found.kind) + suffix.lower()
        if suffix.lower() == ".csv" and found.extension == ".txt":
            return (stem[:MAX_FILENAME] or found.kind) + suffix.lower()
    return (stem[:MAX_FILENAME] or found.kind) + found.extension


def _is_printable(character: str) -> bool:
    # Format characters include those that turn the direction of writing: "gpj.exe" as "exe.jpg".
    return unicodedata.category(character)[0] != "C"
