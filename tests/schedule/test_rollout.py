"""The rollout as a state machine: it climbs only on clean proven runs, and never by itself after anything else."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.judge.build import Run, shipped
from tierdrill.documents.models.staged_rollout import Rollout, Stage
from tierdrill.documents.variables import narrowed, parse_reach
from tierdrill.judge.judge import judge
from tierdrill.judge.verdict import Status
from tierdrill.schedule.rollout.rollout_stages import (
    BAD,
    GOOD,
    RolloutState,
    RunResult,
    after_run,
    allowed,
    begin,
    clean_and_proven,
    notice_of_move,
    place_of,
    result_of,
    result_of_slot,
    set_by_hand,
    settled,
)
from tierdrill.schedule.rollout.rollout_store import RolloutStore

STAGES = (
    Stage(name="twin", variant="blip", clean_runs=2),
    Stage(name="pilot", variables={"node": "node-3"}, clean_runs=3),
    Stage(name="all", clean_runs=1),
)
ROLLOUT = Rollout(stages=STAGES)
DAY_S = 86400.0


def ran(status: str, stage: str, at: float = DAY_S, **more: Any) -> RunResult:
    return RunResult(run=f"r{at:.0f}", status=status, at=at, stage=stage, clean=status == "passed", **more)


def at_stage(name: str, clean: int = 0, rollout: Rollout = ROLLOUT) -> RolloutState:
    state, _ = set_by_hand(begin(rollout, 0.0)[0], rollout, name, 0.0, "me", "for the test")
    return replace(state, clean=clean, last_clean_at=0.0)


def test_it_climbs_after_clean_runs_in_a_row_and_stays_at_the_top() -> None:
    state, moves = begin(ROLLOUT, 0.0)
    told = [move.kind for move in moves]
    for number in range(1, 9):
        state, moves = after_run(state, ROLLOUT, ran("passed", state.stage, number * DAY_S))
        told += [move.kind for move in moves]
    assert told == ["began", "climbed", "climbed"]
    assert (state.stage, state.clean) == ("all", 1)
    assert allowed(state, ROLLOUT).stage is STAGES[2]


@pytest.mark.parametrize(
    ("status", "more", "stage"),
    [
        ("failed", {}, "pilot"),
        ("unclean", {}, "pilot"),
        ("aborted", {"stopped_by": "guardrail"}, "pilot"),
        ("aborted", {"stopped_by": "signal"}, "all"),
        ("inconclusive", {}, "all"),
        ("lost", {}, "all"),
    ],
)
def test_what_steps_it_down(status: str, more: dict[str, Any], stage: str) -> None:
    state, moves = after_run(at_stage("all"), ROLLOUT, ran(status, "all", **more))
    assert state.stage == stage
    assert [move.kind for move in moves] == (["stepped-down"] if stage == "pilot" else [])
    assert all("r86400" in move.reason and move.worth_telling for move in moves)


def test_restart_and_hold() -> None:
    restart = ROLLOUT.model_copy(update={"on_failure": "restart"})
    state, (move,) = after_run(at_stage("all", rollout=restart), restart, ran("failed", "all"))
    assert (state.stage, move.kind) == ("twin", "restarted")
    hold = ROLLOUT.model_copy(update={"on_failure": "hold"})
    state, (move,) = after_run(at_stage("all", rollout=hold), hold, ran("failed", "all"))
    assert (state.stage, move.kind) == ("all", "held")
    assert "tierdrill rollout set" in allowed(state, hold).held
    # A run that was begun before does not lift it.
    assert after_run(state, hold, ran("passed", "all", 2 * DAY_S)) == (state, [])
    state, move = set_by_hand(state, hold, "all", 3 * DAY_S, "me", "looked at it")
    assert allowed(state, hold).held == ""
    assert (move.author, move.reason, move.worth_telling) == ("me", "looked at it", False)


def test_at_the_first_stage_a_failure_stays_and_is_told() -> None:
    state, (move,) = after_run(at_stage("twin", 1), ROLLOUT, ran("failed", "twin"))
    assert (state.stage, state.clean, move.kind, move.worth_telling) == ("twin", 0, "stayed", True)


def test_a_passed_run_without_its_proof_counts_for_nothing() -> None:
    doubtful = replace(ran("passed", "twin"), clean=False)
    assert after_run(at_stage("twin", 1), ROLLOUT, doubtful) == (at_stage("twin", 1), [])


def test_a_run_of_another_stage_does_not_count_for_this_one() -> None:
    assert after_run(at_stage("pilot", 2), ROLLOUT, ran("passed", "twin"))[0].clean == 2


def test_old_clean_runs_count_no_longer() -> None:
    state = replace(at_stage("pilot", 2), last_clean_at=DAY_S)
    state, (move,) = after_run(state, ROLLOUT, ran("passed", "pilot", 32 * DAY_S))
    assert (state.stage, state.clean) == ("pilot", 1)
    assert "too old" in move.reason


def test_an_edit_of_the_calendar_never_lets_it_climb() -> None:
    without = Rollout(stages=(STAGES[0], STAGES[2]))
    state, (move,) = settled(at_stage("pilot", 2), without, 5.0)
    assert (state.stage, state.clean, move.kind) == ("twin", 0, "began-again")
    wider = Rollout(stages=(STAGES[0], STAGES[1].model_copy(update={"variables": {"node": "node-1"}}), STAGES[2]))
    state, (move,) = settled(at_stage("pilot", 2), wider, 5.0)
    assert (state.stage, state.clean) == ("pilot", 0)
    more = Rollout(stages=(STAGES[0], STAGES[1].model_copy(update={"clean_runs": 9}), STAGES[2]))
    assert settled(at_stage("pilot", 2), more, 5.0) == (at_stage("pilot", 2), [])


def test_a_slot_of_several_drills_counts_as_its_worst() -> None:
    good, bad, silent = ran("passed", "all"), ran("failed", "all", 2), ran("inconclusive", "all", 3)
    assert result_of_slot([good, silent, bad]) is bad
    assert result_of_slot([good, silent]) is silent
    assert result_of_slot([good, good]) is good
    assert result_of_slot([]) is None


def test_a_passed_verdict_is_clean_and_proven_and_nothing_else_is() -> None:
    verdict = judge(Run().events(shipped()))
    assert verdict.status is Status.PASSED
    assert clean_and_proven(verdict)
    assert result_of(verdict, "all", 1.0).weight == GOOD
    assert result_of(replace(verdict, status=Status.FAILED), "all", 1.0).weight == BAD
    for group in ("fault", "load"):
        without = tuple(check for check in verdict.checks if check.group != group)
        assert not clean_and_proven(replace(verdict, checks=without))
    for number, check in enumerate(verdict.checks):
        if check.group in ("run", "load", "fault"):
            doubt = replace(check, status=Status.INCONCLUSIVE)
            checks = (*verdict.checks[:number], doubt, *verdict.checks[number + 1 :])
            assert not clean_and_proven(replace(verdict, checks=checks)), check.id


def test_a_move_is_told_as_a_thing_of_its_own() -> None:
    _, (move,) = after_run(at_stage("all"), ROLLOUT, ran("failed", "all"))
    notice = notice_of_move(move, "nightly", "lab", "node-loss", "platform", 1)
    assert (notice.kind, notice.owner, notice.summary) == ("rollout", "platform", "stepped down: from all to pilot")
    later = notice_of_move(replace(move, at=move.at + 1), "nightly", "lab", "node-loss", "platform")
    assert notice.subject != later.subject


STATUSES = st.sampled_from(("passed", "failed", "unclean", "inconclusive", "aborted", "lost"))
RESULTS = st.lists(
    st.tuples(STATUSES, st.booleans(), st.sampled_from(("", "guardrail", "halt")), st.floats(0, 40 * DAY_S)),
    max_size=40,
)
ROLLOUTS = st.builds(
    Rollout,
    stages=st.lists(st.integers(1, 4), min_size=2, max_size=5).map(
        lambda counts: tuple(Stage(name=f"s{n}", clean_runs=c, variables={"n": n}) for n, c in enumerate(counts))
    ),
    on_failure=st.sampled_from(("step_down", "restart", "hold")),
)


@given(ROLLOUTS, RESULTS)
def test_whatever_happens_a_climb_is_earned(rollout: Rollout, results: list[tuple[str, bool, str, float]]) -> None:
    state, _ = begin(rollout, 0.0)
    now, row = 0.0, 0
    for status, clean, by, gap in results:
        now += gap
        result = RunResult(f"r{now}", status, now, state.stage, clean, by)
        before, (state, moves) = state, after_run(state, rollout, result)
        row = row + 1 if result.weight == GOOD and not before.held else 0 if result.weight == BAD else row
        was, now_at = place_of(rollout, before.stage), place_of(rollout, state.stage)
        assert was is not None
        assert now_at is not None
        assert now_at - was <= 1
        assert 0 <= state.clean <= rollout.stages[now_at].clean_runs
        if now_at > was:
            assert result.weight == GOOD
            assert not before.held
            assert row >= rollout.stages[was].clean_runs
            row = 0
        if result.weight == BAD:
            assert state.clean == 0
            assert now_at == {"hold": was, "restart": 0, "step_down": max(0, was - 1)}[rollout.on_failure]
            assert moves
        if before.held:
            assert state.held
        assert (state == before) or moves or state.clean == before.clean + 1 or state.last_clean_at == now


def test_the_store_keeps_state_and_moves_and_counts_a_run_once(tmp_path: Path) -> None:
    with closing(RolloutStore(tmp_path)) as store:
        assert store.state("nightly", "lab") is None
        assert store.allowed("nightly", "lab", ROLLOUT, 1.0).stage.name == "twin"
        for run in ("r1", "r1", "r1", "r2"):
            store.after_run("nightly", "lab", ROLLOUT, replace(ran("passed", "twin"), run=run))
    with closing(RolloutStore(tmp_path)) as store:
        assert store.allowed("nightly", "lab", ROLLOUT, 2.0).stage.name == "pilot"
        move = store.set_by_hand("nightly", "lab", ROLLOUT, "all", 3.0, "me", "because")
        assert (move.before, move.after) == ("pilot", "all")
        with pytest.raises(ValueError, match="the stages: twin, pilot, all"):
            store.set_by_hand("nightly", "lab", ROLLOUT, "al", 3.0, "me", "because")
        assert [one.kind for one in store.moves("nightly", "lab")] == ["set", "climbed", "began"]
        without = Rollout(stages=STAGES[:2])
        moves = store.after_run("nightly", "lab", without, replace(ran("passed", "all"), run="r3"))
        assert [one.kind for one in moves] == ["began-again"]
        assert store.state("nightly", "other") is None


def test_a_corrupt_store_begins_at_the_first_stage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(RolloutStore(tmp_path)) as store:
        store.set_by_hand("nightly", "lab", ROLLOUT, "all", 3.0, "me", "because")
    (tmp_path / RolloutStore.FILE).write_bytes(b"nonsense" * 4096)
    with closing(RolloutStore(tmp_path)) as store:
        assert store.allowed("nightly", "lab", ROLLOUT, 4.0).stage.name == "twin"
    assert "is corrupt; it is kept as" in capsys.readouterr().err
    assert len(list(tmp_path.glob("rollout.db.corrupt-*"))) == 1


def test_a_reach_is_read_and_only_narrows() -> None:
    reach = parse_reach(["nodes=0", "links=99"])
    radius = narrowed(shipped().environment, reach).blast_radius
    assert (radius.nodes, radius.links) == (0, shipped().environment.blast_radius.links)
    for wrong in ("node=1", "nodes", "nodes=-1", "nodes=1.5", "=1"):
        with pytest.raises(ValueError, match="expected KIND=N"):
            parse_reach([wrong])
