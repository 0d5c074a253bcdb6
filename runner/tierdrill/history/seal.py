"""Sealing: text made unreadable to whoever looks, and readable to whoever holds the key, with no library but Python's.

For exercises: what was injected must be on the disk, or nobody could undo it after a crash, and must not be read there
by the trainee before the debrief. The key lies in a file of the same user (mode 0600), so that the reaper and
`tierdrill recover` find it. So this protects from looking (`grep`, `cat`, an editor), not from somebody who sets out to
break it.

A keystream of SHAKE-256 over key and nonce, and an HMAC-SHA256 over both (encrypt, then authenticate): a text that was
changed, cut or sealed with another key is refused and never half read.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from pathlib import Path

KEY_BYTES = 32
NONCE_BYTES = 16
TAG_BYTES = 32


class SealBroken(ValueError):
    """The sealed text is damaged, or the key is not its own; or the key cannot be read."""


class Seal:
    """Seals and opens with one key."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise SealBroken(f"found a key of {len(key)} bytes; allowed is one of {KEY_BYTES}")
        self._stream_key = hashlib.sha256(b"stream" + key).digest()
        self._tag_key = hashlib.sha256(b"tag" + key).digest()

    def close(self, text: str) -> str:
        """The text sealed, as one word of base64; never the same twice."""
        nonce = os.urandom(NONCE_BYTES)
        body = nonce + self._mixed(nonce, text.encode())
        return base64.b64encode(self._tag(body) + body).decode()

    def open(self, sealed: str) -> str:
        """The text again; SealBroken if it is not exactly what was sealed with this key."""
        try:
            raw = base64.b64decode(sealed, validate=True)
        except (binascii.Error, ValueError) as error:
            raise SealBroken(f"not a sealed text: {error}") from error
        tag, body = raw[:TAG_BYTES], raw[TAG_BYTES:]
        if len(body) < NONCE_BYTES or not hmac.compare_digest(tag, self._tag(body)):
            raise SealBroken("the sealed text is damaged, or sealed with another key")
        return self._mixed(body[:NONCE_BYTES], body[NONCE_BYTES:]).decode()

    def _tag(self, body: bytes) -> bytes:
        return hmac.new(self._tag_key, body, hashlib.sha256).digest()

    def _mixed(self, nonce: bytes, data: bytes) -> bytes:
        stream = hashlib.shake_256(self._stream_key + nonce).digest(len(data))
        mixed = int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")
        return mixed.to_bytes(len(data), "big")


def make_key(path: Path) -> Seal:
    """A new key in a new private file; OSError if it cannot be written."""
    key = os.urandom(KEY_BYTES)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    return Seal(key)


def read_key(path: Path) -> Seal:
    """The seal of a key file; SealBroken where there is none that can be read."""
    try:
        return Seal(path.read_bytes())
    except OSError as error:
        raise SealBroken(f"the key cannot be read: {path}: {error.strerror}") from error
