"""Small secrets at rest: AES-256-GCM under a key derived from WHATSAPP_SESSION_SECRET.

The setting is a list: the first secret seals, every one unseals, so that it can be rotated.
Layout of a sealed value: 1 byte version, 12 bytes nonce, ciphertext with its 16-byte tag.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

VERSION = b"\x01"


class CannotUnseal(Exception):
    """No secret of WHATSAPP_SESSION_SECRET opens the value, or it was altered."""


def derive_key(secret: str, *, purpose: str) -> bytes:
    """32 bytes for one purpose; keys of different purposes tell nothing about each other."""
    hkdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=f"relance:{purpose}".encode())
    return hkdf.derive(secret.encode())


def seal(value: bytes, *, purpose: str) -> bytes:
    """Encrypt `value`; `purpose` is authenticated with it and must be given again to unseal."""
    key = derive_key(settings.WHATSAPP_SESSION_SECRETS[0], purpose=purpose)
    nonce = os.urandom(12)
    return VERSION + nonce + AESGCM(key).encrypt(nonce, value, purpose.encode())


def unseal(value: bytes, *, purpose: str) -> bytes:
    """Decrypt what `seal` made with any of the live secrets. Raises `CannotUnseal`."""
    if value[:1] != VERSION or len(value) < 29:
        raise CannotUnseal("the sealed value is truncated or of an unknown version")
    nonce, ciphertext = value[1:13], value[13:]
    for secret in settings.WHATSAPP_SESSION_SECRETS:
        try:
            key = derive_key(secret, purpose=purpose)
            return AESGCM(key).decrypt(nonce, ciphertext, purpose.encode())
        except InvalidTag:
            continue
    raise CannotUnseal(
        "no secret in WHATSAPP_SESSION_SECRET opens this value: was one dropped too early?"
    )
