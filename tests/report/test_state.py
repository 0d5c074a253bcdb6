"""The reducer: what each event does to the state, and that none can break it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_synthetic import EFFECT, FAULT_ID, ZERO, drill, sabotage

from tierdrill.history import payload
from tierdrill.history.events import Event
from tierdrill.history.kinds import response_kinds, run_kinds  # noqa: F401
from tierdrill.report.event_text import describe
from tierdrill.report.recent_seconds import recent_sli
from tierdrill.report.run_model import RunState
from tierdrill.report.run_state import fold, reduce, story

KINDS = [*sorted(payload.KINDS), "fault.unheard-of", "something.new"]
FIELDS = (
    *("run", "phase", "fault", "alert", "state", "playbook", "execution", "target", "seconds", "seen", "ok", "witness"),
    *("effective_at", "gone_at", "reason", "by", "contact", "error", "attempt", "outcome", "severity", "via", "name"),
)
values = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=8) | st.floats(0, 100)


@st.composite
def any_event(draw: st.DrawFn) -> Event:
    data: dict[str, Any] = draw(st.dictionaries(st.sampled_from(FIELDS), values, max_size=6))
    return Event(draw(st.floats(0, 100)), draw(st.sampled_from(KINDS)), "test", data)


@given(st.lists(any_event(), max_size=40))
def test_no_event_breaks_a_view(events: list[Event]) -> None:
    state = fold(events)
    assert state.now == max([0.0, *(event.at for event in events)])
    assert state.zero >= 0
    for view in state.alerts.values():
        assert view.state is not None and (view.resolved_at is None or view.firing_at is not None)
    for event in events:
        describe(event)


def test_reduce_leaves_the_old_state_alone() -> None:
    before = RunState()
    for event in drill().events:
        kept = repr(before)
        after = reduce(before, event)
        assert repr(before) == kept
        before = after


def test_the_story_of_the_drill() -> None:
    state = story(drill().events)
    assert state.effect == pytest.approx(EFFECT)
    assert state.outcome == "completed" and state.phase is None
    assert [phase.name for phase in state.phases] == [
        *("preflight", "warm-up", "baseline", "fault", "recovery", "clean-up")
    ]
    fault = state.faults[FAULT_ID]
    assert fault.status == "gone" and fault.landed_by == "controller" and fault.emulated
    assert [view.phase for view in state.playbooks] == ["act", "resolve"]
    assert [step.name for step in state.playbooks[0].steps] == ["cordon", "move-critical"]
    assert [step.name for step in state.playbooks[1].steps] == ["uncordon", "rebalance"]
    (alert,) = state.alerts_named("NodeNotReady")
    assert alert.firing_at == pytest.approx(EFFECT + 3.9) and alert.state == "resolved"
    assert len({mark.via for mark in alert.marks}) == 3, "three witnesses, one alert"
    assert [move.to for move in state.moves if move.replica == "assistant-1"] == ["node-3", "node-2"]
    assert {move.replica: move.to for move in state.moves[:3]}["draft-1"] == ""
    assert [mark.condition for mark in state.nodes if mark.node == "node-2"] == ["ready", "not ready", "ready"]


def test_a_playbook_that_never_ran() -> None:
    state = story(sabotage().events)
    assert state.playbooks == () and [skip.reason for skip in state.skips] == ["disabled"]
    assert [page.action for page in state.pages] == ["trigger", "acknowledge"]


def test_live_figures_leave_out_seconds_whose_answers_still_come_in() -> None:
    events = [event for event in drill().events if event.at <= ZERO + 10.5]
    state = fold(events)
    sli = recent_sli(state, "critical", ZERO + 10.5, rejections_count=True)
    assert sli.success == 1.0 and sli.p99 is not None and sli.p99 < 0.3
    assert 4 * 70 <= sli.sent <= 6 * 70
    nothing = recent_sli(state, "critical", ZERO + 40, rejections_count=True)
    assert nothing.sent == 0 and nothing.success is None, "no data is no figure"


def test_an_alert_that_fires_again_is_not_resolved() -> None:
    def at(when: float, state: str) -> Event:
        return Event(when, "alert.state", "prometheus", {"alert": "A", "state": state, "via": "prometheus"})

    again = story([at(1, "firing"), at(2, "resolved"), at(3, "firing")])
    assert again.alerts_named("A")[0].state == "firing"
    assert story([at(1, "pending"), at(2, "resolved")]).alerts_named("A")[0].firing_at is None


def test_a_fault_that_was_not_seen() -> None:
    intended = Event(1, "fault.intended", "chaos", {"fault": "f", "kind": "k", "target": "t", "mechanism": "m"})
    state = story([intended, Event(2, "fault.not_landed", "chaos", {"fault": "f", "seen": "still answers"})])
    assert state.faults["f"].status == "not seen to land" and state.effect is None
    gone = story([intended, Event(3, "fault.not_gone", "chaos", {"fault": "f", "seen": "still down"})])
    assert gone.faults["f"].status == "not gone" and gone.trouble


def test_a_sabotage_that_is_given_back_is_no_fault() -> None:
    name = {"fault": "run-1/sabotage/wrong-target", "by": "runner"}
    state = story([Event(1, "fault.reverting", "runner", name), Event(2, "fault.gone", "runner", name)])
    assert not state.faults
    assert [line.text for line in state.lines] == ["sabotage wrong-target is given back"]


def test_what_is_left_open_is_kept() -> None:
    assert story([Event(1, "ledger.open", "conductor", {"faults": ["power-loss"]})]).left == ("power-loss",)
