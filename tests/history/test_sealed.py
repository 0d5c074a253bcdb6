"""An exercise's history: unreadable while it goes on, whole and in clear afterwards, whoever closes it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.raw_event import event

from tierdrill.history.events import Event
from tierdrill.history.history_store import HistoryError, HistoryStore
from tierdrill.history.ledger import Ledger
from tierdrill.history.sealed import (
    EXERCISE,
    SealedHistory,
    append_to_run,
    close_exercise,
    exercise_folder,
    is_exercise,
    is_sealed,
    open_order,
    open_seal,
    sealed_order,
)
from tierdrill.injection.undo import undo_fault

RUN = "exercise-1"
SECRET = "a-very-telling-word"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    store = HistoryStore(tmp_path)
    store.begin(RUN, EXERCISE, EXERCISE, time.time())
    store.close()
    return tmp_path


def everything_in(home: Path) -> bytes:
    return b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())


def stored(home: Path) -> tuple[str | None, list[Event]]:
    store = HistoryStore(home)
    record = store.find(RUN)
    events = store.events(RUN)
    store.close()
    assert record is not None
    return record.status, events


def test_events_are_sealed_until_they_are_opened(home: Path) -> None:
    history = SealedHistory.create(home, RUN)
    for number in range(5):
        assert history.append(RUN, event("fault.landed", "exercise", kind=SECRET, number=number)).sequence == number + 1
    assert is_sealed(home, RUN)
    assert SECRET.encode() not in everything_in(home)
    assert stored(home) == (None, [])
    opened = open_seal(home, RUN)
    assert [one.data["number"] for one in opened] == list(range(5))
    assert [one.sequence for one in opened] == list(range(1, 6))
    assert not exercise_folder(home, RUN).exists() and not is_sealed(home, RUN)
    assert stored(home)[1] == opened


def test_a_second_writer_adds_to_the_same_history(home: Path) -> None:
    SealedHistory.create(home, RUN).append(RUN, event("exercise.started", "exercise"))
    append_to_run(home, RUN, event("run.stopping", "reaper"))
    close_exercise(home, RUN)
    status, events = stored(home)
    assert status == "aborted"
    assert [one.kind for one in events] == ["exercise.started", "run.stopping"]
    # Its books are closed: nothing is added any more.
    append_to_run(home, RUN, event("run.note", "recover"))
    assert len(stored(home)[1]) == 2


def test_a_line_that_was_cut_costs_only_itself(home: Path) -> None:
    history = SealedHistory.create(home, RUN)
    history.append(RUN, event("first", "exercise"))
    path = exercise_folder(home, RUN) / "events"
    history.append(RUN, event("second", "exercise"))
    path.write_bytes(path.read_bytes()[:-9])
    history.append(RUN, event("third", "exercise"))
    assert [one.kind for one in history.events()] == ["first", "third"]


def test_opening_twice_does_not_double(home: Path) -> None:
    history = SealedHistory.create(home, RUN)
    history.append(RUN, event("first", "exercise"))
    folder = exercise_folder(home, RUN)
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    open_seal(home, RUN)
    # As if the process had died after storing and before removing.
    folder.mkdir()
    for name, content in kept.items():
        (folder / name).write_bytes(content)
    assert len(open_seal(home, RUN)) == 1


def test_one_that_its_host_has_opened_is_only_closed(home: Path) -> None:
    SealedHistory.create(home, RUN).append(RUN, event("first", "exercise"))
    open_seal(home, RUN)
    assert is_exercise(home, RUN) and not is_exercise(home, "another")
    close_exercise(home, RUN)
    assert stored(home)[0] == "aborted" and len(stored(home)[1]) == 1
    close_exercise(home, RUN)


def test_without_its_key_a_history_stays_sealed(home: Path) -> None:
    SealedHistory.create(home, RUN).append(RUN, event("first", "exercise"))
    (exercise_folder(home, RUN) / "key").unlink()
    with pytest.raises(HistoryError, match="key"):
        open_seal(home, RUN)
    assert is_sealed(home, RUN)


def test_an_order_on_the_ledger_is_sealed_and_undone_all_the_same(home: Path) -> None:
    history = SealedHistory.create(home, RUN)
    order = {
        "fault": f"{RUN}/1",
        "kind": SECRET,
        "target": "node-1",
        "target_kind": "node",
        "mechanism": "m",
        "parameters": {"node": "node-1"},
        "lease_s": 5.0,
    }
    sealed = sealed_order(home, RUN, history.seal, order)
    ledger = Ledger(home)
    ledger.intend(f"{RUN}/1", RUN, sealed, {"target": "lab", "home": str(home), "lab": "gone", "id": "abc"}, 5.0)
    (entry,) = ledger.open_faults()
    assert open_order(entry.order) == order
    assert SECRET.encode() not in everything_in(home)
    told: list[Event] = []
    # Its lab has ended: the fault is gone with it, which a witness says, and the note does not tell what it was.
    assert undo_fault(ledger, entry, "recover", told.append)
    assert [one.kind for one in told] == ["fault.reverting", "fault.gone"]
    assert ledger.open_faults() == []
    ledger.close()


def test_a_lost_key_does_not_keep_a_dead_lab_s_fault_open(home: Path) -> None:
    history = SealedHistory.create(home, RUN)
    sealed = sealed_order(home, RUN, history.seal, {"fault": f"{RUN}/1"})
    (exercise_folder(home, RUN) / "key").unlink()
    ledger = Ledger(home)
    ledger.intend(f"{RUN}/1", RUN, sealed, {"target": "lab", "home": str(home), "lab": "gone", "id": "abc"}, 5.0)
    (entry,) = ledger.open_faults()
    assert undo_fault(ledger, entry, "recover", lambda item: None)
    ledger.close()
