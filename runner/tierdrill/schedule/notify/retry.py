"""When a message that was not delivered is tried again, and when it is given up. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

FIRST_WAIT_S = 2.0
LONGEST_WAIT_S = 900.0
RETRY_AFTER_MAX_S = 3600.0
ATTEMPTS_MAX = 200
"""A bound of last resort: `give_up_after` usually comes first."""
AGAIN = frozenset({408, 423, 425, 429})
"""Refusals of HTTP that may pass; of the others, those from 500 on do as well."""


@dataclass(frozen=True)
class Answer:
    """What came of one attempt. `seen` is for people and holds no secret; `wait_s` is what the other side asked for."""

    ok: bool
    seen: str
    again: bool = False
    wait_s: float | None = None


def wait_before(attempts: int, chance: float, asked_s: float | None = None) -> float:
    """Seconds to wait after so many failed attempts (from 1): doubled each time, between half and all of it by
    `chance` (0 to 1), so that messages held up together do not come back together; never less than was asked for.
    """
    whole = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(attempts - 1, 30))
    wait = whole * (0.5 + 0.5 * chance)
    return max(wait, min(asked_s, RETRY_AFTER_MAX_S)) if asked_s is not None else wait


def given_up(attempts: int, age_s: float, give_up_after_s: float) -> bool:
    """Is it time to stop trying?"""
    return age_s >= give_up_after_s or attempts >= ATTEMPTS_MAX


def may_pass(status: int) -> bool:
    """May a request answered with this HTTP status succeed later?"""
    return status >= 500 or status in AGAIN


def retry_after(header: str | None, now: float) -> float | None:
    """Seconds asked for by a Retry-After header, a number or a date (RFC 9110, 10.2.3); None if it says neither."""
    if header is None:
        return None
    if header.strip().isascii() and header.strip().isdigit():
        return float(header.strip()[:9])
    try:
        when = parsedate_to_datetime(header)
        return max(0.0, (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None
