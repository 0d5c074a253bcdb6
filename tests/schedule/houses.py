"""A home, a catalogue and a calendar for tests of the scheduler, and the processes in it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.documents.support import good_catalogue
from tierdrill.schedule.store.slot_store import ScheduleStore

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class House:
    """Folders of one test."""

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def root(self) -> Path:
        return self.folder / "catalogue"

    @property
    def script(self) -> Path:
        return self.folder / "script.json"

    def store(self) -> ScheduleStore:
        """The store, as a second process sees it."""
        return ScheduleStore(self.home)

    def calendar(self, *entries: dict[str, Any], **fields: Any) -> None:
        """Write the one calendar, named `often`."""
        document = {
            "apiVersion": "tierdrill/v1", "kind": "Calendar", "metadata": {"name": "often", "owner": "team"},
            **fields, "entries": list(entries),
        }  # fmt: skip
        (self.root / "drills" / "calendar.yaml").write_text(yaml.safe_dump(document))

    def play(self, **settings: Any) -> None:
        """What the stand-in does."""
        self.script.write_text(json.dumps({"home": str(self.home), **settings}))

    def said(self) -> list[list[str]]:
        """What the stand-in wrote, line by line."""
        path = self.folder / "standin.log"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def starts(self) -> Counter[str]:
        """How often each slot was run."""
        return Counter(line[2] for line in self.said() if line[0] == "start")

    def start(self, heart_s: float = 0.3) -> subprocess.Popen[bytes]:
        """A real scheduler in a process of its own; its heart beats faster than in production."""
        with (self.folder / "scheduler.log").open("ab") as log:
            return subprocess.Popen(
                [
                    sys.executable, "-m", "tests.schedule.scheduler_process", self.script, self.root, self.home,
                    str(heart_s),
                ],
                cwd=ROOT, env={**os.environ, "TIERDRILL_HOME": str(self.home)}, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True,
            )  # fmt: skip

    def log(self) -> str:
        """What the schedulers said."""
        return (self.folder / "scheduler.log").read_text()


def new_house(folder: Path) -> House:
    """A house with the good catalogue, no calendar yet, and drills that pass in a fifth of a second."""
    house = House(folder)
    house.home.mkdir(mode=0o700)
    good_catalogue(house.root)
    environment = house.root / "drills" / "environment.yaml"
    document = yaml.safe_load(environment.read_text())
    document.pop("dependencies")
    document.pop("gates")
    environment.write_text(yaml.safe_dump(document))
    house.play(seconds=0.2)
    return house


@contextmanager
def ended(*schedulers: subprocess.Popen[bytes]) -> Iterator[None]:
    """At the end, none of them is left."""
    try:
        yield
    finally:
        for scheduler in schedulers:
            if scheduler.poll() is None:
                scheduler.send_signal(signal.SIGKILL)
            scheduler.wait(10)


def until(condition: Any, within_s: float = 20.0) -> Any:
    """What the condition gives once it gives something; it looks into other processes' files, so it looks often."""
    deadline = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)
    return found
