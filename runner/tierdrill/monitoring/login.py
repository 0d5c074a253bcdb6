"""The name and password in front of a lab's Prometheus and Alertmanager.

Whoever can reach an Alertmanager can post alerts to it, and an alert starts playbooks; so both ask for a password that
only the lab's owner has. It comes from the lab's own token (HMAC-SHA256, in hexadecimal), so that there is one secret
to keep, and none to look up. The programs themselves hold its bcrypt hash only.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

from tierdrill.credentials import basic

LAB_USER = "tierdrill"
BCRYPT_ROUNDS = 4
"""The least there is: stretching is for passwords that people choose, this one is 192 bits of chance."""

_PURPOSE = b"prometheus and alertmanager"
_DIGITS = 48


@dataclass(frozen=True)
class Login:
    """HTTP basic authentication."""

    user: str
    password: str = field(repr=False)

    @property
    def header(self) -> str:
        """The value of `Authorization`."""
        return basic(self.user, self.password)

    @property
    def pair(self) -> tuple[str, str]:
        """As HTTP clients take it."""
        return (self.user, self.password)

    def headers(self) -> dict[str, str]:
        """Those of a request."""
        return {"Authorization": self.header}

    def tls(self) -> None:
        """The lab speaks HTTP without TLS."""


def lab_login(token: str) -> Login:
    """The login of the lab that has this token."""
    return Login(LAB_USER, hmac.new(token.encode(), _PURPOSE, hashlib.sha256).hexdigest()[:_DIGITS])


def web_config(login: Login) -> str:
    """The `--web.config.file` of either program, as text: nobody but this user."""
    # Only a lab that comes up needs them.
    import bcrypt
    import yaml

    hashed = bcrypt.hashpw(login.password.encode(), bcrypt.gensalt(BCRYPT_ROUNDS)).decode()
    text: str = yaml.safe_dump({"basic_auth_users": {login.user: hashed}})
    return text
