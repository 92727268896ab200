"""A browser profile as one encrypted file: what is kept of it, packed, compressed, sealed.

Kept are the login and the messages (IndexedDB, Local Storage, cookies) and the little that Chromium
needs to read them; caches and histories are not. Layout of a sealed archive::

    4 bytes  b"RLPF"
    1 byte   version, 1
    8 bytes  key id: which secret of WHATSAPP_SESSION_SECRET sealed it
    8 bytes  account id    8 bytes  generation    (both big-endian)
    12 bytes nonce
    rest     AES-256-GCM of a gzipped tar, 16-byte tag at the end; all bytes before the nonce are
             authenticated with it
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import struct
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

from accounts.sealed import derive_key

MAGIC = b"RLPF"
VERSION = 1
HEADER = struct.Struct(">4sB8sQQ")
NONCE = 12
PURPOSE = "browser-profile"
MAX_BYTES = 512 * 2**20

# Relative to the user data directory. Cookies moved into Network/ in newer versions of Chromium.
KEPT = (
    "Local State",
    "Default/Preferences",
    "Default/Cookies",
    "Default/Cookies-journal",
    "Default/Network/Cookies",
    "Default/Network/Cookies-journal",
    "Default/IndexedDB",
    "Default/Local Storage",
    "Default/WebStorage",
)
# LevelDB's lock belongs to a process, not to the data.
LEFT_OUT = frozenset({"LOCK"})


class BadArchive(Exception):
    """The archive cannot be used; `code` says why, the message how to mend it.

    ``truncated``, ``foreign`` (no profile of ours), ``newer`` (made by a later version),
    ``unknown_key``, ``altered``, ``other_account``, ``other_generation``, ``too_large``.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Header:
    key_id: bytes
    account_id: int
    generation: int


def key_id(secret: str) -> bytes:
    """Names a secret without telling it."""
    return hashlib.sha256(b"relance:key-id:" + secret.encode()).digest()[:8]


def pack(profile: Path) -> bytes:
    """What is kept of the profile directory, as a gzipped tar.

    Nothing may write to it meanwhile: its browser is closed, or stopped. Raises `OSError`, and
    `BadArchive` (``too_large``).
    """
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=1, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name in KEPT:
            path = profile / name
            if path.exists():
                tar.add(path, arcname=name, filter=_plain)
    if buffer.tell() > MAX_BYTES:
        raise BadArchive("too_large", f"the profile is larger than {MAX_BYTES} bytes")
    return buffer.getvalue()


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if Path(member.name).name in LEFT_OUT or not (member.isfile() or member.isdir()):
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o700 if member.isdir() else 0o600
    return member


def unpack(packed: bytes, into: Path) -> None:
    """Put a packed profile in place of the directory `into`, whole or not at all."""
    beside = into.with_name(f".{into.name}.restoring")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True, mode=0o700)
    try:
        with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as tar:
            # The "data" filter refuses links, devices and names that lead outside.
            tar.extractall(beside, filter="data")
        shutil.rmtree(into, ignore_errors=True)
        beside.rename(into)
    except (tarfile.TarError, zlib.error, EOFError) as error:
        raise BadArchive("altered", "the archive is not a packed profile") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def seal(packed: bytes, *, account_id: int, generation: int) -> bytes:
    """Encrypt a packed profile with the first live secret."""
    secret = settings.WHATSAPP_SESSION_SECRETS[0]
    header = HEADER.pack(MAGIC, VERSION, key_id(secret), account_id, generation)
    nonce = os.urandom(NONCE)
    sealed = AESGCM(derive_key(secret, purpose=PURPOSE)).encrypt(nonce, packed, header)
    return header + nonce + sealed


def read_header(sealed: bytes) -> Header:
    """Raises `BadArchive` for what is no archive of ours."""
    if len(sealed) < HEADER.size + NONCE + 16:
        raise BadArchive("truncated", "the saved profile is cut short: restore it from a backup")
    magic, version, key, account_id, generation = HEADER.unpack_from(sealed)
    if magic != MAGIC:
        raise BadArchive("foreign", "this file is no saved profile of Relance")
    if version > VERSION:
        raise BadArchive("newer", f"saved by a newer Relance (format {version}): update this one")
    return Header(key_id=key, account_id=account_id, generation=generation)


def unseal(sealed: bytes, *, account_id: int, generation: int) -> bytes:
    """Decrypt an archive that must be of this account and generation. Raises `BadArchive`."""
    header = read_header(sealed)
    if header.account_id != account_id:
        raise BadArchive("other_account", "the saved profile belongs to another account")
    if header.generation != generation:
        raise BadArchive(
            "other_generation",
            f"the saved profile is generation {header.generation}, expected {generation}: "
            "an older one was put in its place",
        )
    secrets = {key_id(secret): secret for secret in settings.WHATSAPP_SESSION_SECRETS}
    secret = secrets.get(header.key_id)
    if secret is None:
        raise BadArchive(
            "unknown_key",
            "no secret of WHATSAPP_SESSION_SECRET sealed this profile: was one dropped too early?",
        )
    authenticated, rest = sealed[: HEADER.size], sealed[HEADER.size :]
    try:
        cipher = AESGCM(derive_key(secret, purpose=PURPOSE))
        return cipher.decrypt(rest[:NONCE], rest[NONCE:], authenticated)
    except InvalidTag as error:
        raise BadArchive("altered", "the saved profile was altered or is damaged") from error


def current_key_id() -> bytes:
    """The id of the secret that seals now."""
    return key_id(settings.WHATSAPP_SESSION_SECRETS[0])
