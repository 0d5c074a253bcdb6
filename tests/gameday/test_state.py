"""The fold: the same state from the same journal, whatever the journal holds."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.gameday.support import AT, begun, finished, opened, state_of
from tierdrill.gameday import gameday_commands as pace
from tierdrill.gameday.gameday_commands import Command, Verb, decide
from tierdrill.gameday.gameday_model import GameDayState
from tierdrill.gameday.gameday_state import fold
from tierdrill.history.events import Event

KINDS = (
    "gameday.opened", "facilitator.joined", "checklist.ticked", "announcement.told", "step.begun", "step.skipped",
    "run.starting", "run.named", "run.finished", "pause.extended", "note.taken", "finding.raised", "finding.closed",
    "lesson.learned", "hypothesis.answered", "abort.asked", "gameday.ended", "nonsense",
)  # fmt: skip
STATUSES = ("passed", "failed", "inconclusive", "aborted", "unclean", "refused")
JUNK = st.dictionaries(
    st.sampled_from(["step", "attempt", "item", "list", "hypothesis", "held", "text", "reason", "outcome", "finding"]),
    st.one_of(st.integers(-2, 4), st.sampled_from(["before", "held", "F1", "completed", ""]), st.none()),
)
EVENTS = st.lists(
    st.builds(lambda at, kind, data: Event(AT + at, kind, "x", data), st.integers(0, 99), st.sampled_from(KINDS), JUNK)
)


@settings(max_examples=50)
@given(EVENTS, st.integers(0, 20))
def test_a_journal_of_anything_folds_in_pieces_as_in_one(events: list[Event], cut: int) -> None:
    whole = fold([opened(), *events])
    assert whole == fold(events[cut:], fold([opened(), *events[:cut]]))
    assert 0 <= whole.position <= len(whole.steps)
    assert sum(step.last is not None and step.last.finished is None for step in whole.steps) <= 1


@settings(max_examples=30)
@given(EVENTS)
def test_without_a_beginning_there_is_nothing(events: list[Event]) -> None:
    assert fold([one for one in events if one.kind != "gameday.opened"]) == GameDayState()


def test_a_second_beginning_changes_nothing() -> None:
    assert fold([opened(), opened(at=AT + 5, unattended=True)]) == fold([opened()])


def test_an_outcome_of_another_attempt_comes_too_late() -> None:
    state = state_of(begun(), finished(), begun(attempt=2, at=AT + 200), finished(attempt=1, at=AT + 210))
    assert state.stage == "running"
    assert [one.finished for one in state.steps[0].attempts] == [AT + 100, None]


def test_findings_are_numbered_in_the_order_of_the_journal() -> None:
    raised = [Event(AT + n, "finding.raised", "x", {"text": f"t{n}", "owner": "", "due": ""}) for n in range(3)]
    state = state_of(*raised, Event(AT + 9, "finding.closed", "y", {"finding": "F2", "how": "mended"}))
    assert [(one.name, one.text, one.closed_how) for one in state.findings] == [
        ("F1", "t0", ""), ("F2", "t1", "mended"), ("F3", "t2", ""),
    ]  # fmt: skip


def test_after_the_end_notes_are_taken_and_nothing_else_moves() -> None:
    ended = state_of(Event(AT + 1, "gameday.ended", "x", {"outcome": "completed"}))
    later = fold([begun(at=AT + 2), Event(AT + 3, "note.taken", "x", {"text": "late"})], ended)
    assert (later.stage, later.position, later.notes[-1].text) == ("ended", 0, "late")


class Sittings(RuleBasedStateMachine):
    """Any order of commands, runs that end in any way, and time: what must hold of every game day."""

    @initialize(unattended=st.booleans(), pauses=st.booleans(), by_clock=st.booleans())
    def opens(self, unattended: bool, pauses: bool, by_clock: bool) -> None:
        from tests.gameday.support import document

        chosen = document(next_step="by-clock" if by_clock else "by-hand")
        self.events = [opened(chosen, unattended=unattended, pauses=pauses)]
        self.state = fold(self.events)
        self.now = AT
        self.begun = 0

    def carry_out(self, command: Command) -> None:
        decision = decide(self.state, command, self.now)
        assert decision.say
        assert decision.ok is bool(decision.events)
        self.write(decision.events)

    def write(self, events: tuple[Event, ...]) -> None:
        before = self.state
        for one in events:
            self.state = fold([one], self.state)
        assert not events or self.state != before, events
        self.events += events

    @rule(verb=st.sampled_from(["next", "skip", "extend", "repeat", "abort", "note", "finding", "lesson"]))
    def asks(self, verb: Verb) -> None:
        self.carry_out(Command(verb, "x", "words"))

    @rule(seconds=st.floats(0, 400))
    def waits(self, seconds: float) -> None:
        self.now += seconds
        if (command := pace.due(self.state, self.now)) is not None:
            self.carry_out(command)

    @rule(status=st.sampled_from(STATUSES), hit=st.booleans())
    def run_ends(self, status: str, hit: bool) -> None:
        attempt = self.state.attempt
        if attempt is not None:
            breached = ["half of it is gone"] if hit else []
            step = self.state.position - 1
            self.write((finished(step, attempt.number, self.now, status, breached=breached),))

    @invariant()
    def holds(self) -> None:
        state = self.state
        going = [step for step in state.steps if step.last is not None and step.last.finished is None]
        assert len(going) <= 1
        assert (state.stage == "running") == (len(going) == 1)
        if state.ended is not None:
            assert not going
            assert (state.outcome == "aborted") == (state.aborting is not None)
        # The engine never waits for nothing: what is not in its hands is in somebody's.
        due = pace.due(state, self.now)
        if state.aborting is not None and state.ended is None:
            assert state.stage == "running" or due is not None
        if due is not None:
            assert decide(state, due, self.now).ok
        assert pace.seconds_left(state, self.now) >= 0
        assert fold(self.events) == state


Sittings.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestSittings = Sittings.TestCase
