"""Channels: where the scheduler tells people what became of a drill. A part of the Calendar document.

Secrets are never written into a document: it names the environment variable, or the file, that holds one.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, WithJsonSchema

from tierdrill.documents.models.units import Duration, Frozen, Name, Part

NoticeKind = Literal[
    "passed",
    "failed",
    "inconclusive",
    "aborted",
    "unclean",
    "held",
    "missed",
    "regression",
    "recovered",
    "rollout",
]
"""What can be told: a run's verdict; a slot that was held back or missed; a figure that became worse, or a drill that
has recovered; a move between the stages of a rollout.
"""
UNLESS_ASKED: tuple[NoticeKind, ...] = (
    "failed",
    "inconclusive",
    "aborted",
    "unclean",
    "held",
    "missed",
    "regression",
    "recovered",
    "rollout",
)
PAGED: tuple[NoticeKind, ...] = ("failed", "aborted", "unclean", "missed", "regression")
PAGERDUTY_URL = "https://events.pagerduty.com"
SMTP_PORTS = {"starttls": 587, "tls": 465, "none": 25}
ENVIRONMENT_NAME_PATTERN = r"^[A-Z_][A-Z0-9_]{0,127}$"
WHOLE_PATH_PATTERN = r"^(/|~/).+$"

_URL = re.compile(r"https?://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?(/[^\s#]*|\?[^\s#]*)?\Z")
_ADDRESS = re.compile(r"(?:[^<>\r\n]*<)?[^\s@<>,;]{1,64}@[^\s@<>,;]{1,255}>?\Z")
_ELSEWHERE = "{env: NAME} or {file: PATH} that holds it, never the secret itself"


def _no_secret_written(value: Any) -> Any:
    """What was written is not repeated: the message ends up in logs."""
    if isinstance(value, str | int | float | list):
        raise ValueError(f"a secret written into the document, expected {_ELSEWHERE}")
    return value


def _written_as(pattern: str, refusal: str) -> AfterValidator:
    """Text of that pattern as a whole; `refusal` says what it is otherwise, and what is allowed."""
    compiled = re.compile(pattern, re.DOTALL)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(refusal)
        return value

    return AfterValidator(check)


def _url(value: str) -> str:
    if "@" in value.partition("://")[2].partition("/")[0]:
        raise ValueError("a URL with a user or password in it, expected a URL without user and password")
    if not _URL.match(value):
        raise ValueError("got no URL, expected http:// or https:// with a host, without spaces or a fragment")
    return value


def _address(value: str) -> str:
    if not _ADDRESS.match(value) or value.count("<") != value.count(">"):
        raise ValueError("got no address, expected an e-mail address, such as oncall@example.org")
    return value


EnvironmentName = Annotated[
    str,
    _written_as(
        ENVIRONMENT_NAME_PATTERN,
        "something that is not the name of an environment variable, expected capitals, digits and underscores, "
        "such as DRILL_WEBHOOK_SECRET, never the secret itself",
    ),
    WithJsonSchema({"type": "string", "pattern": ENVIRONMENT_NAME_PATTERN, "examples": ["DRILL_WEBHOOK_SECRET"]}),
]
WholePath = Annotated[
    str,
    _written_as(
        WHOLE_PATH_PATTERN,
        "something that is not the whole path of a file, expected a path that begins with / or ~/, never the secret "
        "itself",
    ),
    WithJsonSchema({"type": "string", "pattern": WHOLE_PATH_PATTERN, "examples": ["/run/secrets/drill-webhook"]}),
]


class Secret(Part):
    """Where a secret is found when it is needed: in an environment variable, or in a file. Exactly one is given."""

    env: EnvironmentName | None = None
    file: WholePath | None = None


def secret_variables(document: object) -> set[str]:
    """The variables of the environment that hold secrets of this document."""
    if isinstance(document, Secret):
        return {document.env} if document.env is not None else set()
    if isinstance(document, BaseModel):
        return secret_variables(list(vars(document).values()))
    if isinstance(document, list | tuple):
        return {name for part in document for name in secret_variables(part)}
    return secret_variables(list(document.values())) if isinstance(document, dict) else set()


SecretHere = Annotated[Secret, BeforeValidator(_no_secret_written)]
Host = Annotated[
    str,
    _written_as(
        r"\[?[0-9a-fA-F:]+\]?|[A-Za-z0-9._-]+",
        "got no host, expected the name or the address of a host, without port or scheme",
    ),
]
Url = Annotated[str, AfterValidator(_url)]
Address = Annotated[str, AfterValidator(_address)]


class Telling(Part):
    """What every channel has: its name, what is told there and of which drills, and how hard it is tried.

    `once_within`: the same thing about the same entry is told once in this time. `give_up_after`: a message that could
    not be delivered for this long is given up, loudly. `rank_at_most: 2` tells only of drills that judge a tier of rank
    1 or 2; `owners` only of entries of these owners.
    """

    name: Name
    on: Annotated[tuple[NoticeKind, ...], Field(min_length=1), Frozen] = UNLESS_ASKED
    rank_at_most: int | None = Field(default=None, ge=1, le=100)
    owners: Annotated[tuple[str, ...], Frozen] = ()
    once_within: Duration = 3600.0
    timeout: Duration = 10.0
    give_up_after: Duration = 21600.0


class WebhookChannel(Telling):
    """JSON to any receiver, signed with HMAC-SHA256 over the timestamp, a full stop and the body."""

    type: Literal["webhook"]
    url: Url
    secret: SecretHere


class SlackChannel(Telling):
    """A Slack-compatible incoming webhook. Whoever knows its URL can post, so the URL is a secret."""

    type: Literal["slack"]
    url: SecretHere


class EmailChannel(Telling):
    """Mail by SMTP. `port` is 587, 465 or 25 where none is given, by `security`."""

    type: Literal["email"]
    host: Host
    port: int | None = Field(default=None, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str | None = None
    password: SecretHere | None = None
    sender: Address
    to: Annotated[tuple[Address, ...], Field(min_length=1), Frozen]

    @property
    def port_used(self) -> int:
        return self.port or SMTP_PORTS[self.security]


class PagerDutyChannel(Telling):
    """PagerDuty's Events API v2. What is told opens an incident, and it is resolved when the drill has recovered."""

    type: Literal["pagerduty"]
    routing_key: SecretHere
    url: Url = PAGERDUTY_URL
    on: Annotated[tuple[NoticeKind, ...], Field(min_length=1), Frozen] = PAGED


Channel = Annotated[
    WebhookChannel | SlackChannel | EmailChannel | PagerDutyChannel,
    Field(discriminator="type"),
]
"""One channel; `type` says which kind."""
