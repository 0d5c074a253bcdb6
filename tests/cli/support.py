"""Drives the real command in a process of its own, with a home in a temporary folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from tests.cli import forked
from tests.judge.build import Run, shipped
from tierdrill.history.events import Event
from tierdrill.history.history_store import HistoryStore

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "tierdrill")
FOLDERS = ("drills", "experiments", "playbooks")


@dataclass(frozen=True)
class Done:
    """What a command came to."""

    code: int
    out: str
    err: str


def environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of a command with this home and nothing of ours that would steer it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TIERDRILL_")}
    return {**kept, "TIERDRILL_HOME": str(home), "NO_COLOR": "1", **more}


def tierdrill(home: Path, *arguments: str | Path, cwd: Path = ROOT, timeout: float = 60.0, **more: str) -> Done:
    """Run a command to its end; no command may ever show a traceback."""
    words, environ = [*map(str, arguments)], environment(home, **more)
    if forked.takes(environ):
        done = Done(*forked.run(words, cwd, environ, timeout))
    else:
        finished = subprocess.run(
            [*COMMAND, *words],
            cwd=cwd,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        done = Done(finished.returncode, finished.stdout, finished.stderr)
    assert "Traceback (most recent call last)" not in done.err + done.out, done.err
    return done


def copied_catalogue(folder: Path) -> Path:
    """A copy of the shipped documents, to break."""
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name)
    return folder


def with_runs(home: Path, **runs: Run) -> Path:
    """A home with finished runs of node-loss, begun in this order."""
    from tierdrill.judge.judge import judge

    setting = shipped()
    with closing(HistoryStore(home)) as store:
        for number, (name, made) in enumerate(runs.items()):
            store.begin(name, "node-loss", made.variant, time.time() + number)
            events = made.events(setting)
            store.append_many(name, [_of_run(event, name) for event in events])
            verdict = judge(store.events(name))
            store.finish(name, time.time() + number, verdict.status.value, verdict.summary)
    return home


def _of_run(event: Event, name: str) -> Event:
    """The event as the run of that name would have it: the run's name is in its faults' names, too."""
    if event.kind == "load.samples":
        return event
    text = json.dumps(event.data).replace('"r1"', f'"{name}"').replace('"r1/', f'"{name}/')
    return replace(event, data=json.loads(text))
