"""The experiment child: Chaos Toolkit's Runner in a main thread of its own, its progress as events on a pipe.

Started as `python -m tierdrill.conductor.experiment_child SPEC.json` with TIERDRILL_EVENTS_FD set. It loads everything,
says ready, waits for a line on stdin, then runs. With --rollbacks-only it undoes what an earlier child left, whose
configuration it reads from stdin, and writes what came of it beside the spec. Rollbacks are always played, the host's
Chaos Toolkit settings are not read, and nothing here decides anything: outcomes become events. Faults of tierdrill's
own extension write their own events; those of anybody else's are in foreign.py.
"""

from __future__ import annotations

import copy
import importlib
import json
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from chaoslib.caching import cache_activities, clear_cache
from chaoslib.run import RunEventHandler, Runner
from chaoslib.types import Strategy

from tierdrill.chaos.context import Context, current_context
from tierdrill.conductor.foreign import ForeignFaults, Proofs, probes_of
from tierdrill.history.events import event
from tierdrill.targets.base import TargetError
from tierdrill.targets.experiment import Undoing, experiment_place
from tierdrill.targets.places import open_place

SETTINGS = {"runtime": {"rollbacks": {"strategy": "always"}}}
ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1)
# What Chaos Toolkit itself leaves with at SIGUSR1: now, and with rollbacks.
LEAVE_NOW = 20
NOTE_CHARACTERS = 300


def _leave(number: int, frame: Any) -> None:
    raise SystemExit(LEAVE_NOW)


def _go_on(number: int, frame: Any) -> None:
    """What the signal asks for is being done already."""


class Reporter(RunEventHandler):  # type: ignore[misc]
    """Turns the Runner's progress into events, and closes the ways in which an experiment could go on undone.

    The Runner swallows what a handler raises, but not SystemExit, its own way to leave early and play the rollbacks.
    """

    def __init__(self, context: Context, spec: dict[str, Any], spec_path: Path) -> None:
        self.context = context
        self.spec_path = spec_path
        self.proofs = Proofs(spec)
        self.faults = ForeignFaults(context, self.proofs, {})
        self.undoing = Undoing(spec_path)
        self.in_method = False
        self.configured = self.undone = False
        self.failed: list[str] = []

    def note(self, text: str) -> None:
        """A line for the history."""
        self.context.emit(event("run.note", "experiment", text=text[:NOTE_CHARACTERS]))

    def started(self, experiment: Any, journal: Any) -> None:
        # Chaos Toolkit's own handler of SIGTERM is swallowed inside an action, and SIGHUP has none.
        for number in ENDING:
            signal.signal(number, _leave)

    def running(
        self, experiment: Any, journal: Any, configuration: Any, secrets: Any, schedule: Any, settings: Any
    ) -> None:
        self.proofs.configuration, self.proofs.secrets = configuration, secrets
        self.configured = True
        self.faults.place = experiment_place(self.spec_path, self.context.run, self.context.place, configuration)

    def start_method(self, experiment: Any) -> None:
        self.in_method = True

    def method_completed(self, experiment: Any, state: Any) -> None:
        self.in_method = False
        self.faults.settle()

    def start_activity(self, activity: Any) -> None:
        if not self.in_method or not ForeignFaults.is_one(activity):
            return
        try:
            self.faults.begin(activity)
        except Exception as error:
            # No intent, no fault.
            with suppress(OSError):
                self.note(f"action {activity.get('name')} was not played: {error}")
            raise SystemExit(LEAVE_NOW) from error

    def activity_completed(self, activity: Any, run: Any) -> None:
        name, status = str(activity.get("name", "")), run.get("status", "interrupted")
        try:
            if status != "succeeded" or (not self.in_method and went_wrong(run)):
                self._tell_failure(name, status, run)
            if self.in_method and name in self.faults:
                self.faults.acted(name, status)
        finally:
            if self.in_method and "status" not in run:
                # It was interrupted, or raised what Chaos Toolkit does not expect. Left alone, the Runner would sleep
                # through the pause that follows, or lose the rollbacks.
                raise SystemExit(LEAVE_NOW)

    def _tell_failure(self, name: str, status: str, run: Any) -> None:
        if not self.in_method:
            self.failed.append(name)
        pending = sys.exc_info()[1]
        raised = f"{type(pending).__name__}: {pending}" if pending is not None else "no reason given"
        if status == "succeeded":
            status, raised = "failed", f"it returned {run.get('output')!r}"
        error = str((run.get("exception") or [raised])[-1]).strip()
        self.note(f"activity {name}: {status}: {error}")

    def start_rollbacks(self, experiment: Any) -> None:
        self.in_method = False
        for number in ENDING:
            signal.signal(number, _go_on)
        self.failed = []
        self.faults.close()
        self.undoing.begin()

    def rollbacks_completed(self, experiment: Any, journal: Any) -> None:
        try:
            self.undoing.finish(time.time(), self.failed, self.faults.undone())
        finally:
            self.undoing.release()
        self.undone = True


def went_wrong(run: Any) -> bool:
    """Whether an activity failed: also a program that ends with an error, which Chaos Toolkit only warns of."""
    output = run.get("output")
    code = output.get("status") if isinstance(output, dict) else None
    kind = run["activity"].get("provider", {}).get("type")
    bad = (kind == "process" and code != 0) or (kind == "http" and isinstance(code, int) and code >= 400)
    return run.get("status") != "succeeded" or bad


class Undoer(RunEventHandler):  # type: ignore[misc]
    """With --rollbacks-only: plays them, asks every proof there is, and writes down what came of it."""

    def __init__(self, spec: dict[str, Any], spec_path: Path) -> None:
        self.proofs = Proofs(spec)
        self.activities = [str(proof["activity"]) for proof in spec["proofs"]]
        self.undoing = Undoing(spec_path)
        self.failed: list[str] = []

    def running(
        self, experiment: Any, journal: Any, configuration: Any, secrets: Any, schedule: Any, settings: Any
    ) -> None:
        self.proofs.configuration, self.proofs.secrets = configuration, secrets

    def activity_completed(self, activity: Any, run: Any) -> None:
        if went_wrong(run):
            self.failed.append(str(activity.get("name", "")))

    def rollbacks_completed(self, experiment: Any, journal: Any) -> None:
        said = {}
        for activity in self.activities:
            if (answer := self.proofs.gone(activity)) is not None:
                witness, look = answer
                said[activity] = {"met": look.met, "at": look.at, "seen": look.seen, "witness": witness}
        self.undoing.finish(time.time(), self.failed, said)


def _load_extensions(experiment: dict[str, Any]) -> None:
    """Import what the activities will call, so that the planned instant is not spent on it.

    Chaos Toolkit reports what is missing, when it comes to it.
    """
    probes = probes_of(experiment).values()
    for activity in (*experiment.get("method", []), *(experiment.get("rollbacks") or []), *probes):
        provider = activity.get("provider", {})
        if module := provider.get("module"):
            try:
                importlib.import_module(module)
            except ImportError:
                logging.getLogger("tierdrill").exception("cannot import %s", module)
        path = provider.get("path")
        if path and "${" not in path and shutil.which(os.path.expanduser(path)) is None:  # noqa: PTH111
            logging.getLogger("tierdrill").error("cannot find the program %s", path)
    open_place(current_context().place)


@contextmanager
def _references(experiment: dict[str, Any]) -> Iterator[None]:
    """Let activities be played by `ref`, which the Runner alone does not see to."""
    cache_activities(experiment)
    try:
        yield
    finally:
        clear_cache()


def play(spec_path: Path) -> int:
    """Run the experiment of a spec file; 0 when its rollbacks were played, whatever it found."""
    spec = json.loads(spec_path.read_text(encoding="utf-8"))
    context = current_context()
    experiment = copy.deepcopy(spec["experiment"])
    # The runtime block is read by the chaos command only; ours is passed explicitly.
    experiment.pop("runtime", None)
    _load_extensions(experiment)
    context.emit(event("run.note", "experiment", text="ready"))
    line = sys.stdin.readline()
    if not line:
        return 0
    os.environ["TIERDRILL_INJECT_AT"] = line.strip()
    context = current_context()
    reporter = Reporter(context, spec, spec_path)
    runner = Runner(Strategy.from_string(spec.get("strategy", "default")))
    runner.register_event_handler(reporter)
    with _references(experiment):
        try:
            journal = runner.run(experiment, settings=copy.deepcopy(SETTINGS), experiment_vars=(spec["variables"], {}))
        except Exception as error:
            # A hypothesis probe that returned nothing, for example: Chaos Toolkit then ends without its rollbacks.
            logging.getLogger("tierdrill").exception("the experiment broke")
            reporter.note(f"the experiment broke: {type(error).__name__}: {error}")
            if reporter.configured and not reporter.undone:
                _play_rollbacks(experiment, runner.config, reporter)
            return 0 if reporter.undone else 1
    reporter.note(f"experiment {journal.get('status')} after {journal.get('duration') or 0.0:.1f} s")
    if journal.get("deviated") or (journal.get("status") in ("failed", "aborted")):
        reporter.note("the experiment's own hypothesis did not hold")
    return 0


def _play_rollbacks(experiment: dict[str, Any], configuration: dict[str, Any], handler: RunEventHandler) -> None:
    """Only the rollbacks, with the configuration as it was resolved then: asked again it might name another target."""
    rest = {key: value for key, value in experiment.items() if key != "steady-state-hypothesis"}
    rest = {**rest, "method": [], "configuration": configuration}
    runner = Runner(Strategy.SKIP)
    runner.register_event_handler(handler)
    runner.run(rest, settings=copy.deepcopy(SETTINGS), experiment_vars=({}, {}))


def undo(spec_path: Path) -> int:
    """Play the rollbacks of an experiment whose own child did not come to it."""
    spec = json.loads(spec_path.read_text(encoding="utf-8"))
    configuration = json.loads(sys.stdin.read())
    experiment = copy.deepcopy(spec["experiment"])
    with _references(experiment):
        _play_rollbacks(experiment, configuration, Undoer(spec, spec_path))
    return 0


def main() -> int:
    """Entry of the child process."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    arguments = [argument for argument in sys.argv[1:] if argument != "--rollbacks-only"]
    spec = Path(arguments[0]).resolve()
    try:
        return undo(spec) if "--rollbacks-only" in sys.argv else play(spec)
    except TargetError as error:
        sys.stderr.write(f"experiment: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
