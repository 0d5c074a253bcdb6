"""The command in a process forked from one that has imported what most commands need: half of a start is importing.

One such process is started per process of tests. A fork of it becomes the command: its arguments, working directory,
environment and standard streams are those it is given, and it ends as `python -m tierdrill` does.
"""

from __future__ import annotations

import gc
import importlib
import io
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
IMPORTED = (
    "icalendar",
    "rich.console",
    "tierdrill.cli.commands.plan",
    "tierdrill.cli.commands.prove",
    "tierdrill.conductor.run",
    "tierdrill.documents.catalogue_reader",
    "tierdrill.judge.judge",
    "tierdrill.targets.lab.session",
    "tierdrill.targets.target_registry",
)
AT_START = ("LANG", "LC_", "MALLOC", "PYTHON", "TZ")
"""What begins the names of variables that a process reads when it is started: too late for a fork."""
STARTED_WITH = {name: value for name, value in os.environ.items() if not name.startswith("TIERDRILL_")}
ORDER_BYTES_MAX = 1 << 20
READY = b"ready"


def takes(environment: dict[str, str]) -> bool:
    """Whether a fork would run with this environment as a process that is started with it."""
    return {name: value for name, value in environment.items() if name.startswith(AT_START)} == {
        name: value for name, value in STARTED_WITH.items() if name.startswith(AT_START)
    }


def run(arguments: list[str], cwd: Path, environment: dict[str, str], timeout: float) -> tuple[int, str, str]:
    """The command's exit code, standard output and standard error; subprocess.TimeoutExpired, and it is killed."""
    server, _ = _server()
    deadline = time.monotonic() + timeout
    answer, told = socket.socketpair()
    (out, out_end), (err, err_end) = os.pipe(), os.pipe()
    order = json.dumps({"arguments": arguments, "cwd": str(cwd), "environment": environment}).encode()
    try:
        socket.send_fds(server, [order], [told.fileno(), out_end, err_end])
    finally:
        told.close()
        os.close(out_end)
        os.close(err_end)
    parts: dict[int, bytearray] = {one: bytearray() for one in (out, err, answer.fileno())}
    with answer, os.fdopen(out, "rb"), os.fdopen(err, "rb"), selectors.DefaultSelector() as selector:
        for one in parts:
            selector.register(one, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(deadline - time.monotonic())
            if not ready and time.monotonic() >= deadline:
                pid = parts[answer.fileno()] or answer.recv(32)
                os.kill(int(pid.split()[0]), signal.SIGKILL)
                raise subprocess.TimeoutExpired(["tierdrill", *arguments], timeout)
            for key, _ in ready:
                if read := os.read(key.fd, 1 << 16):
                    parts[key.fd] += read
                else:
                    selector.unregister(key.fd)
        code = int(parts[answer.fileno()].split()[1])
    return code, _text(parts[out]), _text(parts[err])


def _text(read: bytearray) -> str:
    return io.TextIOWrapper(io.BytesIO(bytes(read))).read()


@cache
def _server() -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """The process with everything imported, and what takes orders to it: it ends when nobody holds that."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(theirs.fileno())],
            cwd=ROOT,
            env=STARTED_WITH,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
    assert ours.recv(len(READY)) == READY
    return ours, process


def serve(orders: socket.socket) -> dict[str, Any] | None:
    """Fork for each order; in the fork that order is returned, in the server None once nobody gives orders any more."""
    while True:
        message, ends, _, _ = socket.recv_fds(orders, ORDER_BYTES_MAX, 3, socket.MSG_CMSG_CLOEXEC)
        if not message:
            return None
        if os.fork() == 0:
            orders.close()
            return _forked(json.loads(message), *ends)
        for end in ends:
            os.close(end)
        while _ended():
            pass


def _ended() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG)[0] > 0
    except ChildProcessError:
        return False


def _forked(order: dict[str, Any], told: int, out: int, err: int) -> dict[str, Any]:
    """The order, in another fork whose standard streams are these; its parent tells of its pid and its end."""
    if pid := os.fork():
        for end in (0, 1, 2, out, err):
            os.close(end)
        os.write(told, b"%d " % pid)
        _, status = os.waitpid(pid, 0)
        os.write(told, b"%d" % os.waitstatus_to_exitcode(status))
        os._exit(0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    for end in (told, out, err):
        os.close(end)
    return order


def become(order: dict[str, Any]) -> None:
    """Make this process what a new one with that order would be."""
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv = [str(ROOT / "runner/tierdrill/__main__.py"), *order["arguments"]]
    sys.path[0] = order["cwd"]
    encoding = sys.stdout.encoding
    sys.stdout = os.fdopen(1, "w", encoding=encoding, closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, encoding=encoding, errors="backslashreplace", closefd=False)


if __name__ == "__main__":
    for module in IMPORTED:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    way = socket.socket(fileno=int(sys.argv[1]))
    way.send(READY)
    given = serve(way)
    if given is not None:
        become(given)
        from tierdrill.__main__ import run as command

        sys.exit(command())
