"""Secrets: read from environment or file when they are needed, never kept on disk, and blotted out of every text.

`Secrets` remembers what it has read for as long as it lives, only to blot it out of errors and of the HTTP library's
log, which names the whole URL of every request.
"""

import base64
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import quote, urlsplit

from tierdrill.credentials import read_secret
from tierdrill.documents.models.channels import Secret

BLOT = "[secret]"
SHORTEST = 8
"""A shorter piece would blot out ordinary words; the whole secret is blotted out however short."""
CHATTY = ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy")


class Secrets(logging.Filter):
    """Reads secrets and blots out those it has read."""

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
        for piece in sorted(self._pieces, key=len, reverse=True):
            text = text.replace(piece, BLOT)
        return text

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


def _pieces(secret: str) -> set[str]:
    """The secret, what of a URL tells it, and how HTTP and SMTP write it."""
    parts = {secret}
    if "://" in secret:
        split = urlsplit(secret)
        parts |= {split.path, split.query, *split.path.split("/")[-2:]}
    forms = {form for part in parts for form in (part, quote(part), repr(part)[1:-1])}
    forms |= {base64.b64encode(secret.encode()).decode().rstrip("=")}
    return {form for form in forms if form == secret or len(form) >= SHORTEST} - {"services"}
