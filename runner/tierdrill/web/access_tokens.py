"""Who may see and do what on the dashboard: roles, and the tokens that people sign in with.

A token is 256 bits of chance, shown once when it is made; the home keeps its SHA-256 alone. Stretching is for passwords
that people choose.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from tierdrill.process.safe_files import locked, write_private
from tierdrill.text import Explained, read_json

PREFIX = "tdw_"
_ID_BYTES, _SECRET_BYTES, _KEY_BYTES = 4, 32, 32


class TokenError(Explained):
    """The tokens of a home cannot be read or written; the message names the file and the reason."""


class Right(StrEnum):
    """What a page or a button asks for."""

    SEE = "see"
    OPERATE = "operate"
    FACILITATE = "facilitate"
    TRAIN = "train"


ROLES: dict[str, frozenset[Right]] = {
    "viewer": frozenset({Right.SEE}),
    "operator": frozenset({Right.SEE, Right.OPERATE}),
    "facilitator": frozenset(Right),
    # What a trainee is to find out stands on the other pages.
    "trainee": frozenset({Right.TRAIN}),
    "admin": frozenset(Right),
}


def roles_with(right: Right) -> list[str]:
    """The roles that have a right, the least of them first."""
    return [role for role, rights in ROLES.items() if right in rights]


@dataclass(frozen=True)
class Token:
    """A token as the home keeps it. `person` is the name under which what its bearer does is recorded."""

    id: str
    person: str
    role: str
    digest: str
    created_at: float
    expires_at: float

    def expired(self, now: float) -> bool:
        return now >= self.expires_at

    def allows(self, right: Right) -> bool:
        return right in ROLES.get(self.role, frozenset())


class TokenStore:
    """The tokens of one home, and the key that signs its sessions. Safe for several processes."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "web"
        self._file, self._key_file = self._folder / "tokens.json", self._folder / "session.key"

    def make(self, person: str, role: str, lasts_s: float) -> tuple[Token, str]:
        """A new token, and the text to sign in with, which is kept nowhere."""
        secret, now = secrets.token_urlsafe(_SECRET_BYTES), time.time()
        token = Token(secrets.token_hex(_ID_BYTES), person, role, _digest(secret), now, now + lasts_s)
        self._change(lambda known: [one for one in known if not one.expired(now)] + [token])
        return token, f"{PREFIX}{token.id}_{secret}"

    def revoke(self, id: str) -> bool:
        """Let a token be valid no more; whether there was one of that id."""
        found = any(one.id == id for one in self.tokens())
        self._change(lambda known: [one for one in known if one.id != id])
        return found

    def tokens(self) -> list[Token]:
        """Every token that was made and not revoked, expired ones too; TokenError."""
        try:
            found = read_json(self._file.read_bytes())
            return [Token(**one) for one in found]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise TokenError(f"{self._file}: {error.strerror}") from error
        except (ValueError, TypeError) as error:
            raise TokenError(f"{self._file}: not a list of tokens; remove it and make new ones") from error

    def of(self, id: str) -> Token | None:
        return next((one for one in self.tokens() if one.id == id), None)

    def match(self, text: str) -> Token | None:
        """The token that a text is; None for any other. Compared in constant time; expired ones match, too."""
        id, _, secret = text.strip().removeprefix(PREFIX).partition("_")
        token = self.of(id)
        # As long for an id that is nobody's.
        same = hmac.compare_digest(_digest(secret), token.digest if token is not None else _digest(""))
        return token if same and token is not None else None

    def key(self) -> bytes:
        """The key that signs sessions, made where there is none: they outlive a restart."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with locked(self._folder / "lock"):
                if not self._key_file.exists():
                    write_private(self._key_file, secrets.token_hex(_KEY_BYTES))
                return bytes.fromhex(self._key_file.read_text())
        except OSError as error:
            raise TokenError(f"{error.filename or self._folder}: {error.strerror}") from error
        except ValueError as error:
            raise TokenError(f"{self._key_file}: not a key; remove it, and everybody signs in again") from error

    def _change(self, change: Callable[[list[Token]], list[Token]]) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with locked(self._folder / "lock"):
                after = change(self.tokens())
                write_private(self._file, json.dumps([asdict(one) for one in after], indent=1) + "\n")
        except OSError as error:
            raise TokenError(f"{error.filename or self._folder}: {error.strerror}") from error


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
