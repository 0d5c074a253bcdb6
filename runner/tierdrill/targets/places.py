"""From a place (plain data in the ledger) to something that can be faulted, proven and healed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from tierdrill.targets.base import FaultOrder, FaultPort, Inventory, Proof, TargetError


def open_place(place: dict[str, Any]) -> FaultPort:
    """The port of a place; TargetError for a kind of place this version does not know."""
    kind = place.get("target")
    if kind == "lab":
        from tierdrill.targets.lab import LabPort

        return LabPort(Path(place["home"]), place["lab"])
    if kind == "experiment":
        return ExperimentPlace(Path(place["spec"]))
    raise TargetError(f"found target {kind!r}; allowed are lab and experiment")


def the_running_lab(home: Path, named: str | None) -> dict[str, Any]:
    """The place of the lab that is up (the one named, where several are).

    TargetError tells what to do where none is.
    """
    from tierdrill.lab.state import running_labs

    labs = {state.name: state for state in running_labs(home)}
    if named is not None:
        if named not in labs:
            raise TargetError(
                f"no lab named {named!r} is up in {home}; allowed are: {', '.join(sorted(labs)) or 'none'}"
            )
        return {"target": "lab", "home": str(home), "lab": named}
    if len(labs) == 1:
        return {"target": "lab", "home": str(home), "lab": next(iter(labs))}
    if not labs:
        raise TargetError(f"no lab is up in {home}: `tierdrill lab up` starts one")
    raise TargetError(f"several labs are up ({', '.join(sorted(labs))}): name one in TIERDRILL_LAB")


class ExperimentPlace:
    """Where a stock experiment's own actions act: all that can be done from here is to play its rollbacks."""

    def __init__(self, spec: Path) -> None:
        self._spec = spec
        self._played = False

    def mechanisms(self) -> dict[str, str]:
        return {}

    def inventory(self) -> Inventory:
        raise TargetError("a stock experiment has no inventory")

    def bind(self, order: FaultOrder) -> FaultOrder:
        return order

    def inject(self, order: FaultOrder) -> None:
        raise TargetError("a stock experiment's fault is injected by its own action")

    def revert(self, order: FaultOrder) -> None:
        """Play the experiment's rollbacks in a child of its own."""
        done = subprocess.run(
            [sys.executable, "-m", "tierdrill.conductor.experiment_child", str(self._spec), "--rollbacks-only"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60.0,
            check=False,
        )
        if done.returncode != 0:
            raise TargetError(f"rollbacks failed: {done.stderr.decode(errors='replace')[-300:]}")
        self._played = True

    def landed(self, order: FaultOrder, since: float) -> Proof:
        return Proof(False, since, "", "only the experiment's own probes can tell")

    def gone(self, order: FaultOrder) -> Proof:
        import time

        detail = "its rollbacks were played" if self._played else "its rollbacks were not played"
        return Proof(self._played, time.time(), "the experiment's rollbacks", detail)
