"""A place to fault: an agent that takes our orders, a network of two hosts, and a pod as its cgroups look like.

All of it is in namespaces and cgroups of its own, as root or as an ordinary user.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "agent"
PEER, OTHER, PORT = "10.9.0.1", "10.9.0.3", 8080
WITHIN_S = 20.0


def until(look: Callable[[], Any], within_s: float = WITHIN_S) -> Any:
    """What `look` gives as soon as that is true."""
    give_up = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < give_up, f"not within {within_s} s"
        time.sleep(0.01)
    return found


def state_of(pid: int) -> str:
    """The process's letter in /proc; "" where it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0].strip("ZX")
    except OSError:
        return ""


class Refusal(Exception):
    """The agent refused an order."""


class Agent:
    """A running agent: `do` gives an order and waits for its answer, `events` are what it told besides."""

    def __init__(self, prefix: list[str], *arguments: str) -> None:
        command = [*prefix, sys.executable, "-I", "-B", str(PROGRAM), *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.events: list[dict[str, Any]] = []
        self._number = 0

    def do(self, name: str, **order: Any) -> dict[str, Any]:
        self._number += 1
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps({"id": self._number, "do": name, **order}) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            said = json.loads(line)
            if said.get("id") == self._number:
                if not said["ok"]:
                    raise Refusal(said["error"])
                return dict(said)
            self.events.append(said)
        raise AssertionError("the agent ended without an answer")

    def bind(self, kind: str, target: dict[str, Any], fault: str = "", **parameters: Any) -> dict[str, Any]:
        name = fault or f"run-1/{kind}/{uuid.uuid4().hex[:6]}"
        record = self.do("bind", fault=name, kind=kind, target=target, parameters=parameters)["record"]
        assert record["fault"] == name
        return dict(record)

    def inject(self, kind: str, target: dict[str, Any], fault: str = "", **parameters: Any) -> dict[str, Any]:
        """Bind and inject; the record."""
        record = self.bind(kind, target, fault, **parameters)
        self.do("inject", record=record)
        return record

    def seen(self, record: dict[str, Any]) -> bool:
        return bool(self.do("look", record=record)["seen"])

    def revert(self, record: dict[str, Any]) -> str:
        return str(self.do("revert", record=record)["outcome"])

    def probe(self, target: dict[str, Any], to: str = PEER, within_s: float = 0.5, **more: Any) -> dict[str, Any]:
        wanted = [{"to": f"{to}:{PORT}", **more}]
        return dict(self.do("probe", target=target, probes=wanted, within_s=within_s)["results"][0])

    def hang_up(self) -> int:
        """Its standard input ends; its exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(WITHIN_S)


Start = Callable[..., Agent]


@pytest.fixture
def start_agent() -> Iterator[Start]:
    """Starts agents; each is armed and may be given the beginning of a command that it is run with."""
    started: list[Agent] = []

    def start(prefix: list[str] | None = None, lease_s: float = 60.0, journal: Path | None = None) -> Agent:
        started.append(agent := Agent(prefix or []))
        agent.earlier = agent.do("arm", lease_s=lease_s, journal=str(journal or ""))["undone"]  # type: ignore[attr-defined]
        return agent

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
        one.process.wait()
        for pipe in (one.process.stdin, one.process.stdout):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def agent(start_agent: Start) -> Agent:
    return start_agent()


class TwoHosts:
    """A host `target`, and PEER and OTHER, which serve HTTP; commands and agents with `prefix` see them."""

    def __init__(self, kept: ExitStack) -> None:
        me = [] if os.getuid() == 0 else ["-Ur"]
        self.host = self._hold(kept, ["unshare", *me, "-mn"])
        users = [] if os.getuid() == 0 else ["-U", "--preserve-credentials"]
        self.prefix = ["nsenter", "-t", str(self.host), *users, "-m", "-n"]
        self.pod = self._hold(kept, [*self.prefix, "unshare", "-n"])
        self.target = {"pid": self.pod}
        for command in (
            "ip link set lo up",
            f"ip link add host0 type veth peer name eth0 netns {self.pod}",
            f"ip addr add {PEER}/24 dev host0",
            f"ip addr add {OTHER}/24 dev host0",
            "ip link set host0 up",
        ):
            self.run(command)
        for command in ("ip link set lo up", "ip addr add 10.9.0.2/24 dev eth0", "ip link set eth0 up"):
            self.run(command, inside=True)
        server = (
            "from http.server import *; ThreadingHTTPServer.request_queue_size = 128;"
            "ThreadingHTTPServer(('', 8080), SimpleHTTPRequestHandler).serve_forever()"
        )
        self._start(kept, [*self.prefix, sys.executable, "-I", "-c", server], cwd="/proc/self/net")
        until(lambda: "1F90" in self.run("cat /proc/net/tcp"))

    def _start(self, kept: ExitStack, command: list[str], **more: Any) -> subprocess.Popen[str]:
        quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True, **more}
        process = subprocess.Popen(command, **quiet)
        kept.callback(process.wait)
        kept.callback(process.kill)
        assert process.stdout is not None
        kept.callback(process.stdout.close)
        return process

    def _hold(self, kept: ExitStack, command: list[str]) -> int:
        """A process that keeps new namespaces."""
        process = self._start(kept, [*command, "sh", "-c", "echo here; exec sleep 1000"])
        assert process.stdout is not None
        if process.stdout.readline() != "here\n":
            pytest.skip(f"no namespaces to be had here: {' '.join(command)} fails")
        return process.pid

    def run(self, command: str, *, inside: bool = False, check: bool = True) -> str:
        prefix = [*self.prefix, "nsenter", "-t", str(self.pod), "-n"] if inside else self.prefix
        done = subprocess.run([*prefix, *command.split()], capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout


@pytest.fixture
def two_hosts() -> Iterator[TwoHosts]:
    with ExitStack() as kept:
        yield TwoHosts(kept)


class Pod:
    """Processes in cgroups named as a kubelet does it: `main` is process 1 of its container, `child` its child."""

    def __init__(self, root: Path, kept: ExitStack) -> None:
        self.uid = str(uuid.uuid4())
        self.container, self.sidecar = uuid.uuid4().hex * 2, uuid.uuid4().hex * 2
        self.folder, self._kept = root / "kubepods" / "besteffort" / f"pod{self.uid}", kept
        self.target = {"pod": self.uid, "container": self.container}
        self.beside = self.start(self.sidecar)
        self.main = self.start(self.container)
        self.child = int(until(lambda: Path(f"/proc/{self.main}/task/{self.main}/children").read_text().split())[0])

    def start(self, container: str) -> int:
        """A container with a shell and its child, in a PID namespace of its own; the shell's pid."""
        folder = self.folder / container
        folder.mkdir(parents=True, exist_ok=True)
        shell = "while :; do sleep 1000 & wait; done"
        command = ["sh", "-c", f"echo $$ > {folder}/cgroup.procs && exec unshare -pf --kill-child sh -c '{shell}'"]
        process = subprocess.Popen(command, start_new_session=True)
        self._kept.callback(process.wait)
        self._kept.callback(process.kill)
        return int(until(lambda: Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())[0])


def cgroup_root() -> Path | None:
    """A hierarchy in which we may make cgroups, of version 2 or 1."""
    roots = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/pids", "/sys/fs/cgroup/systemd")
    return next((Path(one) for one in roots if os.access(f"{one}/cgroup.procs", os.W_OK)), None)


@contextmanager
def pod_in(root: Path) -> Iterator[Pod]:
    """A pod for as long as it is needed."""
    ours = root / f"tierdrill-test-{uuid.uuid4().hex[:8]}"
    try:
        with ExitStack() as kept:
            yield Pod(ours, kept)
    finally:
        for folder in sorted((one for one in ours.rglob("*") if one.is_dir()), reverse=True):
            until(lambda folder=folder: not (folder / "cgroup.procs").read_text())
            folder.rmdir()
        ours.rmdir()


@pytest.fixture
def pod() -> Iterator[Pod]:
    root = cgroup_root()
    if root is None or os.getuid() != 0:
        pytest.skip("no cgroup of our own can be made here: that needs root")
    with pod_in(root) as found:
        yield found


@pytest.fixture
def sleeper() -> Iterator[int]:
    """A process of ours that may be stopped and killed."""
    process = subprocess.Popen(["sleep", "1000"])
    yield process.pid
    process.send_signal(signal.SIGKILL)
    process.wait()
