"""Logging in to servers: where secrets are found, read when they are needed and kept nowhere.

Standard library only: the load child uses it inside locust's patched interpreter.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import ssl

BYTES_MAX = 65_536


class SecretMissing(Exception):
    """A secret cannot be read; the message names where it should be, never what it is."""


def read_secret(env: str | None = None, file: str | None = None, environ: Mapping[str, str] = os.environ) -> str:
    """The secret, without the line end that a file has; SecretMissing if it is not there or empty."""
    value = (_from_file(file) if file is not None else environ.get(env or "", "")).strip()
    if not value:
        where = f"file {file}" if file is not None else f"environment variable {env}"
        raise SecretMissing(f"{where} is not set or empty; expected the secret")
    return value


def _from_file(path: str) -> str:
    try:
        with Path(path).expanduser().open("rb") as file:
            return file.read(BYTES_MAX).decode("utf-8")
    except (OSError, UnicodeDecodeError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SecretMissing(f"file {path} cannot be read: {reason}; expected the secret") from None


def basic(user: str, password: str) -> str:
    """The value of `Authorization` for a name and a password."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class HttpLogin(Protocol):
    """What an HTTP client needs to log in: headers, read for each request, and TLS settings."""

    def headers(self) -> dict[str, str]:
        """Those of a request now; SecretMissing."""
        ...

    def tls(self) -> ssl.SSLContext | None:
        """The context for connections, None for the system's; SecretMissing where a file cannot be read."""
        ...


@dataclass(frozen=True)
class ServerLogin:
    """The login that a document's connection describes; it holds places of secrets only."""

    connection: Mapping[str, Any] = field(default_factory=dict)

    def headers(self) -> dict[str, str]:
        """All headers that the connection asks for, the secret ones read now."""
        said = self.connection
        found = {**(said.get("headers") or {})}
        found |= {name: _header(place) for name, place in (said.get("secret_headers") or {}).items()}
        if (bearer := said.get("bearer")) is not None:
            found["Authorization"] = f"Bearer {_header(bearer)}"
        elif (password := said.get("password")) is not None:
            found["Authorization"] = basic(str(said.get("user") or ""), read_secret(**password))
        return found

    def tls(self) -> ssl.SSLContext | None:
        """A context that trusts the authorities of `ca_file` and shows `client_cert`, if there is either."""
        ca_file, cert, key = (_path(self.connection.get(name)) for name in ("ca_file", "client_cert", "client_key"))
        if ca_file is None and cert is None:
            return None
        import ssl

        try:
            context = ssl.create_default_context(cafile=ca_file)
            if cert is not None:
                context.load_cert_chain(cert, key)
        except OSError as error:  # ssl.SSLError is one
            files = ", ".join(filter(None, (ca_file, cert, key)))
            raise SecretMissing(f"{files} cannot be used for TLS: {error.strerror or error}") from None
        return context

    def variables(self) -> list[str]:
        """The environment variables that hold its secrets."""
        said = self.connection
        places = [said.get("bearer"), said.get("password"), *(said.get("secret_headers") or {}).values()]
        return [place["env"] for place in places if place is not None and place.get("env")]


def _path(text: str | None) -> str | None:
    return None if text is None else str(Path(text).expanduser())


def _header(place: Mapping[str, str | None]) -> str:
    value = read_secret(place.get("env"), place.get("file"))
    if not (value.isascii() and value.isprintable()):
        where = place.get("file") or place.get("env")
        raise SecretMissing(f"the secret in {where} has letters that no HTTP header can have")
    return value


_REFUSED = re.compile(r"\b(HTTP|HTTP Status Code) (401|403)\b")


_UNTRUSTED, _UNWELCOME = "its TLS certificate is not trusted", "its credentials are refused"


def explained(text: str) -> str:
    """A failure to reach a server in words that say what to do, where it is one of the usual ones."""
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return f"{_UNTRUSTED}; ca_file names the authority that signed it"
    if any(words in text for words in ("Connection refused", "All connection attempts failed")):
        return "connection refused: nothing listens there"
    if found := _REFUSED.search(text):
        return f"{_UNWELCOME} (HTTP {found[2]})"
    return text


def stays_so(told: str) -> bool:
    """Whether what `explained` told does not change by waiting, for somebody has to change a document or a secret."""
    return _UNTRUSTED in told or _UNWELCOME in told
