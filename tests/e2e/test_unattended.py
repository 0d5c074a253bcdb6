"""The scheduler left alone: a calendar with a two-minute cycle of real drills, killed with SIGKILL again and again.

TIERDRILL_UNATTENDED_MINUTES is how long (default 6), TIERDRILL_UNATTENDED_KILL_MINUTES how far apart the kills are
(default 2). Each slot must be run or held, with its reason; none twice, none without a record; then `trend` shows it.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
import yaml

from tests.e2e.home import await_none, processes, short_catalogue, start, tierdrill
from tierdrill.history.history_store import HistoryStore
from tierdrill.history.ledger import Ledger

MINUTES = float(os.environ.get("TIERDRILL_UNATTENDED_MINUTES", "6"))
KILL_MINUTES = float(os.environ.get("TIERDRILL_UNATTENDED_KILL_MINUTES", "2"))
CYCLE_S = 120
FINAL = {"finished", "held", "missed", "lost"}


def unattended_catalogue(folder: Path) -> Path:
    """The shipped catalogue with a short drill, and one calendar: that drill every two minutes."""
    short_catalogue(folder)
    (folder / "drills" / "calendars").mkdir()
    calendar = {
        "apiVersion": "tierdrill/v1", "kind": "Calendar", "metadata": {"name": "unattended", "owner": "team"},
        "entries": [
            {"name": "node-loss", "drill": "node-loss", "every": "2m", "misfire": {"grace": "90s", "count": 1}},
        ],
    }  # fmt: skip
    (folder / "drills" / "calendars" / "unattended.yaml").write_text(yaml.safe_dump(calendar))
    return folder


def scheduler(home: Path, catalogue: Path) -> subprocess.Popen[bytes]:
    return start(home, "--catalogue", str(catalogue), "scheduler", cwd=catalogue)


def log_of(home: Path, catalogue: Path) -> dict[str, object]:
    done = tierdrill(home, "--catalogue", str(catalogue), "schedule", "log", "--limit", "1000", "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def due_between(first: float, last: float) -> list[str]:
    begin = int(first // CYCLE_S + 1) * CYCLE_S
    return [
        f"unattended/node-loss/{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}Z"
        for second in range(begin, int(last) + 1, CYCLE_S)
    ]


@pytest.mark.slow
@pytest.mark.lab
@pytest.mark.timeout(int(MINUTES * 60 + 600))
def test_left_alone_and_killed_every_slot_has_its_record(tmp_path: Path) -> None:
    home, catalogue = tmp_path / "home", unattended_catalogue(tmp_path / "catalogue")
    chooser = random.Random()
    running = scheduler(home, catalogue)
    try:
        began = _since(home, running)
        ends = time.time() + MINUTES * 60
        kills = 0
        while (left := ends - time.time()) > 0:
            pause = min(left, KILL_MINUTES * 60 * chooser.uniform(0.6, 1.4))
            with pytest.raises(subprocess.TimeoutExpired):
                running.wait(pause)
            if time.time() < ends:
                running.send_signal(signal.SIGKILL)
                running.wait(10)
                kills += 1
                running = scheduler(home, catalogue)
        last = time.time()
        _await_quiet(home, catalogue)
        running.send_signal(signal.SIGTERM)
        assert running.wait(300) == 0
    finally:
        _end(home, running)
    _check(home, catalogue, began, last, kills)


def _since(home: Path, running: subprocess.Popen[bytes]) -> float:
    """Since when the entry counts: slots before that are nobody's."""
    deadline = time.monotonic() + 60
    while "considered from now on" not in (home / "output.txt").read_text():
        assert running.poll() is None and time.monotonic() < deadline, (home / "output.txt").read_text()
        time.sleep(0.1)
    return time.time()


def _await_quiet(home: Path, catalogue: Path) -> None:
    """Until no slot is on the way any more, so that the end does not abort one."""
    deadline = time.monotonic() + 300
    while any(slot["state"] not in FINAL for slot in log_of(home, catalogue)["slots"]):  # type: ignore[attr-defined]
        assert time.monotonic() < deadline, (home / "output.txt").read_text()
        time.sleep(1)


def _end(home: Path, running: subprocess.Popen[bytes]) -> None:
    if running.poll() is None:
        running.kill()
        running.wait(10)
    for process in processes(home):
        try:
            process.kill()
        except psutil.Error:
            continue


def _check(home: Path, catalogue: Path, began: float, last: float, kills: int) -> None:
    said = (home / "output.txt").read_text()
    slots = {slot["key"]: slot for slot in log_of(home, catalogue)["slots"]}  # type: ignore[attr-defined]
    due = due_between(began, last)
    assert set(due) <= set(slots), f"without a record: {set(due) - set(slots)}\n{said}"
    assert all(slot["state"] in FINAL for slot in slots.values()), said
    with closing(HistoryStore(home)) as store:
        records = store.runs(limit=1000)
        origins = Counter(store.events(one.run)[0].data["origin"]["slot"] for one in records)
    assert max(origins.values()) == 1, f"run twice: {origins}\n{said}"
    runs = {drill["run"] for slot in slots.values() for drill in slot["drills"] if drill["run"]}
    assert {one.run for one in records} <= runs
    for slot in slots.values():
        assert slot["state"] == "finished" or slot["reason"], slot
    outcomes = Counter(slot["outcome"] or slot["state"] for slot in slots.values())
    print(f"\n{len(due)} slots, {kills} kills: {dict(outcomes)}")
    assert sum(1 for slot in slots.values() if slot["state"] == "finished") >= max(1, len(due) - 2 * kills)
    # Whatever was killed, nothing is injected, and nothing runs.
    assert Ledger(home).open_faults() == []
    assert await_none(home, 15) == []
    trend = tierdrill(home, "--catalogue", str(catalogue), "trend", "--json")
    assert trend.returncode == 0, trend.stderr
    assert len(json.loads(trend.stdout)["drills"]) == 1


@pytest.mark.slow
@pytest.mark.lab
@pytest.mark.timeout(240)
def test_one_real_drill_from_its_slot_to_its_record(tmp_path: Path) -> None:
    """The real command, the real run: from the calendar to the history, with `tierdrill halt` in between."""
    home, catalogue = tmp_path / "home", unattended_catalogue(tmp_path / "catalogue")
    path = catalogue / "drills" / "calendars" / "unattended.yaml"
    document = yaml.safe_load(path.read_text())
    document["entries"][0] |= {"every": "30s", "misfire": {"grace": "29s"}}
    path.write_text(yaml.safe_dump(document))
    running = scheduler(home, catalogue)
    try:
        _since(home, running)
        deadline = time.monotonic() + 150
        while not (slots := [one for one in log_of(home, catalogue)["slots"] if one["state"] == "finished"]):  # type: ignore[attr-defined]
            assert time.monotonic() < deadline, (home / "output.txt").read_text()
            time.sleep(0.5)
        running.send_signal(signal.SIGTERM)
        assert running.wait(120) == 0
    finally:
        _end(home, running)
    (drill,) = slots[0]["drills"]
    with closing(HistoryStore(home)) as store:
        record = store.find(drill["run"])
        first = store.events(drill["run"])[0]
    assert record is not None
    assert record.status == drill["status"] == slots[0]["outcome"]
    assert "/".join(first.data["origin"].values()) == slots[0]["key"] or set(first.data["origin"].values()) == set(
        slots[0]["key"].split("/")
    )
    assert [gate["verdict"] for gate in drill["gates"]] == ["open"] * 7
    assert Ledger(home).open_faults() == []
    assert await_none(home, 15) == []
