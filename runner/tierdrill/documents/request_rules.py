"""Which tier a request has, and what is refused whatever the load: the rules that gateways, documents and tests of a
policy share. Pure, and imports nothing but the standard library.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

ANY_MODEL = "*"
ANYWHERE = "any"
MINUTES = 24 * 60
_HOURS = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])\Z")


class RouteRule(Protocol):
    """A routing rule: a condition that is None does not restrict."""

    @property
    def tier(self) -> str: ...
    @property
    def model(self) -> str | None: ...
    @property
    def customer_class(self) -> str | None: ...
    @property
    def region(self) -> str | None: ...
    @property
    def hours(self) -> str | None: ...
    @property
    def prompt_tokens_at_least(self) -> int | None: ...
    @property
    def prompt_tokens_at_most(self) -> int | None: ...
    @property
    def max_tokens_at_least(self) -> int | None: ...
    @property
    def max_tokens_at_most(self) -> int | None: ...
    @property
    def transaction_at_least(self) -> float | None: ...
    @property
    def transaction_at_most(self) -> float | None: ...


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What routing looks at. `minute` is that of the day in UTC; `transaction` is the value at stake for the customer,
    in the platform's currency; None is not known, and meets no condition.
    """

    model: str
    customer_class: str | None = None
    prompt_tokens: int = 1
    max_tokens: int = 1
    region: str | None = None
    transaction: float | None = None
    minute: int | None = None


def same_word(one: str, other: str | None) -> bool:
    """Whether two names of a class or a region mean the same: case does not matter."""
    return other is not None and one.casefold() == other.casefold()


@lru_cache(maxsize=256)
def minutes_of(hours: str) -> tuple[int, int]:
    """Begin and end, in minutes of the day, of "22:00-06:00"; ValueError for anything else, and for no time at all."""
    found = _HOURS.match(hours)
    if found is None:
        raise ValueError(f"got {hours!r}, expected hours of the day in UTC, such as 08:00-18:00")
    begin, end = (int(found[part]) * 60 + int(found[part + 1]) for part in (1, 3))
    if begin == end:
        raise ValueError(f"got {hours!r}, expected hours that begin and end at different times")
    return begin, end


def minute_of_day(at: float) -> int:
    """The minute of the day, in UTC, of a moment in Unix seconds."""
    return int(at // 60) % MINUTES


def within_hours(hours: str, minute: int) -> bool:
    """Whether a minute of the day lies in them; the end is not part of them, and they may go over midnight."""
    begin, end = minutes_of(hours)
    return (minute - begin) % MINUTES < (end - begin) % MINUTES


def matches(rule: RouteRule, request: RequestFacts) -> bool:
    """Whether every condition of the rule holds for the request."""
    return (
        rule.model in (None, ANY_MODEL, request.model)
        and (rule.customer_class is None or same_word(rule.customer_class, request.customer_class))
        and (rule.region is None or same_word(rule.region, request.region))
        and _between(rule.prompt_tokens_at_least, request.prompt_tokens, rule.prompt_tokens_at_most)
        and _between(rule.max_tokens_at_least, request.max_tokens, rule.max_tokens_at_most)
        and _between(rule.transaction_at_least, request.transaction, rule.transaction_at_most)
        and (rule.hours is None or (request.minute is not None and within_hours(rule.hours, request.minute)))
    )


def _between(least: float | None, value: float | None, most: float | None) -> bool:
    if least is None and most is None:
        return True
    return value is not None and (least is None or value >= least) and (most is None or value <= most)


def first_match(rules: Sequence[RouteRule], request: RequestFacts) -> int | None:
    """The number of the rule that decides: the first that matches."""
    return next((number for number, rule in enumerate(rules) if matches(rule, request)), None)


def may_not_be_served(residency: Collection[str], region: str | None) -> bool:
    """Whether a tier may not serve a customer of that region, for its data stays elsewhere. Unknown is served."""
    return bool(residency) and region is not None and not any(
        place == ANYWHERE or same_word(place, region) for place in residency
    )  # fmt: skip


def too_long(prompt_tokens: int, max_tokens: int, prompt_at_most: int, answer_at_most: int) -> str | None:
    """Why a model refuses a request of that size; None where it takes it."""
    if max_tokens > answer_at_most:
        return f"max_tokens: got {max_tokens}; this model writes at most {answer_at_most}"
    if prompt_tokens > prompt_at_most:
        return f"the prompt has {prompt_tokens} tokens; this model reads at most {prompt_at_most}"
    return None
