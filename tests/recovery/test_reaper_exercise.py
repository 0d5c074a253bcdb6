"""The reaper of an exercise whose host has died: it undoes what it cannot name, and only then opens the history."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.raw_event import event
from tierdrill.cli.main import main
from tierdrill.history.history_store import HistoryStore
from tierdrill.history.ledger import Ledger
from tierdrill.history.sealed import EXERCISE, SealedHistory, exercise_folder, sealed_order

RUN = "exercise-1"
SECRET = "replica-crash"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with an exercise in mid-fault; its lab is gone already, as after its host's death."""
    store = HistoryStore(tmp_path)
    store.begin(RUN, EXERCISE, EXERCISE, time.time())
    store.close()
    history = SealedHistory.create(tmp_path, RUN)
    history.append(RUN, event("exercise.started", "exercise", exercise=RUN))
    history.append(RUN, event("fault.intended", "exercise", fault=f"{RUN}/1", kind=SECRET))
    order = {
        "fault": f"{RUN}/1", "kind": SECRET, "target": "assistant-1", "target_kind": "replica", "mechanism": "m",
        "parameters": {"replica": "assistant-1", "pid": 1, "created": 0.0}, "lease_s": 60.0,
    }  # fmt: skip
    place = {"target": "lab", "home": str(tmp_path), "lab": RUN, "id": "no-such-lab"}
    ledger = Ledger(tmp_path)
    ledger.intend(f"{RUN}/1", RUN, sealed_order(tmp_path, RUN, history.seal, order), place, 60.0)
    ledger.mark(f"{RUN}/1", "landed")
    ledger.close()
    return tmp_path


def closed(home: Path) -> tuple[str | None, list[str]]:
    store = HistoryStore(home)
    record, events = store.find(RUN), store.events(RUN)
    store.close()
    assert record is not None
    return record.status, [one.kind for one in events]


def open_faults(home: Path) -> list[str]:
    ledger = Ledger(home)
    found = [entry.id for entry in ledger.open_faults()]
    ledger.close()
    return found


def test_the_reaper_heals_and_opens_the_history(home: Path) -> None:
    read_fd, write_fd = os.pipe()
    command = [sys.executable, "-m", "tierdrill.recovery.reaper", "--home", str(home), "--run", RUN]
    with (home / "reaper.log").open("ab") as log:
        reaper = subprocess.Popen(
            [*command, "--parent-fd", str(read_fd)], stdout=log, stderr=log, pass_fds=(read_fd,), start_new_session=True
        )
    os.close(read_fd)
    try:
        assert closed(home) == (None, []), "while the host lives nothing is told"
        os.close(write_fd)
        assert reaper.wait(30) == 0, (home / "reaper.log").read_text()
    finally:
        reaper.kill()
        with contextlib.suppress(OSError):
            os.close(write_fd)
    status, kinds = closed(home)
    assert status == "aborted" and open_faults(home) == []
    assert kinds[:2] == ["exercise.started", "fault.intended"]
    assert kinds.index("exercise.ended") < kinds.index("fault.gone") < kinds.index("run.ended")
    assert not exercise_folder(home, RUN).exists()


def test_status_tells_of_it_without_its_name_and_recover_mends_it(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIERDRILL_HOME", str(home))
    for words in (["status"], ["status", "--json"]):
        assert main(words) == 5
        told = capsys.readouterr().out
        assert "sealed" in told and SECRET not in told and "assistant-1" not in told
    assert main(["recover"]) == 0
    told = capsys.readouterr().out
    assert "undone: a sealed fault" in told and f"closed: exercise {RUN} is aborted" in told
    assert SECRET not in told and open_faults(home) == []
    status, kinds = closed(home)
    assert status == "aborted" and kinds[-1] == "exercise.ended"
    assert main(["status"]) == 0
