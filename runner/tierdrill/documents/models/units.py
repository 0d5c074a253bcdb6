"""Quantities as people write them ("500ms", "99.5%", "60/s") and the SI floats the code uses.

Every parser raises ValueError with what was found and what is allowed; pydantic turns that into a located error.
"""

import contextlib
import ipaddress
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, WithJsonSchema

from tierdrill.documents.calendar.moments import DATE_PATTERN, MOMENT_PATTERN, parse_moment

DURATION_PATTERN = r"^[0-9]{1,12}(\.[0-9]{1,12})?(ms|s|m|h|d)$"
PERCENT_PATTERN = r"^[0-9]{1,3}(\.[0-9]{1,12})?%$"
RATE_PATTERN = r"^[0-9]{1,12}(\.[0-9]{1,12})?/(s|m|h)$"
NAME_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"

_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)(ms|s|m|h|d)\Z")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,12})?)%\Z")
_RATE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)/(s|m|h)\Z")


def parse_duration(value: Any) -> float:
    """Seconds from "250ms", "12s", "5m", "1h" or "30d"; a bare number has no unit and is refused."""
    if isinstance(value, str) and (found := _DURATION.match(value)):
        return float(found[1]) * _SECONDS[found[2]]
    raise ValueError(f"got {value!r}, expected a duration with its unit, such as 500ms, 12s, 5m or 1h")


def parse_ratio(value: Any) -> float:
    """A share between 0 and 1 from "99.5%"; a bare number is refused because 0.5 and 0.5% look alike."""
    if isinstance(value, str) and (found := _PERCENT.match(value)):
        share = float(found[1]) / 100.0
        if share <= 1.0:
            return round(share, 12)
    raise ValueError(f"got {value!r}, expected a percentage from 0% to 100%, such as 99.5%")


def parse_rate(value: Any) -> float:
    """Events per second from "60/s", "30/m" or "10/h"."""
    if isinstance(value, str) and (found := _RATE.match(value)):
        return float(found[1]) / _SECONDS[found[2]]
    raise ValueError(f"got {value!r}, expected a rate with its unit, such as 60/s or 30/m")


def parse_network(value: Any) -> str:
    """A network as "10.0.0.0/8", or a single address."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return str(ipaddress.ip_network(value))
    raise ValueError(f"got {value!r}, expected an address or a network, such as 10.0.0.7 or 10.0.0.0/8")


def _moment(text: str) -> str:
    parse_moment(text)
    return text


def show_duration(seconds: float) -> str:
    """The shortest usual spelling: 0.5 -> "500ms", 12 -> "12s", 90 -> "90s", 7200 -> "2h"."""
    for unit, size in (("d", 86400.0), ("h", 3600.0)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    if 0 < seconds < 1:
        return f"{seconds * 1000:g}ms"
    return f"{seconds:g}s"


def promql_duration(seconds: float) -> str:
    """As Prometheus reads it: 12 -> "12s", 1.5 -> "1500ms"."""
    milliseconds = round(seconds * 1000)
    return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"


def show_ratio(share: float) -> str:
    """0.995 -> "99.5%"."""
    return f"{round(share * 100, 6):g}%"


def _accept_parsed(parse: Any) -> Any:
    # Models built in code, or read back from a history, pass the float that parsing produced; what people wrote (the
    # context says "written") must carry its unit.
    def accept(value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, float) and not (info.context and info.context.get("written")):
            return value
        return parse(value)

    return accept


Duration = Annotated[
    float,
    BeforeValidator(_accept_parsed(parse_duration)),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "examples": ["500ms", "12s", "5m"]}),
]
Ratio = Annotated[
    float,
    BeforeValidator(_accept_parsed(parse_ratio)),
    WithJsonSchema({"type": "string", "pattern": PERCENT_PATTERN, "examples": ["99.5%"]}),
]
Rate = Annotated[
    float,
    BeforeValidator(_accept_parsed(parse_rate)),
    WithJsonSchema({"type": "string", "pattern": RATE_PATTERN, "examples": ["60/s"]}),
]
Network = Annotated[str, BeforeValidator(parse_network), Field(examples=["10.0.0.0/8"])]
Date = Annotated[str, AfterValidator(_moment), Field(pattern=DATE_PATTERN, examples=["2026-12-24"])]
Moment = Annotated[str, AfterValidator(_moment), Field(pattern=MOMENT_PATTERN, examples=["2026-12-24T18:00"])]
Name = Annotated[str, Field(pattern=NAME_PATTERN, examples=["node-loss"])]


def _list_to_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


Frozen = BeforeValidator(_list_to_tuple)
"""Marks a tuple field that a document writes as a list: `Annotated[tuple[str, ...], Frozen]`."""


class Part(BaseModel):
    """Base of every piece of a document: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Metadata(Part):
    """Who a document is: its name (unique within its kind), a title, and who answers for it."""

    name: Name
    title: str = ""
    owner: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
