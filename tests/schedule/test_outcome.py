"""What a drill's process came to, from whatever is known of it; and what a slot's attempts come to together."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierdrill.history.history_store import HistoryStore, RunRecord
from tierdrill.schedule import slot_outcome as healing
from tierdrill.schedule.slot_outcome import Outcome, conclude, outcome_of
from tierdrill.schedule.store.slot_records import OUTCOMES, Attempt, SlotState, words_of, worst

RECORD = RunRecord("r", "d", "drill", 1.0, None, None, None)


@pytest.mark.parametrize(
    ("record", "code", "told", "status", "words"),
    [
        (replace(RECORD, status="failed", summary="a promise broke"), 1, "", "failed", "a promise broke"),
        (replace(RECORD, status="passed", summary="well"), None, "", "passed", "well"),
        (RECORD, -9, "", "lost", "the run ended without a verdict; its process was ended by SIGKILL"),
        (RECORD, None, "", "lost", "the run ended without a verdict; its process exited"),
        (None, 2, "halted", "refused", "halted"),
        (None, 2, "", "refused", "exit code 2, and no run in the history"),
        (None, 1, "No module named tierdrill", "refused", "No module named tierdrill"),
        (None, 5, "", "unclean", "exit code 5, and no run in the history"),
        (None, 0, "", "lost", "no run in the history; its process ended with exit code 0"),
        (None, None, "Killed", "lost", "no run in the history; its process exited; its output: Killed"),
        (None, -64, "", "lost", "its process was ended by SIGRTMAX"),
    ],
)
def test_the_history_decides_and_nothing_is_taken_for_a_pass(
    record: RunRecord | None, code: int | None, told: str, status: str, words: str
) -> None:
    found = outcome_of(record, code, told)
    assert isinstance(found, Outcome)
    assert found.status == status
    assert words in found.reason


def test_where_the_history_cannot_be_read_the_exit_code_counts() -> None:
    assert outcome_of(None, 1, "history.db: locked", unread=True) == Outcome("failed", "history.db: locked", 1)


def tried(member: int, status: str, reason: str = "") -> Attempt:
    gates = ({"gate": "lock", "verdict": "held"},) if status == "held" else ()
    return Attempt("k", 0, member, f"d{member}", "", "ended", None, None, None, status, None, reason, gates)


@given(st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=5))
def test_a_slot_is_as_good_as_its_worst_drill(statuses: list[str]) -> None:
    attempts = [tried(member, status) for member, status in enumerate(statuses)]
    state, outcome, _ = conclude(attempts)
    if set(statuses) == {"held"}:
        assert (state, outcome) == (SlotState.HELD, "lock")
    else:
        assert outcome == worst(statuses)
        assert (state is SlotState.LOST) == ("lost" in statuses and "unclean" not in statuses)


def test_of_a_drill_that_was_tried_again_the_last_try_counts() -> None:
    attempts = [tried(0, "inconclusive", "too few"), tried(0, "passed", "well"), tried(1, "passed", "well too")]
    assert conclude(attempts) == (SlotState.FINISHED, "passed", "well; well too")
    assert conclude([], "too late") == (SlotState.MISSED, "", "too late")
    assert conclude([tried(0, "aborted", "halt")], "1 more did not run") == (
        SlotState.FINISHED, "aborted", "halt; 1 more did not run",
    )  # fmt: skip


def test_a_drill_that_ran_was_not_held_because_another_try_was() -> None:
    ran = replace(tried(0, "inconclusive", "too few"), started_at=1.0)
    assert conclude([ran, tried(0, "held", "lock: in use")]) == (
        SlotState.FINISHED, "inconclusive", "too few; another try of d0 was held: lock: in use",
    )  # fmt: skip
    assert conclude([tried(0, "refused", "not begun"), tried(0, "held", "lock: in use")])[0] is SlotState.HELD


def test_nothing_is_said_twice() -> None:
    assert words_of("held", "window", "window: blackout: freeze") == "held: window: blackout: freeze"
    assert words_of("finished", "failed", "slow") == "finished failed: slow"
    assert words_of("lost", "lost", "gone") == "lost: gone"
    assert words_of("finished", "passed", "") == "finished passed"


def test_a_history_that_is_locked_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(healing, "RETRY_S", 0.1)
    with closing(HistoryStore(tmp_path)) as store:
        store.begin("r", "d", "drill", 1.0)
        store.finish("r", 2.0, "passed", "well")
    other = sqlite3.connect(tmp_path / "history.db", isolation_level=None, check_same_thread=False)
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    other.execute("UPDATE runs SET summary = 'well'")
    threading.Timer(1.0, lambda: (other.execute("COMMIT"), other.close())).start()
    record, why = asyncio.run(healing.healed(tmp_path, "r", ("false",), None))
    assert why == ""
    assert record is not None
    assert record.status == "passed"
