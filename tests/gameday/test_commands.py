"""What is asked for and what comes of it; and what happens with nobody asking."""

from __future__ import annotations

import pytest

from tests.gameday.support import AT, begun, carried_out, document, finished, state_of
from tierdrill.gameday.gameday_commands import Command, Verb, decide, due, seconds_left, wanted_abort
from tierdrill.history.events import Event


def test_a_whole_game_day_by_hand() -> None:
    state, _ = carried_out(state_of(), [Command("next", "x")])
    assert state.stage == "running"
    state, decision = carried_out(state, [Command("next", "x")])
    assert not decision.ok and "in progress" in decision.say
    state = state_of(begun(), finished())
    assert (state.stage, state.pause_until) == ("pause", AT + 400)
    state, _ = carried_out(state, [Command("extend", "x"), Command("extend", "x")], at=AT + 110)
    assert state.pause_until == AT + 400 + 240
    state, _ = carried_out(state, [Command("next", "x")], at=AT + 120)
    assert state.steps[1].last is not None
    state = state_of(begun(), finished(), begun(1, at=AT + 300), finished(1, at=AT + 400))
    state, decision = carried_out(state, [Command("next", "x")], at=AT + 500)
    assert (state.stage, state.outcome, state.ended) == ("ended", "completed", AT + 500)


def test_an_extension_of_a_pause_that_is_over_counts_from_now() -> None:
    state, _ = carried_out(state_of(begun(), finished()), [Command("extend", "x")], at=AT + 1000)
    assert state.pause_until == AT + 1120


def test_a_step_is_repeated_and_its_last_run_counts() -> None:
    first = state_of(begun(), finished(status="failed"), Event(AT + 110, "hypothesis.answered", "x",
                     {"step": 0, "hypothesis": 1, "held": "held"}))  # fmt: skip
    state, _ = carried_out(first, [Command("repeat", "x")], at=AT + 120)
    assert state.stage == "running" and state.steps[0].last is not None and state.steps[0].last.number == 2
    # What was said of the first run is not said of the second.
    assert state.steps[0].answers == ()


def test_a_running_step_is_stopped_and_skipped() -> None:
    state, decision = carried_out(state_of(begun()), [Command("skip", "x", "no time")], at=AT + 20)
    assert (state.stage, state.steps[0].skipped, decision.say) == ("running", "no time", "node-loss is being stopped")
    assert not decide(state, Command("skip", "x"), AT + 21).ok


def test_a_step_that_ended_while_its_skip_was_asked_about_does_not_cost_the_next() -> None:
    asked = Command("skip", "x", step=0)
    assert decide(state_of(begun()), asked, AT + 20).ok
    late = decide(state_of(begun(), finished()), asked, AT + 120)
    assert not late.ok and "already ended" in late.say
    assert decide(state_of(begun(), finished()), Command("skip", "x", step=1), AT + 120).ok


@pytest.mark.parametrize(
    ("verb", "events", "said"),
    [
        ("extend", (), "no pause"),
        ("extend", (begun(),), "no pause"),
        ("repeat", (), "no step to repeat"),
        ("repeat", (begun(),), "in progress"),
        ("skip", (begun(), finished(), begun(1, at=AT + 300), finished(1, at=AT + 400)), "n ends"),
        ("note", (), "missing text"),
        ("close", (), "its findings: none"),
        ("answer", (), "got ''"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(verb: Verb, events: tuple[Event, ...], said: str) -> None:
    decision = decide(state_of(*events), Command(verb, "x"), AT + 500)
    assert not decision.ok and decision.events == () and said in decision.say


@pytest.mark.parametrize("due_date", ["tomorrow", "2027-13-01", "20270131", "31.01.2027"])
def test_a_date_that_is_none_is_refused(due_date: str) -> None:
    decision = decide(state_of(), Command("finding", "x", "words", due=due_date), AT)
    assert not decision.ok and "2027-01-31" in decision.say


def test_abort_with_a_run_waits_for_it_and_ends_when_it_is_over() -> None:
    state, _ = carried_out(state_of(begun()), [Command("abort", "x", "harm")], at=AT + 20)
    assert (state.stage, state.aborting) == ("running", "harm")
    assert due(state, AT + 30) is None
    after = state_of(begun(), Event(AT + 20, "abort.asked", "x", {"reason": "harm"}), finished(status="aborted"))
    command = due(after, AT + 101)
    assert command is not None
    ended, _ = carried_out(after, [command], at=AT + 102)
    assert (ended.outcome, ended.reason) == ("aborted", "harm")


def test_unattended_it_goes_on_by_itself_after_the_pause() -> None:
    state = state_of(begun(), finished(status="failed"), unattended=True)
    assert due(state, AT + 399) is None
    assert due(state, AT + 400) == Command("next", "tierdrill")
    without = state_of(begun(), finished(), unattended=True, pauses=False)
    assert due(without, AT + 100) is not None
    assert due(state_of(begun(), finished()), AT + 9999) is None
    by_clock = state_of(begun(), finished(), of=document(next_step="by-clock"))
    assert due(by_clock, AT + 400) is not None
    assert due(state_of(of=document(next_step="by-clock")), AT + 400) is None


@pytest.mark.parametrize("status", ["aborted", "unclean", "refused"])
def test_unattended_it_ends_where_somebody_would_have_to_decide(status: str) -> None:
    assert wanted_abort(state_of(begun(), finished(status=status), unattended=True)) is not None
    assert wanted_abort(state_of(begun(), finished(status=status))) is None


def test_a_breached_criterion_ends_it_also_with_a_facilitator() -> None:
    state = state_of(begun(), finished(status="aborted", breached=["half of it is gone"]))
    command = due(state, AT + 101)
    assert command is not None and command.verb == "abort" and "half of it is gone" in command.text


def test_what_is_left_by_plan() -> None:
    assert seconds_left(state_of(), AT) == 48 + 300 + 50
    assert seconds_left(state_of(begun()), AT + 20) == 38 + 300 + 50
    assert seconds_left(state_of(begun(), finished()), AT + 200) == 200 + 50
    assert seconds_left(state_of(begun(), finished(), pauses=False), AT + 200) == 50
