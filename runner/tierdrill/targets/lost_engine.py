"""A playbook engine that is lost, wherever the deployment is: the run that has it is told so by a file, and says by
another what became of it.
"""

import contextlib
import json
import time
from pathlib import Path
from typing import Any

from tierdrill.home import run_folder
from tierdrill.process.identity import read_identity
from tierdrill.process.safe_files import write_private
from tierdrill.targets.base import Mechanism, Proof, TargetError

ORDER_FILE, STATE_FILE = "engine-order.json", "engine-state.json"
LANDED_WITHIN_S = 25.0
"""It is killed in a step, so an alert must fire and a playbook come so far first."""
MECHANISM = Mechanism(
    "the engine's tasks are ended where they are, and what it reaches is cut off; a new one reads the history",
    emulated=True,
    landed_within_s=LANDED_WITHIN_S,
)
WITNESS = "the run that has the engine"

Parameters = dict[str, Any]


def bind(home: Path, p: Parameters) -> Parameters:
    """Where the run is told; TargetError where no engine works in it."""
    folder = run_folder(home, str(p["fault"]).partition("/")[0])
    if not read(folder / STATE_FILE).get("works"):
        raise TargetError("no playbook engine works in this run")
    return {"folder": str(folder)}


def lose(p: Parameters) -> None:
    order = {"fault": p["fault"], "step": p["step"], "seconds": p["seconds"]}
    write_private(Path(p["folder"]) / ORDER_FILE, json.dumps(order))


def restore(p: Parameters) -> None:
    """An order that is taken back is over, whether or not it was carried out."""
    with contextlib.suppress(FileNotFoundError):
        (Path(p["folder"]) / ORDER_FILE).unlink()


def landed(p: Parameters) -> Proof:
    state = read(Path(p["folder"]) / STATE_FILE)
    killed = state.get("killed_by") == p["fault"]
    told = f"it was killed in {p['step']}" if killed else f"no step has done {p['step']} yet"
    return Proof(killed, float(state["killed_at"]) if killed else time.time(), WITNESS, told)


def gone(p: Parameters) -> Proof:
    """A run that has died takes its engine along, whichever it was."""
    state = read(Path(p["folder"]) / STATE_FILE)
    works, died = bool(state.get("works")), _has_died(state)
    told = "the run has died, and its engine with it" if died else "an engine works" if works else "no engine works"
    taken_back = not (Path(p["folder"]) / ORDER_FILE).exists()
    return Proof((works or died) and taken_back, time.time(), WITNESS, told)


def _has_died(state: dict[str, Any]) -> bool:
    """Whether the process that wrote a state has ended."""
    runner = read_identity(state["runner"]) if "runner" in state else None
    return runner is not None and runner.visible() and not runner.lives()


def read(path: Path) -> dict[str, Any]:
    """What a file says; nothing where there is none, or half of one."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
