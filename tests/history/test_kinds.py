"""The vocabulary: each kind is named in one place, read tolerantly, and written as it is read."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tierdrill
from tierdrill.history.events import Event, each, event
from tierdrill.history.kinds import payload_of
from tierdrill.history.kinds.response_kinds import PageSent, PlaybookStarted, StepEvent, StepStarted
from tierdrill.history.kinds.run_kinds import FaultIntended, FaultLanded, LabState, PhaseStarted, PlatformState, RunNote
from tierdrill.history.payload import KINDS, Unknown

PACKAGE = Path(tierdrill.__file__).parent
payload_of("", {})
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def test_a_kind_is_named_in_the_vocabulary_alone() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}: {node.value}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.parent != PACKAGE / "history" / "kinds"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in KINDS
    ]
    assert not found, "\n".join(found)


@given(st.sampled_from(sorted(KINDS)), st.data())
def test_anything_can_be_read_and_is_written_as_it_was_read(kind: str, data: st.DataObject) -> None:
    names = [name for name, *_ in KINDS[kind]._fields] or ["nothing"]
    told: dict[str, Any] = data.draw(st.dictionaries(st.sampled_from([*names, "unheard-of"]), values, max_size=6))
    said = payload_of(kind, told)
    assert type(said) is KINDS[kind]
    assert KINDS[kind].read(said.data()) == said


def test_what_an_old_history_lacks_has_its_default() -> None:
    old = payload_of("fault.intended", {"fault": "f", "kind": "k", "target": "t", "mechanism": None})
    assert isinstance(old, FaultIntended)
    assert (old.target_kind, old.mechanism, old.lease_s, old.parameters, old.emulated) == ("", "", None, {}, False)
    step = payload_of("playbook.step_started", {"playbook": "p", "step": "s"})
    assert isinstance(step, StepStarted) and (step.phase, step.attempt, step.rollback) == ("act", 1, False)
    assert isinstance(payload_of("no.such", {"a": 1}), Unknown)
    assert isinstance(payload_of(LabState.KIND, {"nodes": [{"name": "n"}]}), PlatformState)


def test_a_payload_is_frozen_and_lacks_nothing() -> None:
    with pytest.raises(TypeError, match="RunNote: text is missing"):
        RunNote()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="it has no txet"):
        RunNote(text="", txet="")  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        RunNote(text="a").text = "b"  # type: ignore[misc]


def test_an_event_says_what_it_was_made_of() -> None:
    said = PageSent(dedup_key="k", tier="critical", contact="ann", summary="it is broken")
    made = event(said, "pager", 2.0)
    assert made.data == {
        "dedup_key": "k", "tier": "critical", "contact": "ann", "level": 1, "action": "trigger",
        "summary": "it is broken",
    }
    assert Event.from_line(made.to_line()).payload == said
    assert "planned_at" not in event(PhaseStarted(phase="fault"), "runner").data


def test_events_of_a_kind_and_of_a_group() -> None:
    step = {"playbook": "p", "execution": "e", "step": "s", "action": "a"}
    events = [
        event(PlaybookStarted(playbook="p", alert="A"), "t", 1.0),
        Event(2.0, "playbook.step_started", "t", step),
        Event(3.0, "playbook.step", "t", {**step, "ok": True}),
    ]
    assert [one.at for one, _ in each(events, StepEvent)] == [2.0, 3.0]
    assert [said.alert for _, said in each(events, PlaybookStarted)] == ["A"]


def test_moments_go_back_with_the_clock() -> None:
    landed = FaultLanded(fault="f", effective_at=10.0, witness="w", seen="s")
    assert landed.earlier(2.5) == {"effective_at": 7.5}
    assert FaultLanded.read({"fault": "f"}).earlier(2.5) == {}
