"""Exercises for end-to-end tests: a catalogue with short scenarios, the real host, the real `tierdrill ops`."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.home import ROOT, start, tierdrill
from tierdrill.history.events import Event
from tierdrill.history.history_store import HistoryStore

FIRST_AT_S = 13


def incident(name: str, fault: str, parameters: dict[str, Any], cause: str, at_s: int = FIRST_AT_S) -> dict[str, Any]:
    """An incident of a scenario, with the least that a document needs."""
    return {
        "name": name,
        "at": f"{at_s}s",
        "fault": fault,
        "parameters": [parameters],
        "tier": "critical",
        "cause": cause,
        "mitigate_within": "10s",
        "mitigations": [{"remedy": "rebalance"}],
        "evidence": [{"where": "alerts", "what": "an alert", "after": "5s"}],
    }


SMALL = {"assistant": 2}
"""Replicas of each model, one where it is not named: enough for every kind of incident, and soon up."""


def catalogue_with(folder: Path, incidents: list[dict[str, Any]], **changes: Any) -> Path:
    """A catalogue with one scenario, `paper-boat`, made of the first-day one, in a small lab."""
    (folder / "drills" / "scenarios").mkdir(parents=True)
    for part in ("drills/platform", "playbooks", "docs"):
        shutil.copytree(ROOT / part, folder / part)
    document = yaml.safe_load((ROOT / "drills" / "scenarios" / "amber-kettle.yaml").read_text())
    document["metadata"] = {"name": "paper-boat", "title": "A test of patience", "owner": "team-test"}
    document |= {"incidents": incidents, "duration": "60s", "updates_every": "20s", "time_scale": 100, **changes}
    for stream in document["load"]["streams"]:
        stream["rate"] = "5/s"
    _write(folder / "drills" / "scenarios" / "paper-boat.yaml", document)
    workloads = folder / "drills" / "platform" / "workloads.yaml"
    models = yaml.safe_load(workloads.read_text())
    for model in models["models"]:
        model |= {"replicas": SMALL.get(model["name"], 1), "slots": 8}  # enough for what tiers reserve
    _write(workloads, models)
    return folder


def _write(path: Path, document: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(document, sort_keys=False))


class Exercise:
    """One that goes on in a home of its own."""

    def __init__(self, home: Path, catalogue: Path, *options: str) -> None:
        self.home = home
        arguments = ("--catalogue", str(catalogue), "train", "paper-boat", *options)
        self.host = start(home, *arguments, cwd=home.parent)

    def ops(self, *words: str) -> dict[str, Any]:
        """A trainee's command, as JSON."""
        done = tierdrill(self.home, "ops", *words, "--json")
        if not done.stdout:
            return {"ok": False, "code": done.returncode, "text": done.stderr, "data": None}
        found: dict[str, Any] = json.loads(done.stdout)
        assert found["code"] == done.returncode
        return found

    def until(self, what: str, true: Any, within_s: float = 60.0) -> Any:
        """Wait for something."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if found := true():
                return found
            assert self.host.poll() is None, f"the exercise ended before {what}: {self.output()}"
            time.sleep(0.2)
        raise AssertionError(f"not within {within_s:g} s: {what}\n{self.output()}")

    def until_begun(self) -> None:
        """Wait until the trainee can work."""
        self.until("its begin", lambda: self.ops("status")["ok"], within_s=150.0)

    def until_paged(self, about: str = "") -> dict[str, Any]:
        """Wait for a page that rings about something; on a busy machine others may ring before."""
        return self.until(
            f"a page about {about}",
            lambda: next((page for page in self.open_pages() if about in page["summary"]), None),
            within_s=90.0,
        )

    def open_pages(self) -> list[dict[str, Any]]:
        """Pages that nobody has closed."""
        return [page for page in self.ops("pages")["data"] or [] if page["state"] != "resolved"]

    def output(self) -> str:
        """What its terminal shows."""
        return (self.home / "output.txt").read_text()

    def end(self, within_s: float = 30.0) -> int:
        """Wait for its end; the exit code."""
        return self.host.wait(within_s)

    def history(self) -> list[Event]:
        """Its events, once they are open."""
        store = HistoryStore(self.home)
        try:
            record = store.find(None)
            return store.events(record.run) if record is not None else []
        finally:
            store.close()
