"""A stock experiment as a place: where its own actions act, only its own rollbacks can undo.

Whoever undoes (the experiment's child, the runner, the reaper, `recover`) does so under one lock, and writes down what
came of it beside the spec file; so rollbacks that were played and proven are not played once more by the next.
"""

import contextlib
import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tierdrill.history.ledger import Ledger, LedgerError
from tierdrill.process.groups import kill_group
from tierdrill.process.programs import Program, program, user_environment
from tierdrill.process.safe_files import take_lock, write_private
from tierdrill.process.spawn import start
from tierdrill.targets.base import FaultOrder, Inventory, Mechanism, Proof, TargetError

ROLLBACKS_WITHIN_S = 60.0
KILLED_WITHIN_S = 5.0
LOCK_WITHIN_S = 20.0
# What a later process needs to find the same programs and modules. No more of the environment is kept: it has secrets.
KEPT = ("PATH", "PYTHONPATH")


def experiment_place(
    spec: Path, run: str, around: Mapping[str, Any], configuration: Mapping[str, Any]
) -> dict[str, Any]:
    """All that a later process needs to play the rollbacks. The values go to a file beside the spec that only its owner
    can read, not on the ledger: they may be secret.

    `around` is the place of the deployment; values that are no JSON are left out.
    """
    known = {name: value for name, value in configuration.items() if _is_json(value)}
    write_private(_values_of(spec), json.dumps(known))
    return {
        "target": "experiment",
        "spec": str(spec),
        "run": run,
        "home": os.environ.get("TIERDRILL_HOME", ""),
        "around": dict(around),
        "folder": str(Path.cwd()),
        "environment": {name: os.environ[name] for name in KEPT if name in os.environ},
    }


def _values_of(spec: Path) -> Path:
    return spec.with_suffix(".values")


def forget_values(spec: Path) -> None:
    """Nothing of the experiment is left to undo: nobody needs its values any more."""
    with contextlib.suppress(OSError):
        _values_of(spec).unlink()


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


class Undoing:
    """One undoing at a time, and the record of the last one: when, which rollbacks failed, what the probes said."""

    def __init__(self, spec: Path) -> None:
        self._lock_path = spec.with_suffix(".undoing")
        self._record_path = spec.with_suffix(".undone")
        self._held: int | None = None

    def begin(self, within_s: float = LOCK_WITHIN_S) -> bool:
        """Take the lock; False if somebody else kept it for so long."""
        self._held = take_lock(self._lock_path, within_s)
        return self._held is not None

    @property
    def held(self) -> int | None:
        """The lock's descriptor while it is held; a child that inherits it holds it too."""
        return self._held

    def release(self) -> None:
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def finish(self, at: float, failed: list[str], gone: Mapping[str, Proof]) -> None:
        """Write down that the rollbacks were played, and what those said who were asked."""
        said = {
            name: {"met": proof.seen, "at": proof.at, "seen": proof.detail, "witness": proof.witness}
            for name, proof in gone.items()
            if proof.witness
        }
        write_private(self._record_path, json.dumps({"at": at, "failed": failed, "gone": said}))

    def last(self) -> dict[str, Any] | None:
        """The record of the last undoing."""
        try:
            record: dict[str, Any] = json.loads(self._record_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return record


class ExperimentPlace:
    """Where a stock experiment's own actions act: all that can be done from here is to play its rollbacks."""

    def __init__(self, place: Mapping[str, Any]) -> None:
        self._place = place
        self._spec = Path(place["spec"])
        self._undoing = Undoing(self._spec)
        self._proof: Proof | None = None

    def mechanisms(self) -> Mapping[str, Mechanism]:
        return {}

    def inventory(self) -> Inventory:
        raise TargetError("a stock experiment has no inventory")

    def bind(self, order: FaultOrder) -> FaultOrder:
        return order

    def inject(self, order: FaultOrder) -> None:
        raise TargetError("a stock experiment's fault is injected by its own action")

    def landed(self, order: FaultOrder, since: float) -> Proof:
        return Proof(False, since, "", "only the experiment's own probes can show it")

    def gone(self, order: FaultOrder) -> Proof:
        return self._proof or Proof(False, time.time(), "", "its rollbacks were not played")

    def revert(self, order: FaultOrder) -> None:
        """Play the experiment's rollbacks in a child of its own, unless that has been done and it helped."""
        if not self._spec.is_file():
            raise TargetError(f"{self._spec} is missing, and with it the rollbacks of {order.fault}")
        if not self._undoing.begin():
            raise TargetError("another process is still running its rollbacks")
        try:
            intended_at = self._open_since(order.fault)
            if intended_at is None:
                self._proof = Proof(True, time.time(), "the ledger", "another process has undone it")
                return
            record = self._undoing.last()
            if record is not None and record["at"] >= intended_at:
                self._proof = proof_in(record, order.target)
                if self._proof.seen:
                    return
            began = time.time()
            self._end_orphans()
            self._play()
            record = self._undoing.last()
            if record is None or record["at"] < began:
                raise TargetError("its rollbacks ended without a word")
            self._proof = proof_in(record, order.target)
            if not record["failed"] and all(said["met"] for said in record["gone"].values()):
                forget_values(self._spec)
        finally:
            self._undoing.release()

    def _open_since(self, fault: str) -> float | None:
        try:
            ledger = Ledger(Path(self._place["home"]))
            try:
                entries = ledger.open_faults(self._place["run"])
            finally:
                ledger.close()
        except LedgerError as error:
            raise TargetError(str(error)) from error
        return next((entry.intended_at for entry in entries if entry.id == fault), None)

    def _end_orphans(self) -> None:
        """End what a dead experiment child has left running: a program that still injects would undo the undoing."""
        ledger = Ledger(Path(self._place["home"]))
        try:
            children = [one for one in ledger.processes(self._place["run"]) if one.role == "experiment"]
        finally:
            ledger.close()
        for child in children:
            if child.pgid == child.pid and not child.process.lives():
                kill_group(child.pgid, child.process)

    def _play(self) -> None:
        environment = {
            **user_environment(),
            **self._place["environment"],
            "TIERDRILL_HOME": self._place["home"],
            "TIERDRILL_RUN": self._place["run"],
            "TIERDRILL_PLACE": json.dumps(self._place["around"]),
        }
        # The pipe to the runner was another child's.
        environment.pop("TIERDRILL_EVENTS_FD", None)
        folder = Path(self._place["folder"])
        held = self._undoing.held
        log_path = self._spec.with_suffix(".undo.log")
        try:
            child = start(
                program(Program.EXPERIMENT, self._spec, "--rollbacks-only"),
                log_path,
                stdin=True,
                cwd=folder if folder.is_dir() else self._spec.parent,
                env=environment,
                pass_fds=() if held is None else (held,),
                session=True,
                outlives=True,
            )
        except OSError as error:
            raise TargetError(f"its rollbacks cannot be played: {error}") from error
        code = child.feed(self._values().encode(), ROLLBACKS_WITHIN_S)
        if code is None:
            child.signal_group(signal.SIGKILL)
            child.wait(KILLED_WITHIN_S)
            raise TargetError(f"its rollbacks took longer than {ROLLBACKS_WITHIN_S:g} s")
        if code != 0:
            raise TargetError(f"its rollbacks ended with {code}: {child.log_tail()[-300:]}")

    def _values(self) -> str:
        """The configuration as it was resolved then, as JSON; an older ledger has it in the place itself."""
        if "configuration" in self._place:
            return json.dumps(self._place["configuration"])
        try:
            return _values_of(self._spec).read_text(encoding="utf-8")
        except OSError as error:
            why = f"{error.filename}: {error.strerror}"
            raise TargetError(f"{why}: without its values nothing can be undone") from error


def proof_in(record: Mapping[str, Any], activity: str) -> Proof:
    """What a record says of an activity's fault.

    Where the drill names no probe, rollbacks that were all played without an error must do for the ledger: such a fault
    has not been proven to land either, so its run is inconclusive whatever is believed here.
    """
    said = record["gone"].get(activity)
    failed = ", ".join(record["failed"])
    if said is not None:
        seen = f"{said['seen']}; rollbacks failed: {failed}" if failed else str(said["seen"])
        return Proof(bool(said["met"]), float(said["at"]), str(said["witness"]), seen)
    seen = f"rollbacks failed: {failed}" if failed else "its rollbacks ran; no probe is named that could verify it"
    return Proof(not failed, float(record["at"]), "the experiment's rollbacks", seen)
