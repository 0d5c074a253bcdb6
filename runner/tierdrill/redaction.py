"""Redaction: secrets hidden in every text and in the log, as the experiments and the deliveries of notices need it."""

from __future__ import annotations

import base64
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from tierdrill.credentials import read_secret

if TYPE_CHECKING:
    from tierdrill.documents.models.channels import Secret

SHORTEST = 4
"""A shorter value would be found in ordinary words."""
SHORTEST_SECRET = 3
SHORTEST_PIECE = 8
"""A shorter piece would blot out ordinary words; the whole secret is blotted out however short."""
BLOT = "[secret]"
LOG_FORM = "%(asctime)s %(name)s %(levelname)s %(message)s"
CHATTY = ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy")


def _without(text: str, hidden: Mapping[str, str]) -> str:
    """The text with something else for each of those, the longest first: one may be a part of another."""
    for value in sorted(hidden, key=len, reverse=True):
        text = text.replace(value, hidden[value])
    return text


class Hiding:
    """Puts `${name}` for each value that an experiment found out for itself: its secrets, and values of its environment
    and its probes. They are needed to play it and are in no document, history, ledger or log. Until it has learned them
    it changes nothing.
    """

    def __init__(self, spec: Mapping[str, Any]) -> None:
        written = spec["experiment"].get("configuration") or {}
        given = spec.get("variables") or {}
        self._defaults = {
            name: str(entry.get("default"))
            for name, entry in written.items()
            if isinstance(entry, dict) and entry.get("type") in ("env", "probe") and name not in given
        }
        self._hidden: dict[str, str] = {}

    def learn(self, configuration: Mapping[str, Any], secrets: Mapping[str, Any]) -> None:
        found: dict[str, str] = {}
        for name, default in self._defaults.items():
            for text in _texts(configuration.get(name)):
                if len(text) >= SHORTEST and text != default:
                    found.setdefault(text, name)
        for group, values in (secrets or {}).items():
            for name, value in values.items() if isinstance(values, Mapping) else ((group, values),):
                for text in _texts(value):
                    if len(text) >= SHORTEST_SECRET:
                        found[text] = str(name)
        self._hidden = {spelling: f"${{{name}}}" for text, name in found.items() for spelling in _spellings(text)}

    def __call__(self, text: str) -> str:
        """The text without them."""
        return _without(text, self._hidden)


class HidingFormatter(logging.Formatter):
    """A log without them, tracebacks included."""

    def __init__(self, hide: Hiding, form: str) -> None:
        super().__init__(form)
        self._hide = hide

    def format(self, record: logging.LogRecord) -> str:
        return self._hide(super().format(record))


def hide_in_log(hide: Hiding) -> None:
    """From now on the log says no value that the experiment found out for itself."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(HidingFormatter(hide, LOG_FORM))


class Secrets(logging.Filter):
    """Reads secrets when they are needed and blots out those it has read, from errors and from the HTTP library's log,
    which names the whole URL of every request. It remembers them for as long as it lives, and only for that.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._environ = os.environ if environ is None else environ
        self._pieces: set[str] = set()
        self._hushing = 0

    def read(self, secret: Secret) -> str:
        """The secret, without the line end that a file has; SecretMissing if it is not there or empty."""
        value = read_secret(secret.env, secret.file, self._environ)
        self._pieces |= _pieces(value)
        return value

    def hide_login(self, user: str, password: str) -> None:
        """Blot out how SMTP sends this login as well (AUTH PLAIN, RFC 4616)."""
        self._pieces.add(base64.b64encode(f"\0{user}\0{password}".encode()).decode())

    def blot(self, text: str) -> str:
        """The text with every known secret, and every form in which one is sent, blotted out."""
        return _without(text, dict.fromkeys(self._pieces, BLOT))

    def filter(self, record: logging.LogRecord) -> bool:
        """Blots a record of the log; it is always let through."""
        said = record.getMessage()
        blotted = self.blot(said)
        if blotted != said:
            record.msg, record.args = blotted, None
        return True

    @contextmanager
    def hushed(self) -> Iterator[None]:
        """The HTTP library's log with the secrets blotted out."""
        loggers = [logging.getLogger(name) for name in CHATTY]
        # Deliveries overlap: the filter stays until the last one is over.
        self._hushing += 1
        for logger in loggers:
            logger.addFilter(self)
        try:
            yield
        finally:
            self._hushing -= 1
            for logger in loggers if self._hushing == 0 else ():
                logger.removeFilter(self)


def _texts(value: Any) -> list[str]:
    """Every text and number in a value."""
    if isinstance(value, Mapping):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list | tuple):
        return [text for item in value for text in _texts(item)]
    if value is None or isinstance(value, bool):
        return []
    return [value.decode(errors="replace") if isinstance(value, bytes) else str(value)]


def _spellings(text: str) -> set[str]:
    """As it is, and as Python and JSON write it."""
    return {text, repr(text)[1:-1], json.dumps(text)[1:-1]}


def _pieces(secret: str) -> set[str]:
    """The secret, what of a URL tells it, and how HTTP and SMTP write it."""
    parts = {secret}
    if "://" in secret:
        split = urlsplit(secret)
        parts |= {split.path, split.query, *split.path.split("/")[-2:]}
    forms = {form for part in parts for form in (part, quote(part), repr(part)[1:-1])}
    forms |= {base64.b64encode(secret.encode()).decode().rstrip("=")}
    return {form for form in forms if form == secret or len(form) >= SHORTEST_PIECE} - {"services"}
