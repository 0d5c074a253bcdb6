"""A home with a lab that stays up, what it was before anything happened in it, and short drills to kill."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

from tests.e2e.home import EXPECT, processes, short_catalogue, start, tierdrill
from tierdrill.history.ledger import Ledger
from tierdrill.history.ledger_tables import LedgerFault
from tierdrill.lab.client import LabClient, LabError
from tierdrill.lab.lab_files import LabState, find_lab, supervisor_lives
from tierdrill.targets.base import is_remedy

LAB = "kept"
DRILLS = ("slow-link", "node-loss")
"""A remedy that lasts until its alert resolves (a weight of 0), and remedies that move replicas and shed."""

LOAD = "8/s"
"""Of each stream."""
PHASES = {"warm_up": "4s", "baseline": "1s", "fault": "15s", "recovery": "1s"}
MARKS = {
    "reaper": "recovery.reaper",
    "load": "locust",
    "experiment": "experiment_child",
    "supervisor": "lab.supervisor",
    "network": "lab.fabric",
    "prometheus": "--storage.tsdb.path",
}
TIERS = {"critical": ("assistant", "enterprise"), "standard": ("summarizer", ""), "best-effort": ("draft", "batch")}
POLL_S = 0.1


@dataclass
class Kept:
    """The home, its lab and its catalogue; `before` is the lab as it was brought up."""

    home: Path
    catalogue: Path
    before: dict[str, Any] = field(default_factory=dict)

    def up(self) -> None:
        """Bring the lab up, if it is not, and remember what it is like."""
        if self.state is not None:
            return
        done = self("--catalogue", str(self.catalogue), "lab", "up", "--name", LAB)
        assert done.returncode == 0, done.stderr
        self.before = self.until("the lab is whole", self._whole)

    def _whole(self) -> dict[str, Any] | None:
        now = self.now()
        return now if now is not None and all(now["replicas"].values()) else None

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return tierdrill(self.home, *arguments, cwd=self.home)

    @property
    def state(self) -> LabState | None:
        """The lab's state file, while its supervisor lives."""
        state = find_lab(self.home, LAB)
        return state if state is not None and supervisor_lives(state) else None

    def now(self) -> dict[str, Any] | None:
        """What the lab is like, from its own parts and not from the ledger; None while it cannot tell."""
        state = self.state
        if state is None:
            return None
        try:
            with LabClient(state) as client:
                status, view, network = client.status(), client.state(), client.get("/v1/fabric")
                usual = {"shed": (0, 0.0), "weights": (1, 1.0), "caps": (None,)}
                changed = {
                    what: {
                        at: {name: value for name, value in by.items() if value not in values}
                        for at, by in client.gateways(what).items()
                    }
                    for what, values in usual.items()
                }
                return {
                    **changed,
                    "flags": client.gateways("flags"),
                    "links": client.links(),
                    "dark": network["down"],
                    "power": status["power"],
                    "dead": sorted(one["name"] for one in status["processes"] if not one["alive"]),
                    "cordoned": sorted(node["name"] for node in view["nodes"] if node["cordoned"]),
                    "gpus": {n["name"]: [gpu["state"] for gpu in n["gpus"]] for n in view["nodes"]},
                    "replicas": {one["name"]: bool(one["ready"]) for one in view["replicas"]},
                }
        except LabError:
            return None

    def serves(self) -> list[str]:
        """Gateway and tier of what does not get an answer."""
        state, missing = self.state, []
        assert state is not None
        for gateway, address in state.gateways.items():
            for tier, (model, customer_class) in TIERS.items():
                if not _answered(address, model, customer_class):
                    missing.append(f"{gateway} {tier}")
        return missing

    def entries(self) -> list[LedgerFault]:
        """What the ledger holds open."""
        with closing(Ledger(self.home)) as ledger:
            return ledger.open_faults()

    def run(self, drill: str) -> subprocess.Popen[bytes]:
        """Start a drill in the lab."""
        return start(
            self.home, "--catalogue", str(self.catalogue), "run", drill, "--lab", LAB, "--plain", cwd=self.home
        )

    def in_force(self, remedies: bool) -> bool:
        """Whether a fault, and with `remedies` also a playbook's change, is in force now, as the ledger has it."""
        landed = [entry for entry in self.entries() if entry.state == "landed"]
        return any(not is_remedy(entry) for entry in landed) and (not remedies or any(map(is_remedy, landed)))

    def await_force(self, runner: subprocess.Popen[bytes], remedies: bool) -> bool:
        """Until `in_force`; False if the run ended first."""
        self.until("something is in force", lambda: runner.poll() is not None or self.in_force(remedies), 60.0)
        return runner.poll() is None

    def victim(self, role: str, runner: subprocess.Popen[bytes]) -> psutil.Process | None:
        """The process of that role, if it lives now."""
        if role == "runner":
            return psutil.Process(runner.pid)
        for process in processes(self.home):
            try:
                if any(MARKS[role] in part for part in process.cmdline()):
                    return process
            except psutil.Error:
                continue
        return None

    def until(self, what: str, look: Callable[[], Any], within_s: float = 30.0) -> Any:
        """The first look that is true."""
        deadline = time.monotonic() + within_s
        while not (seen := look()):
            assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
            time.sleep(POLL_S)
        return seen

    def status(self) -> dict[str, Any]:
        """`tierdrill status --json`, held against what there is: it may not say that all is well where it is not."""
        done = self("status", "--json")
        document: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == (0 if document["clean"] else 5), done.stderr
        labs = {lab["name"]: lab for lab in document["labs"]}
        state = find_lab(self.home, LAB)
        if state is not None and supervisor_lives(state):
            assert LAB in labs and labs[LAB]["state"] in ("up", "broken"), labs
        if document["clean"] and not document["runs"] and labs.get(LAB, {}).get("state") == "up":
            now = self.now()
            assert now is None or _settled(now) == _settled(self.before), (now, self.before, document)
        return document

    def end(self) -> None:
        """End whatever this home has started."""
        for process in processes(self.home):
            process.send_signal(signal.SIGKILL)


def _settled(now: dict[str, Any]) -> dict[str, Any]:
    """Without what takes a moment to come back by itself: replicas that are starting, an agent's next report."""
    return {key: value for key, value in now.items() if key not in ("replicas", "gpus")}


def _answered(address: str, model: str, customer_class: str) -> bool:
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=5.0)
    body = json.dumps({"model": model, "prompt": "who is there", "max_tokens": 2})
    headers = {"Content-Type": "application/json", **({"X-Customer-Class": customer_class} if customer_class else {})}
    try:
        connection.request("POST", "/v1/completions", body, headers)
        response = connection.getresponse()
        response.read()
        return response.status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def kept_home(folder: Path) -> Kept:
    """A home and a catalogue whose drills are short."""
    catalogue = short_catalogue(folder / "catalogue")
    for drill in DRILLS:
        path = catalogue / "drills" / f"{drill}.yaml"
        document = yaml.safe_load(path.read_text())
        document |= {"phases": PHASES, "expect": EXPECT, "sabotages": [], "guardrails": []}
        # What is killed here is never how much is served: a busy machine must not end a trial by a broken promise.
        for stream in document["load"]["streams"]:
            stream["rate"] = LOAD
        document.pop("blip", None)
        path.write_text(yaml.safe_dump(document))
    home = folder / "home"
    home.mkdir()
    return Kept(home, catalogue)
