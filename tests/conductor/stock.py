"""A stock experiment under the real experiment child: an extension written to a folder, and what its run wrote."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tierdrill.conductor.experiment_runner import ExperimentProcess
from tierdrill.history.events import Event
from tierdrill.history.ledger import Ledger
from tierdrill.recovery.cleanup import own_process

RUN = "stock-run"
EXTENSION = """
import os, signal, time
from pathlib import Path

def create(path):
    Path(path).write_text("there")

def append(path, text):
    with open(path, "a") as out:
        out.write(text)

def remove(path):
    Path(path).unlink(missing_ok=True)

def remove_at_last(path, tries):
    if count(tries) > 1:
        remove(path)

def is_there(path):
    return Path(path).exists()

def refuse(text):
    raise RuntimeError(text)

def refuse_while(path):
    if Path(path).exists():
        raise RuntimeError("it is there")
    return True

def echo(text):
    return text

asked = []

def only_before(text):
    asked.append(text)
    return True if len(asked) == 1 else text

def state(path):
    return "present" if Path(path).exists() else "absent"

def once(path):
    if Path(path).exists():
        return None
    Path(path).touch()
    return 1

def create_and_hold(path, seconds):
    Path(path).write_text("there")
    time.sleep(seconds)
    Path(path).unlink()

def count(path):
    return len(Path(path).read_text()) if Path(path).exists() else 0
"""


def python(kind: str, name: str, func: str, **arguments: Any) -> dict[str, Any]:
    """An activity of the extension."""
    return {
        "type": kind,
        "name": name,
        "provider": {"type": "python", "module": "somebodys_extension", "func": func, "arguments": arguments},
    }


def process(kind: str, name: str, *arguments: str) -> dict[str, Any]:
    """An activity of the process provider, with arguments as a list."""
    return {
        "type": kind,
        "name": name,
        "provider": {"type": "process", "path": sys.executable, "arguments": list(arguments)},
    }


def probe(name: str, path: Path, there: bool) -> dict[str, Any]:
    """A probe that holds while the file is there, or while it is not."""
    return {**python("probe", name, "is_there", path=str(path)), "tolerance": there}


def experiment_on(path: Path) -> dict[str, Any]:
    """Creates a file as its fault, removes it as its rollback, and has probes for both."""
    return {
        "title": "A file appears",
        "description": "Somebody's fault.",
        "method": [python("action", "create-file", "create", path=str(path))],
        "rollbacks": [python("action", "remove-file", "remove", path=str(path))],
        "extensions": [
            {"name": "tierdrill", "probes": [probe("file-is-there", path, True), probe("file-is-gone", path, False)]}
        ],
    }


PROOF = {"activity": "create-file", "landed": "file-is-there", "gone": "file-is-gone", "within": 1.0}


@dataclass
class Stock:
    """A home, an extension on the path, and the events that came back."""

    home: Path
    events: list[Event] = field(default_factory=list)

    @property
    def marker(self) -> Path:
        return self.home / "marker"

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.home)

    def write(self, experiment: dict[str, Any], proofs: list[dict[str, Any]], **variables: Any) -> Path:
        path = self.home / "experiment.json"
        path.write_text(json.dumps({"experiment": experiment, "variables": variables, "proofs": proofs}))
        return path

    def kinds(self, prefix: str = "fault.") -> list[str]:
        return [event.kind for event in self.events if event.kind.startswith(prefix)]

    def one(self, kind: str) -> Event:
        (found,) = [event for event in self.events if event.kind == kind]
        return found

    def notes(self) -> str:
        return "\n".join(str(event.data["text"]) for event in self.events if event.kind == "run.note")

    def play(
        self,
        experiment: dict[str, Any],
        proofs: list[dict[str, Any]],
        during: Callable[[ExperimentProcess], Awaitable[None]] | None = None,
        ahead: float = 0.0,
        **variables: Any,
    ) -> int:
        """Run the experiment as the conductor does; the child's exit code."""
        spec = self.write(experiment, proofs, **variables)

        async def go() -> int:
            child = await ExperimentProcess.start(
                spec,
                home=self.home,
                run=RUN,
                place={"target": "lab", "home": str(self.home), "lab": "none"},
                lease_s=5.0,
                folder=self.home,
                take=self.events.append,
            )
            try:
                ledger = self.ledger
                if (owned := own_process(RUN, "experiment", child.pid)) is not None:
                    ledger.own(owned)
                ledger.close()
                await child.await_ready()
                await child.go(time.time() + ahead)
                if during is not None:
                    await during(child)
            finally:
                code = await child.end(20.0)
            return code

        return asyncio.run(go())

    async def until(self, true: Callable[[], bool], within_s: float = 10.0) -> None:
        """Wait for something the child does."""
        deadline = time.monotonic() + within_s
        while not true():
            assert time.monotonic() < deadline, (self.events, (self.home / "experiment.log").read_text())
            await asyncio.sleep(0.02)

    def open_faults(self) -> list[str]:
        ledger = self.ledger
        try:
            return [entry.id for entry in ledger.open_faults()]
        finally:
            ledger.close()


@pytest.fixture
def stock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stock:
    """A home with somebody's extension on the Python path."""
    extension = tmp_path / "extension"
    extension.mkdir()
    (extension / "somebodys_extension.py").write_text(EXTENSION)
    monkeypatch.setenv("PYTHONPATH", str(extension), prepend=os.pathsep)
    home = tmp_path / "home"
    home.mkdir()
    return Stock(home)
