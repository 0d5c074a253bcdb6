"""The reaper as the process it is: the runner dies, hangs or says done, and a stock experiment is rolled back."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conductor.stock import PROOF, Stock, experiment_on, python
from tests.judge.build import shipped
from tests.raw_event import event
from tierdrill.history.events import Event
from tierdrill.history.history_store import HistoryStore, RunRecord
from tierdrill.history.kill_switch import throw_kill_switch
from tierdrill.recovery.cleanup import end_processes, own_process
from tierdrill.targets.experiment import experiment_place

RUN = "reaped-run"
FAULT = f"{RUN}/foreign/create-file"


@contextmanager
def reaper(home: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A reaper and the runner's end of its pipe."""
    read_fd, write_fd = os.pipe()
    command = [sys.executable, "-m", "tierdrill.recovery.reaper", "--home", str(home), "--run", RUN]
    with (home / "reaper.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, "--parent-fd", str(read_fd)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(read_fd,),
            start_new_session=True,
        )
    os.close(read_fd)
    try:
        yield process, write_fd
    finally:
        with contextlib.suppress(OSError):
            os.close(write_fd)
        process.kill()
        process.wait()


def injected(stock: Stock, lease_s: float = 60.0, experiment: dict[str, Any] | None = None) -> None:
    """A run in mid-fault as its ledger and history tell it: the file is there, the intent and its place are written."""
    store = HistoryStore(stock.home)
    store.begin(RUN, "node-loss", "drill", time.time())
    started = {"run": RUN, "drill": "node-loss", "variant": "drill", "setting": shipped().to_json()}
    store.append(RUN, event("run.started", "runner", **started))
    store.close()
    spec = stock.write(experiment or experiment_on(stock.marker), [PROOF])
    place = experiment_place(spec, RUN, {"target": "lab", "home": str(stock.home), "lab": "none"}, {})
    order = {
        "fault": FAULT,
        "kind": "foreign",
        "target": "create-file",
        "target_kind": "service",
        "mechanism": "the experiment's own",
        "parameters": {},
        "lease_s": lease_s,
    }
    ledger = stock.ledger
    ledger.intend(FAULT, RUN, order, {**place, "home": str(stock.home)}, lease_s)
    ledger.mark(FAULT, "landed")
    ledger.close()
    stock.marker.write_text("there")


def history(stock: Stock) -> tuple[RunRecord | None, list[Event]]:
    store = HistoryStore(stock.home)
    try:
        return store.find(RUN), store.events(RUN)
    finally:
        store.close()


def until(true: Callable[[], bool], within_s: float = 15.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def test_the_runners_death_is_healed_and_the_books_are_closed(stock: Stock) -> None:
    injected(stock)
    with reaper(stock.home) as (process, pipe):
        time.sleep(0.5)
        assert stock.marker.exists(), "while the runner lives and its lease holds, nothing is touched"
        os.close(pipe)
        assert process.wait(20) == 0
    assert not stock.marker.exists() and stock.open_faults() == []
    record, events = history(stock)
    assert record is not None and record.status == "aborted"
    kinds = [one.kind for one in events]
    assert kinds[-2:] == ["ledger.open", "run.ended"] and "run.stopping" in kinds
    gone = next(one for one in events if one.kind == "fault.gone")
    assert gone.source == "reaper" and gone.data["witness"] == "probe file-is-gone"


def test_a_lease_that_runs_out_is_healed_while_the_runner_lives(stock: Stock) -> None:
    injected(stock, lease_s=0.5)
    with reaper(stock.home) as (process, pipe):
        until(lambda: not stock.marker.exists())
        until(lambda: stock.open_faults() == [])
        assert process.poll() is None, "it goes on watching"
        record, events = history(stock)
        assert record is not None and record.status is None
        assert any("ran out" in str(one.data.get("text")) for one in events)
        os.write(pipe, b"done")
        os.close(pipe)
        assert process.wait(10) == 0


def test_done_means_nothing_is_touched(stock: Stock) -> None:
    injected(stock)
    before = history(stock)[1]
    with reaper(stock.home) as (process, pipe):
        os.write(pipe, b"done")
        os.close(pipe)
        assert process.wait(10) == 0
    assert stock.marker.exists() and stock.open_faults() == [FAULT] and history(stock)[1] == before


def test_a_lease_that_is_renewed_does_not_run_out(stock: Stock) -> None:
    injected(stock, lease_s=0.6)
    ledger = stock.ledger
    ledger.renew(RUN)
    with reaper(stock.home) as (process, pipe):
        for _ in range(12):
            ledger.renew(RUN)
            time.sleep(0.1)
        assert stock.marker.exists() and process.poll() is None
        os.write(pipe, b"done")
        os.close(pipe)
        process.wait(10)
    ledger.close()


def test_without_a_runner_the_kill_switch_is_obeyed_all_the_same(stock: Stock) -> None:
    """Under plain `chaos run`: the fault is not left in place for what may be hours of its lease."""
    injected(stock, lease_s=3600.0)
    command = [sys.executable, "-m", "tierdrill.recovery.reaper", "--home", str(stock.home), "--run", RUN]
    process = subprocess.Popen([*command, "--until-clean"], start_new_session=True)
    try:
        ledger = stock.ledger
        throw_kill_switch(ledger.home, "ann", "incident 7")
        ledger.close()
        assert process.wait(20) == 0
        assert not stock.marker.exists() and stock.open_faults() == []
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", ["SIGINT", "SIGHUP", "SIGQUIT"])
def test_what_ends_a_terminal_does_not_end_the_reaper(number: str, stock: Stock) -> None:
    injected(stock)
    with reaper(stock.home) as (process, pipe):
        # It can be signalled safely once it looks at the ledger.
        until(lambda: (stock.home / "ledger.db-wal").exists() and process.poll() is None)
        until(lambda: ignores(process.pid, number))
        process.send_signal(signal.Signals[number])
        os.close(pipe)
        assert process.wait(20) == 0
    assert not stock.marker.exists()


def ignores(pid: int, number: str) -> bool:
    """Whether the kernel says that the process ignores a signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    mask = int(next(line for line in status.splitlines() if line.startswith("SigIgn")).split()[1], 16)
    return bool(mask >> (signal.Signals[number] - 1) & 1)


@contextmanager
def owned_process(stock: Stock, role: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that leads its group, in the ledger as the run's; gone afterwards."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    try:
        owned = own_process(RUN, role, process.pid)
        assert owned is not None
        with closing(stock.ledger) as ledger:
            ledger.own(owned)
        yield process
    finally:
        process.kill()
        process.wait()


def test_processes_of_a_dead_run_are_ended(stock: Stock) -> None:
    injected(stock)
    with owned_process(stock, "load") as child, reaper(stock.home) as (process, pipe):
        os.close(pipe)
        assert child.wait(20) == -9
        assert process.wait(20) == 0
        assert stock.ledger.processes(RUN) == []
        assert not psutil.pid_exists(child.pid)


def test_a_runner_that_waits_for_its_reaper_is_not_ended(stock: Stock) -> None:
    """A run that is not clean lets its reaper heal, and has its verdict to tell; under a shell it leads a group."""
    injected(stock)
    with owned_process(stock, "runner") as runner, reaper(stock.home) as (process, pipe):
        os.close(pipe)
        assert process.wait(20) == 0
        assert not stock.marker.exists() and runner.poll() is None



def test_a_group_of_another_boot_is_not_ended(stock: Stock) -> None:
    injected(stock)
    daemon = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    owned = own_process(RUN, "load", daemon.pid)
    assert owned is not None
    ledger = stock.ledger
    ledger.own(replace(owned, process=replace(owned.process, boot="the one before")))
    told: list[Event] = []
    try:
        # What a reaper of an earlier test was about may still be ending: that is told the first time.
        end_processes(ledger, RUN, lambda event: None)
        assert end_processes(ledger, RUN, told.append) == []
        assert told == [] and daemon.poll() is None
    finally:
        ledger.close()
        daemon.kill()
        daemon.wait()


def test_a_rollback_that_works_only_later_is_tried_until_then(stock: Stock) -> None:
    experiment = experiment_on(stock.marker)
    tries = stock.home / "tries"
    experiment["rollbacks"].insert(0, python("action", "try", "append", path=str(tries), text="x"))
    path = str(stock.marker)
    experiment["rollbacks"][1] = python("action", "remove-file", "remove_at_last", path=path, tries=str(tries))
    injected(stock, experiment=experiment)
    with reaper(stock.home) as (process, pipe):
        os.close(pipe)
        assert process.wait(30) == 0
    assert len(tries.read_text()) >= 2 and not stock.marker.exists() and stock.open_faults() == []
