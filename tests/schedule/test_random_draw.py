"""Drills that a slot draws at random: the same for the same seed and slot, and as often as such faults come."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.support import ROOT
from tierdrill.documents.catalogue_reader import load_catalogue
from tierdrill.documents.models.calendar import Calendar, CalendarEntry
from tierdrill.documents.models.staged_rollout import Stage
from tierdrill.documents.models.units import Metadata
from tierdrill.schedule.random_draw import FAMILY_SHARE, OTHER_SHARE, drills_at, weights
from tierdrill.schedule.rollout.stage_moves import _staged
from tierdrill.schedule.slot_work import Work, members_of

CATALOGUE = load_catalogue(ROOT)[0]
SUITE = ("gpu-fallen-off-bus", "hot-gpu", "slow-link", "frozen-node", "replica-hang", "noisy-neighbour", "tier1-spike")


def calendar(draw: int | None, seed: int = 0, suite: tuple[str, ...] = SUITE) -> Calendar:
    entry = CalendarEntry(name="any", suite="all", draw=draw, seed=seed, cron="0 2 * * *")
    return Calendar(
        apiVersion="tierdrill/v1", kind="Calendar", metadata=Metadata(name="c"), suites={"all": suite}, entries=(entry,)
    )


def drawn(draw: int | None, seed: int, key: str) -> list[tuple[str, bool]]:
    one = calendar(draw, seed)
    return [(each.drill, each.blip) for each in drills_at(CATALOGUE, one, one.entries[0], key)]


@given(st.integers(1, len(SUITE)), st.integers(0, 99), st.text(max_size=20))
def test_the_same_slot_draws_the_same_and_no_drill_twice(draw: int, seed: int, key: str) -> None:
    once = drawn(draw, seed, key)
    assert once == drawn(draw, seed, key)
    assert len({name for name, _ in once}) == draw == len(once)
    assert {name for name, _ in once} <= set(SUITE)


def test_an_entry_that_draws_nothing_runs_its_suite_in_order() -> None:
    assert drawn(None, 3, "k") == [(name, False) for name in SUITE]


def test_another_seed_or_slot_gives_other_drills() -> None:
    assert len({tuple(drawn(2, seed, "k")) for seed in range(30)}) > 10
    assert len({tuple(drawn(2, 0, f"k{number}")) for number in range(30)}) > 10


def test_each_family_comes_as_often_as_in_the_field() -> None:
    first = Counter(drawn(1, 0, f"c/any/{number}")[0] for number in range(4000))
    by_family: Counter[str] = Counter()
    for (name, _), count in first.items():
        by_family[CATALOGUE.drills[name].experiment.split("/")[0]] += count
    assert by_family["gpu"] / 4000 == pytest.approx(FAMILY_SHARE["gpu"], abs=0.04)
    assert by_family["network"] / 4000 == pytest.approx(FAMILY_SHARE["network"], abs=0.03)
    assert (by_family["replica"] + by_family["load"]) / 4000 == pytest.approx(OTHER_SHARE, abs=0.04)
    blips = sum(count for (_, blip), count in first.items() if blip)
    assert blips / 4000 == pytest.approx(0.5, abs=0.05)


def test_what_is_drawn_as_a_blip_is_one_at_every_stage() -> None:
    one = calendar(2)
    work = SimpleNamespace(calendar=one, entry=one.entries[0])
    members = [member for n in range(9) for member in members_of(CATALOGUE, one, one.entries[0], f"{n}")]
    staged = [_staged(CATALOGUE, cast(Work, work), member, Stage(name="all")) for member in members]
    assert [member.blip for member in staged] == [member.blip for member in members]
    assert {member.blip for member in members} == {True, False}


def test_one_without_a_blip_runs_whole() -> None:
    one = calendar(1, suite=("priority-inversion",))
    assert not any(drills_at(CATALOGUE, one, one.entries[0], f"{n}")[0].blip for n in range(20))


def test_weights_are_shares_of_what_the_suite_has() -> None:
    assert sum(weights(CATALOGUE, SUITE)) == pytest.approx(1.0)
    assert weights(CATALOGUE, ["slow-link"]) == [FAMILY_SHARE["network"]]
