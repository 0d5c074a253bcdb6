"""The login of a lab's Prometheus and Alertmanager: who only asks them need not import a web server."""

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
        return {"Authorization": self.header}

    def tls(self) -> None:
        """The lab speaks HTTP without TLS."""


def lab_login(token: str) -> Login:
    return Login(LAB_USER, hmac.new(token.encode(), _PURPOSE, hashlib.sha256).hexdigest()[:_DIGITS])


def web_config(login: Login) -> str:
    """The `--web.config.file` of either program, as text: nobody but this user."""
    # Only a lab that comes up needs them.
    import bcrypt
    import yaml

    hashed = bcrypt.hashpw(login.password.encode(), bcrypt.gensalt(BCRYPT_ROUNDS)).decode()
    text: str = yaml.safe_dump({"basic_auth_users": {login.user: hashed}})
    return text
