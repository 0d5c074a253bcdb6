"""Samples by tier and their cuts, against plain filters over the same rows."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tierdrill.history.events import Event
from tierdrill.judge.sample_columns import samples_event_data
from tierdrill.judge.samples import TierSamples, collect, joined

MOMENTS = st.integers(0, 12).map(float)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "tier": st.sampled_from(("critical", "standard")),
            "stream": st.sampled_from("ab"),
            "due": MOMENTS,
            "latency": st.floats(0.0, 9.0),
            "ttft": st.none() | st.floats(0.0, 9.0),
            "outcome": st.sampled_from(("ok", "error", "rejected", "dropped")),
            "reason": st.none() | st.just("shed"),
            "integrity": st.none() | st.booleans(),
            "queue_wait": st.none() | st.floats(0.0, 9.0),
        }
    ),
    max_size=20,
)
NAMES = ("due", "latency", "outcome", "ttft", "integrity", "queue_wait", "reason", "stream")


def rows_of(samples: TierSamples) -> list[dict[str, Any]]:
    columns = [list(getattr(samples, name)) for name in NAMES]
    assert all(len(column) == len(samples) for column in columns)
    return [dict(zip(NAMES, values, strict=True)) for values in zip(*columns, strict=True)]


def plain(rows: list[dict[str, Any]], tier: str) -> list[dict[str, Any]]:
    mine = [{name: row[name] for name in NAMES} for row in rows if row["tier"] == tier]
    for row in mine:
        # A rejection that was nobody's choice is as bad as an error.
        row["outcome"] = "refused" if (row["outcome"], row["reason"]) == ("rejected", None) else row["outcome"]
    return sorted(mine, key=lambda row: float(row["due"]))


def collected(batches: list[list[dict[str, Any]]]) -> dict[str, TierSamples]:
    return collect([Event(0.0, "load.samples", "load", samples_event_data(rows)) for rows in batches])


@given(st.lists(ROWS, max_size=4))
def test_each_tier_has_its_own_rows_by_due_time(batches: list[list[dict[str, Any]]]) -> None:
    rows = [row for batch in batches for row in batch]
    found = collected(batches)
    assert set(found) == {row["tier"] for row in rows}
    for tier, samples in found.items():
        assert rows_of(samples) == plain(rows, tier)


@given(st.lists(ROWS, max_size=3), MOMENTS, MOMENTS, MOMENTS, MOMENTS)
def test_a_cut_is_a_filter_and_so_is_a_cut_of_it(
    batches: list[list[dict[str, Any]]], begin: float, end: float, again: float, until: float
) -> None:
    for samples in collected(batches).values():
        inside = [row for row in rows_of(samples) if begin <= row["due"] < end]
        cut = samples.cut(begin, end)
        assert rows_of(cut) == inside
        assert cut.counts == {name: number for name, number in cut.counts.items() if number}
        assert sum(cut.counts.values()) == len(cut) == len(inside)
        assert rows_of(cut.cut(again, until)) == [row for row in inside if again <= row["due"] < until]


@given(st.lists(ROWS, max_size=4), MOMENTS, MOMENTS, st.floats(0.0, 9.0), st.sampled_from((frozenset(), {"rejected"})))
def test_what_was_answered_and_the_moments_are_those_of_the_rows(
    batches: list[list[dict[str, Any]]], begin: float, end: float, late: float, silent: frozenset[str]
) -> None:
    for samples in collected(batches).values():
        for cut in (samples, samples.cut(begin, end)):
            rows = rows_of(cut)
            for name in NAMES:
                assert cut.answered(name) == [row[name] for row in rows if row["outcome"] == "ok"]
                assert cut.not_answered(name) == [row[name] for row in rows if row["outcome"] != "ok"]
            asked = [row for row in rows if row["outcome"] not in silent]
            bad = [row["due"] for row in asked if row["outcome"] != "ok" or row["latency"] > late]
            assert list(map(list, cut.moments(late, silent))) == [[row["due"] for row in asked], bad]


@given(st.lists(ROWS, max_size=4), MOMENTS, MOMENTS)
def test_times_are_those_of_the_rows(batches: list[list[dict[str, Any]]], begin: float, end: float) -> None:
    for samples in collected(batches).values():
        cut = samples.cut(begin, end)
        rows = rows_of(cut)
        known = [row for row in rows if row["outcome"] != "dropped"]
        streamed = [row for row in known if row["stream"] == "a"]
        assert cut.answered_latencies(True) == sorted(
            row["latency"] if row["outcome"] == "ok" else math.inf for row in known
        )
        assert cut.first_token_times({"a"}, False) == sorted(
            math.inf if row["outcome"] != "ok" else row["latency"] if row["ttft"] is None else row["ttft"]
            for row in streamed
            if row["outcome"] != "rejected"
        )
        assert cut.tally("integrity") == Counter(row["integrity"] for row in rows)


@given(st.lists(ROWS, max_size=3), MOMENTS, MOMENTS)
def test_cuts_join_to_what_they_were_cut_from(
    batches: list[list[dict[str, Any]]], first: float, second: float
) -> None:
    low, high = sorted((first, second))
    for samples in collected(batches).values():
        edges = (float("-inf"), low, high, float("inf"))
        parts = [samples.cut(begin, end) for begin, end in pairwise(edges)]
        assert rows_of(joined(parts)) == rows_of(samples)


def test_no_samples_have_every_column_empty() -> None:
    assert rows_of(TierSamples()) == rows_of(TierSamples().cut(0.0, 1.0)) == rows_of(joined([])) == []
    assert TierSamples().answered_latencies(True) == []
