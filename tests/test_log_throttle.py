"""A log that clients cannot fill."""

from __future__ import annotations

import logging

import pytest

from tierdrill.log_throttle import EVERY_S, KINDS_MAX, Seldom


class Clock:
    """Moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def record(text: str, *args: object, name: str = "uvicorn.error", level: int = logging.WARNING) -> logging.LogRecord:
    return logging.LogRecord(name, level, __file__, 1, text, args, None)


def test_the_same_trouble_is_said_once_in_a_while_with_how_often_it_was() -> None:
    clock = Clock()
    seldom = Seldom(clock)
    assert seldom.filter(record("bad request %d", 0))
    assert not any(seldom.filter(record("bad request %d", number)) for number in range(1, 500))
    clock.now = EVERY_S
    last = record("bad request %d", 500)
    assert seldom.filter(last)
    assert last.getMessage() == "bad request 500 (and 499 like it in 10 s)"


def test_other_troubles_and_what_is_no_trouble_are_said() -> None:
    seldom = Seldom(Clock())
    assert all(seldom.filter(record("replica %s is gone", name, name="tierdrill.lab")) for name in "abc")
    assert all(seldom.filter(record("started", level=logging.INFO)) for _ in range(100))
    assert seldom.filter(record("a")) and seldom.filter(record("b"))


def test_kinds_without_end_become_one() -> None:
    seldom = Seldom(Clock())
    said = sum(seldom.filter(record(f"kind {number}")) for number in range(KINDS_MAX * 3))
    assert said == KINDS_MAX + 1


@pytest.mark.parametrize("error", [ValueError, RecursionError])
def test_tracebacks_are_told_apart_by_their_error(error: type[Exception]) -> None:
    seldom = Seldom(Clock())
    one, two = record("broke for %s", "a", name="x"), record("broke for %s", "b", name="x")
    one.exc_info = two.exc_info = (error, error(), None)
    assert seldom.filter(one)
    assert not seldom.filter(two)
