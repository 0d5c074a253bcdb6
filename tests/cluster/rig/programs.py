"""Starts and ends the programs of one cluster. Each writes its own pid and joins its control group before it begins."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from .cgroups import Group, hierarchies
from .instance import Instance, RigError

BEGIN = """
pid_file=$1 group=$2; shift 2
while [ "$1" != -- ]; do echo $$ >"$1/$group/cgroup.procs" || exit 1; shift; done; shift
echo $$ >"$pid_file"; exec "$@"
"""


class Programs:
    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.pids = instance.folder / "pids"
        self.orders = instance.folder / "orders"
        self.logs = instance.folder / "log"

    def start(self, name: str, argv: Sequence[str], group: Group, sockets: Sequence[int] = ()) -> None:
        """In the background, with its output in a log of its name. `sockets` are file descriptors that it inherits."""
        group.make()
        for folder in (self.pids, self.orders, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
        (self.orders / name).write_text(json.dumps({"argv": list(argv), "group": group.path, "sockets": len(sockets)}))
        (self.pids / name).unlink(missing_ok=True)
        begin = ["sh", "-c", BEGIN, "sh", str(self.pids / name), group.path, *map(str, hierarchies()), "--", *argv]
        with (self.logs / name).open("ab") as log:
            begun = subprocess.Popen(
                begin,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=sockets,
                cwd="/",
            )
        wait_until(lambda: self.pid(name) is not None or begun.poll() is not None, 10, f"start of {name}")

    def restart(self, name: str) -> None:
        """Starts one again that was ended, with the arguments it had."""
        order = self._order(name)
        if self.alive(name):
            raise RigError(f"{name} runs already, with pid {self.pid(name)}")
        if order["sockets"] or name.startswith("node-"):
            raise RigError(f"{name} cannot be started alone")
        self.start(name, order["argv"], Group(order["group"]))

    def _order(self, name: str) -> dict[str, Any]:
        try:
            order: dict[str, Any] = json.loads((self.orders / name).read_text())
        except FileNotFoundError:
            known = ", ".join(sorted(path.name for path in self.orders.glob("*"))) or "none: the cluster is down"
            raise RigError(f"program: got {name!r}, expected one of {known}") from None
        return order

    def pid(self, name: str) -> int | None:
        try:
            return int((self.pids / name).read_text())
        except (FileNotFoundError, ValueError):
            return None

    def alive(self, name: str) -> bool:
        """Whether it runs: its pid is one of this cluster's, and not somebody else's since."""
        return self.pid(name) in self.instance.group.pids()

    def end(self, name: str, within_s: float = 10.0) -> None:
        """SIGKILL, and waits until it is gone."""
        self._order(name)
        pid = self.pid(name)
        if pid is None or not self.alive(name):
            raise RigError(f"{name} does not run")
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not self.alive(name), within_s, f"end of {name}")

    def last_words(self, name: str) -> str:
        """The last line of its log, for messages."""
        try:
            lines = (self.logs / name).read_text(errors="replace").strip().splitlines()
        except FileNotFoundError:
            lines = []
        return f"{lines[-1][:300] if lines else 'no output'} ({self.logs / name})"


def wait_until(true: Callable[[], bool], within_s: float, what: str) -> None:
    """Asks every 50 ms: for what tells nobody when it happens. RigError when the time is over."""
    end = time.monotonic() + within_s
    while not true():
        if time.monotonic() > end:
            raise RigError(f"{what}: not within {within_s:g} s")
        time.sleep(0.05)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
