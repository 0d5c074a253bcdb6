"""The experiment child: Chaos Toolkit's Runner in a main thread of its own, its progress as events on a pipe.

Started as `python -m tierdrill.conductor.experiment_child SPEC.json` with TIERDRILL_EVENTS_FD set. It loads everything,
says ready, waits for a line on stdin, then runs. Rollbacks are always played, the host's Chaos Toolkit settings are not
read, and nothing here decides anything: outcomes become events. Faults of tierdrill's own extension write their own
events; an action of anybody else's extension is given an intent, and its landing and end are proven by the probes the
drill names.
"""

from __future__ import annotations

import copy
import importlib
import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

from chaoslib.activity import run_activity
from chaoslib.hypothesis import within_tolerance
from chaoslib.run import RunEventHandler, Runner
from chaoslib.types import Strategy

from tierdrill.chaos.context import Context, current_context, wait_until
from tierdrill.conductor.plan import ACTIONS_MODULE
from tierdrill.history.events import event
from tierdrill.history.ledger import Ledger
from tierdrill.targets.places import open_place

PROBE_POLL_S = 0.1
SETTINGS = {"runtime": {"rollbacks": {"strategy": "always"}}}


class Reporter(RunEventHandler):  # type: ignore[misc]
    """Turns the Runner's progress into events, and gives foreign actions intents and proofs."""

    def __init__(self, context: Context, spec: dict[str, Any]) -> None:
        self.context = context
        self.proofs = {proof["activity"]: proof for proof in spec["proofs"]}
        self.probes = _probes(spec["experiment"])
        self.ledger = Ledger(context.home)
        self.spec_path = spec["path"]
        self.configuration: dict[str, Any] = {}
        self.secrets: dict[str, Any] = {}
        self.open: dict[str, str] = {}
        self.in_method = False
        self.waited = False

    def running(
        self, experiment: Any, journal: Any, configuration: Any, secrets: Any, schedule: Any, settings: Any
    ) -> None:
        self.configuration, self.secrets = configuration, secrets

    def start_method(self, experiment: Any) -> None:
        self.in_method = True

    def method_completed(self, experiment: Any, state: Any) -> None:
        self.in_method = False

    def start_activity(self, activity: Any) -> None:
        if not self._foreign_fault(activity):
            return
        name = activity["name"]
        fault = f"{self.context.run}/foreign/{name}"
        place = {"target": "experiment", "spec": self.spec_path}
        order = {
            "fault": fault,
            "kind": "foreign",
            "target": name,
            "target_kind": "service",
            "mechanism": "the experiment's own",
            "parameters": {},
            "lease_s": self.context.lease_s,
        }
        self.ledger.intend(fault, self.context.run, order, place, self.context.lease_s)
        planned = None if self.waited else self.context.inject_at
        self.waited = True
        self.context.emit(
            event(
                "fault.intended",
                "experiment",
                fault=fault,
                kind="foreign",
                target=name,
                target_kind="service",
                parameters={},
                mechanism="the experiment's own",
                undo="rollbacks",
                lease_s=self.context.lease_s,
                planned_at=planned,
                emulated=False,
            )
        )
        self.open[name] = fault
        wait_until(planned)

    def activity_completed(self, activity: Any, run: Any) -> None:
        name = activity.get("name", activity.get("ref", ""))
        status = run.get("status", "interrupted")
        if status != "succeeded":
            error = (run.get("exception") or ["no reason given"])[-1]
            self.context.emit(event("run.note", "experiment", text=f"activity {name}: {status}: {str(error).strip()}"))
        if name not in self.open or not self.in_method:
            return
        fault = self.open[name]
        if status != "succeeded":
            self.context.emit(event("fault.failed", "experiment", fault=fault, error=f"{status}"))
            return
        self.context.emit(event("fault.injected", "experiment", fault=fault))
        self._prove(name, fault, "landed")

    def rollbacks_completed(self, experiment: Any, journal: Any) -> None:
        for name, fault in self.open.items():
            self.context.emit(event("fault.reverting", "experiment", fault=fault, by="experiment"))
            if self._prove(name, fault, "gone"):
                self.ledger.mark(fault, "gone")

    def _foreign_fault(self, activity: Any) -> bool:
        provider = activity.get("provider", {})
        return self.in_method and activity.get("type") == "action" and provider.get("module") != ACTIONS_MODULE

    def _prove(self, name: str, fault: str, aspect: str) -> bool:
        proof = self.proofs.get(name)
        kind = {"landed": ("fault.landed", "fault.not_landed"), "gone": ("fault.gone", "fault.not_gone")}[aspect]
        if proof is None:
            self.context.emit(
                event(kind[1], "experiment", fault=fault, witness="", seen="the drill names no proof for it")
            )
            return False
        probe = self.probes.get(proof[aspect])
        if probe is None:
            seen = f"the experiment has no probe named {proof[aspect]!r}"
            self.context.emit(event(kind[1], "experiment", fault=fault, witness=proof[aspect], seen=seen))
            return False
        deadline = time.monotonic() + proof["within"]
        while True:
            began = time.time()
            try:
                value = run_activity(probe, self.configuration, self.secrets)
                met = value is not None and within_tolerance(
                    probe["tolerance"], value, configuration=self.configuration, secrets=self.secrets
                )
                seen = f"{probe['name']} returned {value!r}"
            except Exception as error:
                # A probe that cannot answer is no witness; it is asked again until the time is up.
                met, seen = False, f"{probe['name']} raised {error}"
            if met or time.monotonic() >= deadline:
                break
            time.sleep(PROBE_POLL_S)
        data: dict[str, Any] = {"fault": fault, "witness": f"probe {probe['name']}", "seen": seen[:500]}
        if met:
            data["effective_at" if aspect == "landed" else "gone_at"] = began
        self.context.emit(event(kind[0] if met else kind[1], "experiment", **data))
        if met and aspect == "landed":
            self.ledger.mark(fault, "landed", seen[:200])
        return bool(met)


def _probes(experiment: dict[str, Any]) -> dict[str, Any]:
    """Every probe with a tolerance, by name: of hypothesis, method and rollbacks, and under the tierdrill extension."""
    extensions = [one for one in experiment.get("extensions", []) if one.get("name") == "tierdrill"]
    places = [
        (experiment.get("steady-state-hypothesis") or {}).get("probes", []),
        experiment.get("method", []),
        experiment.get("rollbacks", []),
        *(one.get("probes", []) for one in extensions),
    ]
    return {
        activity["name"]: activity
        for place in places
        for activity in place
        if activity.get("type") == "probe" and "tolerance" in activity
    }


def _load_extensions(experiment: dict[str, Any]) -> None:
    """Import what the activities will call, so that the planned instant is not spent on it.

    Chaos Toolkit reports what is missing.
    """
    for activity in (*experiment.get("method", []), *experiment.get("rollbacks", [])):
        module = activity.get("provider", {}).get("module")
        if module:
            try:
                importlib.import_module(module)
            except ImportError:
                logging.getLogger("tierdrill").exception("cannot import %s", module)
    open_place(current_context().place)


def play(spec_path: Path, *, rollbacks_only: bool) -> int:
    """Run the experiment of a spec file; 0 when the Runner came to its end, whatever it found."""
    spec = json.loads(spec_path.read_text(encoding="utf-8"))
    spec["path"] = str(spec_path)
    context = current_context()
    experiment = copy.deepcopy(spec["experiment"])
    # The runtime block is read by the chaos command only; ours is passed explicitly.
    experiment.pop("runtime", None)
    if rollbacks_only:
        experiment["method"] = []
        experiment.pop("steady-state-hypothesis", None)
    reporter = Reporter(context, spec)
    if not rollbacks_only:
        _load_extensions(experiment)
        context.emit(event("run.note", "experiment", text="ready"))
        line = sys.stdin.readline()
        if not line:
            return 0
        os.environ["TIERDRILL_INJECT_AT"] = line.strip()
        reporter.context = current_context()
    strategy = Strategy.SKIP if rollbacks_only else Strategy.from_string(spec.get("strategy", "default"))
    runner = Runner(strategy)
    runner.register_event_handler(reporter)
    journal = runner.run(experiment, settings=copy.deepcopy(SETTINGS), experiment_vars=(spec["variables"], {}))
    summary = {key: journal.get(key) for key in ("status", "deviated", "duration")}
    context.emit(event("run.note", "experiment", text="experiment " + json.dumps(summary, sort_keys=True)))
    if journal.get("deviated") or (journal.get("status") in ("failed", "aborted")):
        context.emit(event("run.note", "experiment", text="the experiment's own hypothesis did not hold"))
    return 0


def main() -> int:
    """Entry of the child process."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    arguments = [argument for argument in sys.argv[1:] if argument != "--rollbacks-only"]
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    return play(Path(arguments[0]), rollbacks_only="--rollbacks-only" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
