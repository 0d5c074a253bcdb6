"""The books of each stream's arrivals, against counting with sets."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierdrill.history.events import Event
from tierdrill.judge.arrivals import StreamBook, settle
from tierdrill.judge.sample_columns import samples_event_data
from tierdrill.judge.samples import collect

NUMBERS = st.lists(st.integers(-2, 12) | st.just(10**30), max_size=20)


def book(numbers: list[Any], planned: int | None) -> StreamBook:
    rows = [
        {"tier": "critical", "stream": "s", "due": 1.0 * place, "latency": 0.1, "outcome": "ok", "sequence": number}
        for place, number in enumerate(numbers)
    ]
    events = [
        Event(0.0, "load.started", "load", {"planned": {} if planned is None else {"s": planned}}),
        *(Event(9.0, "load.samples", "load", samples_event_data(rows[first : first + 7])) for first in (0, 7, 14)),
    ]
    # The stream is of no tier: then its rows are counted, and none is put in or taken out.
    return settle(collect(events), events, {"s": ""}, (0.0, 50.0))[1]["s"]


@given(NUMBERS, st.none() | st.integers(-1, 15) | st.just(10**20))
def test_each_arrival_is_counted_once(numbers: list[int], planned: int | None) -> None:
    distinct = set(numbers)
    within = distinct if planned is None else {number for number in distinct if number < planned}
    found = book(numbers, planned)
    assert (found.rows, found.numbered) == (len(numbers), True)
    assert found.missing == max(0, (planned or 0) - len(within))
    assert found.repeated == len(numbers) - len(distinct)
    assert found.strange == len(distinct) - len(within)


@pytest.mark.parametrize("numbers", [[None], [0, None, 2], [None, None, 1, 5]])
def test_a_row_without_its_sequence_leaves_the_stream_unnumbered(numbers: list[int | None]) -> None:
    assert book(numbers, 4) == StreamBook("", 4, len(numbers), numbered=False)
