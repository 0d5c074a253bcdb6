"""Sealing: text made unreadable to whoever looks, and readable to whoever holds the key.

For exercises: what was injected must be on the disk, or nobody could undo it after a crash, and must not be read there
by the trainee before the debrief. The key lies in a file of the same user (mode 0600), so that the reaper and
`tierdrill recover` find it. So this protects from looking (`grep`, `cat`, an editor), not from somebody who sets out to
break it.

ChaCha20-Poly1305: a text that was changed, cut or sealed with another key is refused and never half read. The library
is loaded with a key, not with this module: most runs seal nothing.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path

KEY_BYTES = 32
NONCE_BYTES = 12


class SealBroken(ValueError):
    """The sealed text is damaged, or the key is not its own; or the key cannot be read."""


class Seal:
    """Seals and opens with one key."""

    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        if len(key) != KEY_BYTES:
            raise SealBroken(f"got a key of {len(key)} bytes, expected {KEY_BYTES} bytes")
        self._cipher = ChaCha20Poly1305(key)

    def close(self, text: str) -> str:
        """The text sealed, as one word of base64; never the same twice."""
        nonce = os.urandom(NONCE_BYTES)
        return base64.b64encode(nonce + self._cipher.encrypt(nonce, text.encode(), None)).decode()

    def open(self, sealed: str) -> str:
        """The text again; SealBroken if it is not exactly what was sealed with this key."""
        from cryptography.exceptions import InvalidTag

        try:
            raw = base64.b64decode(sealed, validate=True)
            return self._cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], None).decode()
        except (ValueError, InvalidTag) as error:
            raise SealBroken("the sealed text is damaged, or sealed with another key") from error


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
