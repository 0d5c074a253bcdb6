"""One cluster on this machine: its name, and the folders, ports and network namespaces that follow from it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .cgroups import Group

DEFAULT = "drill"
FIRST_PORT = 26400
PORTS = {"api": 43, "gateway": 80, "prometheus": 90, "alertmanager": 93}
"""Offsets of the loopback ports of one instance; those of the default instance start at FIRST_PORT."""
SERVICES = {
    "gateway": "serving/gateway",
    "prometheus": "monitoring/prometheus",
    "alertmanager": "monitoring/alertmanager",
}
"""The Services behind the ports, as `tierdrill kubernetes demo` names them."""
CONTROL_ADDRESS = "10.77.0.1"
SERVICE_NETWORK, FIRST_SERVICE = "10.96.0.0/16", "10.96.0.1"
POD_NETWORK = "10.244.0.0/16"
NODE_GRACE_S = 6
"""So long the control plane waits for a node that is silent."""


class RigError(Exception):
    """What the user is told, in one line."""


def cache() -> Path:
    """Where clusters and the programs that they run are kept."""
    home = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(home) / "tierdrill" / "cluster"


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Holds a lock of this machine; whoever comes second waits."""
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class Instance:
    """`TIERDRILL_CLUSTER` names it; several live beside each other without meeting."""

    name: str

    @classmethod
    def named(cls, name: str | None = None) -> Instance:
        name = name or os.environ.get("TIERDRILL_CLUSTER") or DEFAULT
        if not re.fullmatch("[a-z][a-z0-9]{0,11}", name):
            raise RigError(f"name of the cluster: got {name!r}, expected up to 12 lower-case letters and digits")
        return cls(name)

    @property
    def folder(self) -> Path:
        return cache() / "run" / self.name

    @property
    def kubeconfig(self) -> Path:
        """For programs of this machine: its server is the forwarded port on loopback."""
        return self.folder / "kubeconfig"

    @property
    def group(self) -> Group:
        return Group(f"tierdrill-{self.name}")

    @property
    def control_net(self) -> str:
        return f"td-{self.name}"

    @property
    def facts(self) -> dict[str, int]:
        """`slot` and `nodes`, as `up` has decided them, and `complete` once it is done; empty where nothing is up."""
        try:
            facts: dict[str, int] = json.loads((self.folder / "facts.json").read_text())
        except FileNotFoundError:
            return {}
        return facts

    def write_facts(self, facts: dict[str, int]) -> None:
        (self.folder / "facts.json").write_text(json.dumps(facts))

    def port(self, name: str) -> int:
        return FIRST_PORT + 100 * self.facts["slot"] + PORTS[name]

    def in_control_net(self, *argv: str) -> list[str]:
        return ["nsenter", f"--net=/run/netns/{self.control_net}", *argv]

    def ip(self, *arguments: str, check: bool = True) -> None:
        """`ip` in the control plane's network."""
        run(*self.in_control_net("ip", *arguments), check=check)


def run(*argv: str, check: bool = True) -> str:
    """Runs a program to its end and returns what it wrote; RigError with its last words where it fails."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if check and done.returncode:
        words = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise RigError(f"{' '.join(argv[:6])}: {words[-1]}")
    return done.stdout
