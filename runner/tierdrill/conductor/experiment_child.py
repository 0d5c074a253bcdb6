"""The experiment child: Chaos Toolkit's Runner in a main thread of its own, its progress as events on a pipe.

Started as `python -m tierdrill.conductor.experiment_child SPEC.json` with TIERDRILL_EVENTS_FD set. It loads everything,
says ready, waits for a line on stdin, then runs. With --rollbacks-only it undoes what an earlier child left, whose
configuration it reads from stdin, and writes what came of it beside the spec. Rollbacks are always played, the host's
Chaos Toolkit settings are not read, and nothing here decides anything: outcomes become events. Faults of tierdrill's
own extension write their own events; those of anybody else's are in stock_faults.py.
"""

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
from chaoslib.types import Schedule, Strategy

from tierdrill.chaos import ACTIONS_MODULE
from tierdrill.chaos.context import Context, current_context
from tierdrill.conductor.stock_faults import ForeignFaults, Proofs, probes_of, went_wrong
from tierdrill.conductor.stock_witness import SEEN_CHARACTERS
from tierdrill.history.events import event
from tierdrill.history.kinds.run_kinds import ExperimentHypothesis, ExperimentRollbacks, RunNote
from tierdrill.history.payload import Payload
from tierdrill.redaction import LOG_FORM, hide_in_log
from tierdrill.targets.base import TargetError
from tierdrill.targets.experiment import Undoing, experiment_place
from tierdrill.targets.target_registry import open_place
from tierdrill.text import plural

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
        self.asking: str | None = None
        self.refused: Any = None
        self.looks = self.misses = 0
        self.played = 0
        self.failed: list[dict[str, Any]] = []

    def note(self, text: str) -> None:
        self.context.emit(event(RunNote(text=self.proofs.hide(text)[:NOTE_CHARACTERS]), "experiment"))

    def started(self, experiment: Any, journal: Any) -> None:
        # Chaos Toolkit's own handler of SIGTERM is swallowed inside an action, and SIGHUP has none.
        for number in ENDING:
            signal.signal(number, _leave)

    def running(
        self, experiment: Any, journal: Any, configuration: Any, secrets: Any, schedule: Any, settings: Any
    ) -> None:
        self.proofs.learn(configuration, secrets)
        self.configured = True
        self.faults.place = experiment_place(self.spec_path, self.context.run, self.context.place, configuration)

    def start_hypothesis_before(self, experiment: Any) -> None:
        self.asking = "before"

    def hypothesis_before_completed(self, experiment: Any, state: Any, journal: Any) -> None:
        self._tell_hypothesis("before", state)

    def start_hypothesis_after(self, experiment: Any) -> None:
        self.asking = "after"

    def hypothesis_after_completed(self, experiment: Any, state: Any, journal: Any) -> None:
        self._tell_hypothesis("after", state)

    def continuous_hypothesis_iteration(self, iteration_index: int, state: Any) -> None:
        if state is None:
            return
        self.looks += 1
        self.misses += not state["steady_state_met"]
        if not state["steady_state_met"] and self.misses == 1:
            self._tell_hypothesis("during", state)

    def continuous_hypothesis_completed(self, experiment: Any, journal: Any, exception: Any = None) -> None:
        if exception is not None:
            self.tell_no_answer("during", exception)
        elif self.looks and not self.misses:
            self._tell(ExperimentHypothesis(when="during", met=True, probe="", seen=f"at all of {self.looks} looks"))

    def _tell_hypothesis(self, when: str, state: Any) -> None:
        if when != "during":
            self.asking = None
        if state is None:
            return
        last = state["probes"][-1]
        probe, met = str(last["activity"].get("name", "")), bool(state["steady_state_met"])
        seen = f"{plural(len(state['probes']), 'probe')} within tolerance" if met else self._shortcoming(last)
        self._tell(ExperimentHypothesis(when=when, met=met, probe="" if met else probe, seen=seen))

    def tell_no_answer(self, when: str, error: BaseException) -> None:
        """The hypothesis could not be told: a probe returned what its tolerance cannot be held against."""
        seen = self.proofs.hide(f"it could not be measured: {type(error).__name__}: {error}")[:SEEN_CHARACTERS]
        self._tell(ExperimentHypothesis(when=when, met=None, probe="", seen=seen))

    def _tell(self, said: Payload) -> None:
        self.context.emit(event(said, "experiment"))

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
            self.refused = activity
            with suppress(OSError):
                self.note(f"action {activity.get('name')} was not executed: {error}")
            raise SystemExit(LEAVE_NOW) from error

    def activity_completed(self, activity: Any, run: Any) -> None:
        name, status = str(activity.get("name", "")), run.get("status", "interrupted")
        try:
            if status != "succeeded" or (not self.in_method and went_wrong(activity, run, self.proofs)):
                self._tell_failure(activity, status, run)
            self.played += not self.in_method
            if self.in_method and name in self.faults and activity is not self.refused:
                self.faults.acted(name, status)
        finally:
            if self.in_method and "status" not in run:
                # It was interrupted, or raised what Chaos Toolkit does not expect. Left alone, the Runner would sleep
                # through the pause that follows, or lose the rollbacks.
                raise SystemExit(LEAVE_NOW)

    def _tell_failure(self, activity: Any, status: str, run: Any) -> None:
        name = str(activity.get("name", ""))
        pending = sys.exc_info()[1]
        raised = f"{type(pending).__name__}: {pending}" if pending is not None else "no reason given"
        if status == "succeeded":
            status, raised = "failed", f"it returned {run.get('output')!r}"
        error = self.proofs.hide(str((run.get("exception") or [raised])[-1]).strip())
        if not self.in_method:
            own = activity.get("provider", {}).get("module") == ACTIONS_MODULE
            self.failed.append({"activity": name, "seen": error[:SEEN_CHARACTERS], "own": own})
        self.note(f"activity {name}: {status}: {error}")

    def start_rollbacks(self, experiment: Any) -> None:
        self.in_method = False
        for number in ENDING:
            signal.signal(number, _go_on)
        self.failed, self.played = [], 0
        self.faults.close()
        self.undoing.begin()

    def rollbacks_completed(self, experiment: Any, journal: Any) -> None:
        failed, played = self.failed, self.played
        try:
            self.undoing.finish(time.time(), [one["activity"] for one in failed], self.faults.undone())
        finally:
            self.undoing.release()
        if played:
            self._tell(ExperimentRollbacks(played=played, failed=failed))
        self.undone = True

    def _shortcoming(self, run: Any) -> str:
        """Why a probe of the hypothesis did not hold: what it returned or raised, and its tolerance."""
        activity, hide = run["activity"], self.proofs.hide
        if run.get("status") != "succeeded":
            raised = str((run.get("exception") or ["nothing"])[-1]).strip()
            return hide(f"{activity.get('name')} raised {raised}")[:SEEN_CHARACTERS]
        wanted = hide(f"; its tolerance is {activity.get('tolerance')!r}")
        returned = hide(f"{activity.get('name')} returned {run.get('output')!r}")
        return returned[: max(0, SEEN_CHARACTERS - len(wanted))] + wanted


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
        self.proofs.learn(configuration, secrets)

    def activity_completed(self, activity: Any, run: Any) -> None:
        if went_wrong(activity, run, self.proofs):
            self.failed.append(str(activity.get("name", "")))

    def rollbacks_completed(self, experiment: Any, journal: Any) -> None:
        said = {activity: self.proofs.gone(activity) for activity in self.activities}
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
    # The runtime block is read by the chaos command only: its rollbacks are always played here, its hypothesis is
    # asked when it says.
    strategy = _strategy(experiment.pop("runtime", None))
    _load_extensions(experiment)
    context.emit(event(RunNote(text="ready"), "experiment"))
    line = sys.stdin.readline()
    if not line:
        return 0
    os.environ["TIERDRILL_INJECT_AT"] = line.strip()
    context = current_context()
    reporter = Reporter(context, spec, spec_path)
    hide_in_log(reporter.proofs.hide)
    runner = Runner(strategy, Schedule())
    runner.register_event_handler(reporter)
    with _references(experiment):
        try:
            journal = runner.run(experiment, settings=copy.deepcopy(SETTINGS), experiment_vars=(spec["variables"], {}))
        except Exception as error:
            # A hypothesis probe that returned nothing, for example: Chaos Toolkit then ends without its rollbacks.
            logging.getLogger("tierdrill").exception("the experiment failed")
            reporter.note(f"the experiment failed: {type(error).__name__}: {error}")
            if reporter.asking is not None:
                reporter.tell_no_answer(reporter.asking, error)
            if reporter.configured and not reporter.undone:
                _play_rollbacks(experiment, runner.config, reporter)
            return 0 if reporter.undone else 1
    reporter.note(f"experiment {journal.get('status')} after {journal.get('duration') or 0.0:.1f} s")
    return 0


def _strategy(runtime: Any) -> Strategy:
    """When the experiment wants its hypothesis asked, as the chaos command reads it."""
    hypothesis = runtime.get("hypothesis") if isinstance(runtime, dict) else None
    named = hypothesis.get("strategy") if isinstance(hypothesis, dict) else None
    try:
        return Strategy.from_string("continuously" if named == "continously" else named or "default")
    except ValueError:
        return Strategy.DEFAULT


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
    undoer = Undoer(spec, spec_path)
    hide_in_log(undoer.proofs.hide)
    with _references(experiment):
        try:
            _play_rollbacks(experiment, configuration, undoer)
        except Exception:
            # Not left to Python, which writes what it likes.
            logging.getLogger("tierdrill").exception("the rollbacks failed")
            return 1
    return 0


def main() -> int:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format=LOG_FORM)
    arguments = [argument for argument in sys.argv[1:] if argument != "--rollbacks-only"]
    spec = Path(arguments[0]).resolve()
    try:
        return undo(spec) if "--rollbacks-only" in sys.argv else play(spec)
    except TargetError as error:
        sys.stderr.write(f"experiment: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
