"""Who is alive, by the kernel's locks: whoever asks, from whichever PID namespace, however the process ended."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tierdrill.history.ledger import Ledger, LedgerError
from tierdrill.history.liveness import AlreadyAlive, forget_the_dead, hold, lives, living, release
from tierdrill.process.identity import me

HOLDER = """
import sys
from pathlib import Path
from tierdrill.history.ledger import Ledger
from tierdrill.process.identity import me
Ledger(Path(sys.argv[1])).lock("lab/kept", sys.argv[2], me(), "anna")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(home: Path, run: str) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds an environment for a run."""
    command = [sys.executable, "-c", HOLDER, str(home), run]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == b"held\n"
            yield process
        finally:
            process.kill()


def elsewhere(home: Path) -> None:
    """As a ledger looks from another PID namespace: the holder's pid says nothing here."""
    with closing(Ledger(home)) as ledger:
        ledger._database.execute("UPDATE locks SET space = 'pid:[1]'")


def test_what_lives_in_another_pid_namespace_keeps_its_environment(tmp_path: Path) -> None:
    with holder(tmp_path, "r1") as process, closing(Ledger(tmp_path)) as ledger:
        elsewhere(tmp_path)
        assert [run for _, run, _, _ in ledger.locks(living=True)] == ["r1"]
        with pytest.raises(LedgerError, match="in use by run r1"):
            ledger.lock("lab/kept", "r2", me(), "ben")
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert ledger.locks(living=True) == [] and not lives(tmp_path, "runs", "r1")
        ledger.lock("lab/kept", "r2", me(), "ben")
        assert dict(living(tmp_path, "runs")) == {"r2": me()}
        ledger.unlock("lab/kept", "r2")
        assert dict(living(tmp_path, "runs")) == {}


def test_a_stopped_process_still_lives(tmp_path: Path) -> None:
    with holder(tmp_path, "r1") as process:
        process.send_signal(signal.SIGSTOP)
        assert lives(tmp_path, "runs", "r1")


def test_a_name_is_one_process_s_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tierdrill.history.liveness.HELD_WITHIN_S", 0.05)
    with holder(tmp_path, "r1"):
        with pytest.raises(AlreadyAlive):
            hold(tmp_path, "runs", "r1")
        forget_the_dead(tmp_path)
        assert lives(tmp_path, "runs", "r1")
    forget_the_dead(tmp_path)
    assert list((tmp_path / "living" / "runs").iterdir()) == []
    hold(tmp_path, "runs", "r1")
    release(tmp_path, "runs", "r1")


def test_a_name_leads_nowhere_else(tmp_path: Path) -> None:
    hold(tmp_path / "home", "runs", "../../../elsewhere")
    assert not (tmp_path / "elsewhere").exists()
    assert [name for name, _ in living(tmp_path / "home", "runs")] == ["../../../elsewhere"]
    release(tmp_path / "home", "runs", "../../../elsewhere")


def test_a_process_of_this_namespace_is_known_by_its_pid(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path)) as ledger:
        assert not ledger.alive("r1", replace(me(), ticks=1))
