"""WhatsApp's media encryption, the server's half: prove and measure what a page uploaded.

The page derives four keys from a random 32-byte `mediaKey` (HKDF-SHA256, no salt, 112 bytes:
iv 16, cipher key 32, mac key 32, ref key 32), encrypts with AES-256-CBC and appends the first ten
bytes of HMAC-SHA256(iv + ciphertext). The real server never has the key; the simulator reads it
in the message, so that tests can compare the bytes that the recipient would see.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_MAC_LENGTH = 10
_KEY_INFO = {
    "image": b"WhatsApp Image Keys",
    "sticker": b"WhatsApp Image Keys",
    "video": b"WhatsApp Video Keys",
    "audio": b"WhatsApp Audio Keys",
    "ptt": b"WhatsApp Audio Keys",
    "document": b"WhatsApp Document Keys",
}
KINDS = frozenset(_KEY_INFO)


class MediaError(ValueError):
    """Uploaded bytes do not match what the message says of them."""


@dataclass(frozen=True, slots=True)
class MediaFacts:
    """What the recipient would get. `sha256` is the plaintext's, in hex; `size` in bytes."""

    sha256: str
    size: int
    mimetype: str
    filename: str


@dataclass(frozen=True, slots=True)
class Sealed:
    """A file as it is uploaded: `body` encrypted with what follows from `media_key`."""

    body: bytes
    media_key: bytes


def hash_of(body: bytes) -> str:
    """base64 of SHA-256, as file hashes are written in messages."""
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


def kind_of(mimetype: str) -> str:
    """The kind of message in which a file of this type is sent by default."""
    main = mimetype.partition("/")[0]
    return main if main in ("image", "video", "audio") else "document"


def _expand(media_key: bytes, kind: str) -> tuple[bytes, bytes, bytes]:
    """iv, cipher key, mac key."""
    if kind not in _KEY_INFO:
        raise MediaError(f"unknown kind of media {kind!r}")
    if len(media_key) != 32:
        raise MediaError(f"mediaKey has {len(media_key)} bytes, expected 32")
    keys = HKDF(hashes.SHA256(), length=112, salt=None, info=_KEY_INFO[kind]).derive(media_key)
    return keys[:16], keys[16:48], keys[48:80]


def _mac(key: bytes, iv: bytes, ciphertext: bytes) -> bytes:
    return hmac.new(key, iv + ciphertext, hashlib.sha256).digest()[:_MAC_LENGTH]


def encrypt(plain: bytes, *, kind: str) -> Sealed:
    """As a phone does before it uploads a file. Raises `MediaError` for an unknown kind."""
    media_key = secrets.token_bytes(32)
    iv, cipher_key, mac_key = _expand(media_key, kind)
    padder = padding.PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(cipher_key), modes.CBC(iv)).encryptor()
    padded = padder.update(plain) + padder.finalize()
    ciphertext = encryptor.update(padded) + encryptor.finalize()
    return Sealed(ciphertext + _mac(mac_key, iv, ciphertext), media_key)


def decrypt(body: bytes, *, media_key: bytes, kind: str) -> bytes:
    """The plaintext of an uploaded body. Raises `MediaError` when key, MAC or padding is wrong."""
    iv, cipher_key, mac_key = _expand(media_key, kind)
    ciphertext, mac = body[:-_MAC_LENGTH], body[-_MAC_LENGTH:]
    if not hmac.compare_digest(mac, _mac(mac_key, iv, ciphertext)):
        raise MediaError("MAC of the uploaded body does not match")
    decryptor = Cipher(algorithms.AES(cipher_key), modes.CBC(iv)).decryptor()
    unpadder = padding.PKCS7(128).unpadder()
    try:
        padded = decryptor.update(ciphertext) + decryptor.finalize()
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError as error:
        raise MediaError("padding of the uploaded body is wrong") from error


def examine(message: dict[str, Any], uploads: dict[str, bytes]) -> MediaFacts:
    """Decrypt the body that a media message points to and check it against the message.

    `message` has `directPath`, `mediaKey` (base64), `type`, `filehash`, `mimetype`, `filename`.
    Raises `MediaError`.
    """
    body = uploads.get(str(message.get("directPath")))
    if body is None:
        raise MediaError("directPath names no upload")
    try:
        media_key = base64.b64decode(str(message.get("mediaKey") or ""), validate=True)
    except binascii.Error as error:
        raise MediaError("mediaKey is not base64") from error
    plain = decrypt(body, media_key=media_key, kind=str(message.get("type")))
    if message.get("filehash") != hash_of(plain):
        raise MediaError("filehash is not the hash of the plaintext")
    return MediaFacts(
        sha256=hashlib.sha256(plain).hexdigest(),
        size=len(plain),
        mimetype=str(message.get("mimetype") or ""),
        filename=str(message.get("filename") or ""),
    )
