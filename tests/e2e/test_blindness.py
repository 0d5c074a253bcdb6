"""While an exercise goes on, what was injected can be read nowhere that a trainee can look."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.exercise import Exercise, catalogue_with, incident
from tests.e2e.home import await_none, processes, tierdrill
from tierdrill.lab.lab_files import running_labs

# Parameters that occur nowhere else, so that finding them means something.
DELAY_MS = 617
FORBIDDEN = [
    "gpu-fallen-off-bus", "drop_gpu_off_bus", "restore_gpu", "link-latency", "delay_link", "heal_link", "delay_ms",
    "a-quiet-secret", "another-secret", "the truth of this test", "lost-gpu", "slow-path", "overrides file",
    "userspace TCP proxy",
]  # fmt: skip
SKIPPED = ("catalogue", "__pycache__")
BYTES_MAX = 64 * 1024 * 1024


def words() -> list[bytes]:
    return [word.encode() for word in [*FORBIDDEN, f"{DELAY_MS}.0", f": {DELAY_MS}", f"={DELAY_MS}"]]


def files_since(folder: Path, began: float) -> Iterator[Path]:
    """Every file below a folder that was written since then."""
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in SKIPPED]
        for name in names:
            path = Path(root) / name
            try:
                if path.is_file() and path.stat().st_mtime >= began and path.stat().st_size < BYTES_MAX:
                    yield path
            except OSError:
                continue


def in_files(folders: list[Path], began: float) -> list[str]:
    found = []
    for folder in folders:
        for path in files_since(folder, began):
            try:
                content = path.read_bytes()
            except OSError:
                continue
            found += [f"{path}: {word.decode()}" for word in words() if word in content]
    return found


def in_processes() -> list[str]:
    found = []
    me = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    for process in psutil.process_iter():
        if process.pid in me:
            continue
        for name in ("cmdline", "environ"):
            try:
                content = Path(f"/proc/{process.pid}/{name}").read_bytes()
            except OSError:
                continue
            found += [f"{name} of {process.pid}: {word.decode()}" for word in words() if word in content]
    return found


def in_metrics(home: Path) -> list[str]:
    """Every series that Prometheus has, and every page of metrics that it scrapes."""
    (lab,) = running_labs(home)
    prometheus = urllib.request.Request(
        f"http://{lab.prometheus}/api/v1/targets", headers={"Authorization": lab.login.header}
    )
    targets = json.load(urllib.request.urlopen(prometheus))["data"]["activeTargets"]
    pages = [f"http://{lab.prometheus}/api/v1/series?match[]={{__name__!=%22%22}}"]
    pages += [target["scrapeUrl"] for target in targets]
    found, read = [], 0
    for page in pages:
        try:
            request = urllib.request.Request(page)
            if lab.prometheus is not None and lab.prometheus in page:
                request.add_header("Authorization", lab.login.header)
            content = urllib.request.urlopen(request, timeout=3).read()
        except OSError:
            continue  # what is broken in the exercise does not answer
        read += 1
        found += [f"{page}: {word.decode()}" for word in words() if word in content]
    assert read > 5
    return found


def in_answers(exercise: Exercise) -> list[str]:
    """Everything that `ops` and the other commands show."""
    looks = [("ops", name, "--json") for name in (
        "status", "pages", "tiers", "replicas", "nodes", "gpus", "links", "alerts", "playbooks", "actions", "messages",
    )]  # fmt: skip
    logs = exercise.ops("logs", "nothing-of-that-name")["text"].partition("there are: ")[2].strip().split(", ")
    assert len(logs) > 10
    looks += [("ops", "logs", log, "-n", "500") for log in logs]
    looks += [("ops", "query", "ALERTS"), ("ops", "query", "{__name__!=''}", "--json")]
    looks += [("status",), ("status", "--json"), ("history", "--runs"), ("history",), ("judge",), ("facilitate", "x")]
    found = []
    for look in looks[:-1]:
        done = tierdrill(exercise.home, *look)
        found += [f"{look}: {word.decode()}" for word in words() if word in (done.stdout + done.stderr).encode()]
    return found


def in_databases(home: Path) -> list[str]:
    """The databases as rows, also what lies in their write-ahead logs."""
    found = []
    for path in home.glob("*.db"):
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
            text = "\n".join(database.iterdump())
        found += [f"{path}: {word.decode()}" for word in words() if word.decode() in text]
    return found


@pytest.mark.slow
@pytest.mark.lab
@pytest.mark.timeout(240)
def test_nothing_tells_what_was_injected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.time()
    # A home and a temporary folder of its own: others on this machine may well write of faults in theirs.
    for variable in ("HOME", "TMPDIR"):
        (tmp_path / variable).mkdir()
        monkeypatch.setenv(variable, str(tmp_path / variable))
    secrets = [
        incident("a-quiet-secret", "gpu-fallen-off-bus", {"node": "node-1", "gpu": 0}, "lost-gpu"),
        incident(
            "another-secret", "link-latency",
            {"source": "gateway-a", "destination": "node-2", "delay_ms": DELAY_MS}, "slow-path", 14,
        ),
    ]  # fmt: skip
    catalogue = catalogue_with(tmp_path / "catalogue", secrets, duration="180s", truth="the truth of this test")
    exercise = Exercise(tmp_path / "home", catalogue)
    try:
        exercise.until_begun()
        exercise.until_paged()
        exercise.until(
            "both faults", lambda: len(json.loads(tierdrill(exercise.home, "status", "--json").stdout)["faults"]) == 2
        )
        exercise.ops("drain", "node-1", "--wait")
        exercise.ops("hint")
        assert in_answers(exercise) == []
        assert in_metrics(exercise.home) == []
        assert in_processes() == []
        assert in_databases(exercise.home) == []
        assert in_files([exercise.home, tmp_path / "HOME", tmp_path / "TMPDIR"], began) == []
        exercise.host.send_signal(signal.SIGINT)
        assert exercise.end() == 4
        told = json.dumps([event.data for event in exercise.history()])
        # The search can find: all of it is in clear once the exercise is over.
        assert all(
            word in told
            for word in FORBIDDEN
            if word not in ("restore_gpu", "heal_link", "drop_gpu_off_bus", "delay_link")
        )
        assert f": {DELAY_MS}" in told
        assert await_none(exercise.home, 8.0) == []
        assert not list((exercise.home / "exercises").iterdir())
    finally:
        for process in processes(exercise.home):
            process.kill()
