"""Who is told what: once in the window, well again where the trouble was told, and nothing lost between."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tierdrill.documents.models.channels import Channel, PagerDutyChannel, Secret, WebhookChannel
from tierdrill.schedule.notify.notification import KINDS, TROUBLE, WELL, Decision, Notice, Told, decide, wanted

WINDOW_S = 3600.0


def hook(**more: Any) -> WebhookChannel:
    return WebhookChannel(name="hook", type="webhook", url="http://x/", secret=Secret(env="S"), **more)


def pager(**more: Any) -> PagerDutyChannel:
    return PagerDutyChannel(name="page", type="pagerduty", routing_key=Secret(env="S"), **more)


def notice(kind: Any, **more: Any) -> Notice:
    return Notice(kind=kind, calendar="nightly", entry="lab", drill="node-loss", **more)


class Teller:
    """One channel over time, as the outbox keeps it."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.told: list[Told] = []

    def take(self, told: Notice, now: float) -> Decision:
        decision = decide(self.channel, told, self.told, now)
        self.told = [row for row in self.told if row not in decision.over]
        if decision.hold_back:
            self.told = [
                replace(row, held_back=row.held_back + 1)
                if (row.subject, row.kind) == (told.subject, told.kind)
                else row
                for row in self.told
            ]
        if decision.tell is not None:
            self.told = [row for row in self.told if (row.subject, row.kind) != (told.subject, decision.tell)]
            self.told.append(Told(told.subject, decision.tell, now))
        return decision


def test_once_in_the_window_then_again_with_how_often_it_came() -> None:
    teller = Teller(hook())
    assert teller.take(notice("failed"), 0).tell == "failed"
    assert teller.take(notice("failed"), 120).hold_back
    assert teller.take(notice("failed"), 240).tell is None
    again = teller.take(notice("failed"), WINDOW_S)
    assert (again.tell, again.repeated) == ("failed", 2)
    assert teller.take(notice("unclean"), WINDOW_S + 1).tell == "unclean"


def test_well_again_is_told_once_and_the_next_trouble_at_once() -> None:
    teller = Teller(hook())
    assert teller.take(notice("passed"), 0).tell is None
    teller.take(notice("failed"), 10)
    assert teller.take(notice("passed"), 20).tell == "recovered"
    assert teller.take(notice("passed"), 30).tell is None
    assert teller.take(notice("failed"), 40).tell == "failed"
    assert teller.take(notice("passed"), 50).tell == "recovered"


def test_a_channel_that_was_not_told_of_trouble_hears_of_no_recovery() -> None:
    teller = Teller(hook(on=("unclean", "recovered")))
    teller.take(notice("failed"), 0)
    assert teller.take(notice("passed"), 10).tell is None
    assert teller.take(notice("recovered"), 20) == Decision()
    assert Teller(hook(on=("passed",))).take(notice("passed"), 0).tell == "passed"


def test_another_drill_of_the_entry_is_another_subject() -> None:
    teller = Teller(hook())
    teller.take(notice("failed"), 0)
    other = replace(notice("passed"), drill="slow-link")
    assert teller.take(other, 10).tell is None
    assert teller.take(replace(other, kind="failed"), 20).tell == "failed"
    assert teller.take(notice("passed"), 30).tell == "recovered"


def test_pagerduty_is_resolved_and_never_told_of_good_news() -> None:
    teller = Teller(pager(on=(*TROUBLE, "passed", "recovered")))
    assert teller.take(notice("passed"), 0) == Decision()
    assert teller.take(notice("failed"), 10).tell == "failed"
    # The incident is the same, whatever becomes of the run next time.
    worse = teller.take(notice("unclean"), 20)
    assert (worse.tell, worse.resolve) == ("unclean", ())
    over = teller.take(notice("passed"), 30)
    assert (over.tell, over.resolve) == (None, ("nightly/lab/node-loss",))
    assert teller.take(notice("passed"), 40).resolve == ()


def test_a_missed_slot_is_over_when_the_drill_ran_whatever_it_came_to() -> None:
    teller = Teller(pager())
    missed = replace(notice("missed"), drill="")
    assert teller.take(missed, 0).tell == "missed"
    ran = teller.take(notice("failed"), 10)
    assert (ran.tell, ran.resolve) == ("failed", ("nightly/lab",))
    chat = Teller(hook())
    chat.take(missed, 0)
    assert chat.take(notice("passed"), 10).tell == "recovered"


def test_a_drill_that_was_only_held_back_does_not_recover() -> None:
    teller = Teller(hook())
    assert teller.take(replace(notice("held"), drill=""), 0).tell == "held"
    assert teller.take(notice("passed"), 10).tell is None
    assert teller.take(replace(notice("held"), drill=""), 20).tell == "held"


def test_a_regression_stays_while_the_drill_passes() -> None:
    teller = Teller(hook())
    worse = replace(notice("regression"), key="nightly/lab/node-loss/regression/mttr")
    assert teller.take(worse, 0).tell == "regression"
    assert teller.take(notice("passed"), 10).tell is None
    assert teller.take(worse, 20).hold_back
    assert teller.take(replace(worse, kind="recovered"), 30).tell == "recovered"


@pytest.mark.parametrize(
    ("more", "told", "expected"),
    [
        ({"rank_at_most": 1}, {"rank": 1}, True),
        ({"rank_at_most": 1}, {"rank": 2}, False),
        ({"rank_at_most": 1}, {"rank": None}, True),
        ({"owners": ("platform",)}, {"owner": "platform"}, True),
        ({"owners": ("platform",)}, {"owner": "search"}, False),
        ({"on": ("held",)}, {}, False),
    ],
)
def test_who_wants_what(more: dict[str, Any], told: dict[str, Any], expected: bool) -> None:
    assert wanted(hook(**more), notice("failed", **told)) is expected


STEPS = st.lists(
    st.tuples(st.sampled_from(KINDS), st.sampled_from(("node-loss", "slow-link", "")), st.floats(1, 5000)), max_size=30
)


@settings(max_examples=400)
@given(STEPS, st.booleans(), st.lists(st.sampled_from(KINDS), min_size=1, unique=True))
def test_whatever_happens_nothing_is_told_twice_or_kept_for_ever(
    steps: list[tuple[Any, str, float]], paged: bool, on: list[Any]
) -> None:
    teller = Teller(pager(on=tuple(on)) if paged else hook(on=tuple(on)))
    now, last, open_subjects = 0.0, {}, set()
    for kind, drill, gap in steps:
        now += gap
        told = replace(notice(kind), drill=drill)
        before = list(teller.told)
        decision = teller.take(told, now)
        if decision.tell is not None:
            assert decision.tell in on
            key = (told.subject, decision.tell)
            assert now - last.get(key, -WINDOW_S) >= WINDOW_S or not any(
                (row.subject, row.kind) == key for row in before if row not in decision.over
            )
            last[key] = now
            if decision.tell not in WELL:
                open_subjects.add(told.subject)
        if paged:
            assert set(decision.resolve) <= open_subjects
            open_subjects -= set(decision.resolve)
        if kind == "passed":
            assert not [row for row in teller.told if row.subject == told.subject and row.kind not in WELL]
            assert not paged or told.subject not in open_subjects
        if kind in TROUBLE and kind in on:
            assert any((row.subject, row.kind) == (told.subject, kind) for row in teller.told)
