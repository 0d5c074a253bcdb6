"""The command lines of tierdrill's own programs: what they may import, and which variables they get.

Its own programs import nothing from the working directory, which is anybody's. What runs nothing of the user's (the
lab, the load) gets a few named variables and a home without anybody's dotfiles. What runs the user's experiments
gets the user's environment, but never the secrets of channels and tools.
"""

import os
import sys
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

_KEPT = ("PATH", "LANG", "LANGUAGE", "TZ", "TMPDIR", "USER", "LOGNAME", "LD_LIBRARY_PATH")
_KEPT_LIKE = ("LC_", "TIERDRILL_")
_ROOT = Path(__file__).resolve().parents[2]
_withheld: set[str] = set()


class Program(StrEnum):
    """Every module that is started as a program: what starts one depends on it as by an import."""

    TIERDRILL = "tierdrill"
    REAPER = "tierdrill.recovery.reaper"
    EXPERIMENT = "tierdrill.conductor.experiment_child"
    EXTENSION_CHECK = "tierdrill.documents.reading.chaoslib_check"
    SUPERVISOR = "tierdrill.lab.supervisor.supervisor_program"
    CONTROLLER = "tierdrill.lab.controller.controller_program"
    FABRIC = "tierdrill.lab.network.network_program"
    NAMESPACES = "tierdrill.lab.network.namespaces_program"
    FEED = "tierdrill.lab.feed.feed_program"
    GPU_EXPORTER = "tierdrill.lab.node.gpu_exporter"
    GATEWAY = "tierdrill.lab.gateway.gateway_program"
    NODE = "tierdrill.lab.node.node_program"
    REPLICA = "tierdrill.lab.replica.replica_program"
    STORE = "tierdrill.lab.store.store_program"
    POWER_CYCLE = "tierdrill.targets.kubernetes.power"
    LOAD_JOBS = "tierdrill.targets.kubernetes.cluster_load"
    LOAD_POD = "tierdrill.load.load_pod"
    LOCUST = "locust"


def program(module: Program, *arguments: str | Path) -> list[str]:
    """Its command line: this interpreter, nothing imported from the working directory."""
    return [sys.executable, "-P", "-m", module.value, *map(str, arguments)]


def withhold(names: Iterable[str]) -> None:
    """From now on these variables of the environment, which hold secrets, are handed to no child."""
    _withheld.update(names)


def bare_environment(home: Path) -> dict[str, str]:
    """For a program that runs nothing of the user's: a few variables, and a folder of its own as HOME."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if (name in _KEPT or name.startswith(_KEPT_LIKE)) and name not in _withheld
    }
    # Of the places where modules are looked for only the one that tierdrill itself came from.
    path = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part and _is_root(part)]
    return {**kept, "HOME": str(home), **({"PYTHONPATH": os.pathsep.join(path)} if path else {})}


def _is_root(folder: str) -> bool:
    return Path(folder).resolve() == _ROOT


AUTHOR = "TIERDRILL_AUTHOR"
"""Who acts, where that is somebody else than the user of the process: a person on the dashboard, a facilitator."""


def user_environment(without: Iterable[str] = (), author: str = "") -> dict[str, str]:
    """For a program that runs the user's: this process's environment, but for withheld variables and `without`. With
    `author` it acts under that name.
    """
    secret = {*_withheld, *without}
    known = {name: value for name, value in os.environ.items() if name not in secret}
    return {**known, AUTHOR: author} if author else known
