"""Work in another namespace: commands and children are put there, this process never leaves its own."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from typing import Any, Callable, NamedTuple, TypeVar

from fault import Refused
from processes import SCAN, Process, identify, in_pod, stat, state

CLONE_NEWNET = 0x40000000
CLONE_NEWNS = 0x00020000
PR_SET_PDEATHSIG = 1
COMMAND_S = 10.0
FILES = 1 << 16
FOLDERS = ("/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin")
NODE_ROOT, LINKS_MAX = "/proc/1/root", 16
Found = TypeVar("Found")
_libc = ctypes.CDLL(None, use_errno=True)


class Tool(NamedTuple):
    """A program: of our own image, or of the node, whose mounts it is then run with."""

    path: str
    of_node: bool

    @property
    def told(self) -> str:
        return f"{self.path} of the node" if self.of_node else self.path


def tool(name: str) -> Tool | None:
    """Where a program is; None where neither we nor the node have it."""
    ours = shutil.which(name, path=":".join((*FOLDERS, os.environ.get("PATH", ""))))
    if ours is not None:
        return Tool(ours, False)
    for folder in FOLDERS:
        if _on_node(f"{folder}/{name}"):
            return Tool(f"{folder}/{name}", True)
    return None


def _on_node(path: str) -> bool:
    """Whether the node has that file. Its links lead from its own root, where Debian's iptables is one, and not from
    that of our image.
    """
    for _ in range(LINKS_MAX):
        there = f"{NODE_ROOT}{path}"
        if not os.path.islink(there):  # noqa: PTH114
            return os.path.exists(there)  # noqa: PTH110
        path = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(there)))  # noqa: PTH115, PTH118, PTH120
    return False


def enter_namespace(path: str, kind: int) -> None:
    """Go there; for children only."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _checked(_libc.setns(fd, kind), path)
    finally:
        os.close(fd)


def _checked(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


class Network:
    """A network namespace: a pod's, the machine's, a process's, or a named one. `inode` tells it from a later one."""

    def __init__(self, target: dict[str, Any]) -> None:
        self.target = target
        self.path = self._find()
        try:
            self.inode = os.stat(self.path).st_ino  # noqa: PTH116
        except OSError as error:
            raise Refused(f"network of {target}: {error.strerror}") from None

    def _find(self) -> str:
        if "netns" in self.target:
            return str(self.target["netns"])
        if "pid" in self.target:
            return f"/proc/{identify(int(self.target['pid'])).pid}/ns/net"
        if "pod" in self.target:
            members = in_pod(self.target["pod"])
            if not members:
                SCAN.forget()
                members = in_pod(self.target["pod"])
            if not members:
                raise Refused(f"pod {self.target['pod']} has no process here")
            return f"/proc/{min(members, key=lambda one: one.start).pid}/ns/net"
        if self.target.get("host") is True:
            return "/proc/1/ns/net"
        raise Refused(f"got target {self.target}, expected one with a network: pod, host, pid or netns")

    def refuse_the_nodes(self) -> None:
        """Refused where a pod has the node's own network: every other pod and the node would be hit."""
        if "pod" not in self.target:
            return
        try:
            nodes = os.stat("/proc/1/ns/net").st_ino  # noqa: PTH116
        except OSError as error:
            raise Refused(f"the node's own network cannot be told from the pod's: {error.strerror}") from None
        if self.inode == nodes:
            raise Refused("the pod has the node's own network (hostNetwork): everything on the node would be hit")

    def enter(self) -> None:
        """Go there; for children only."""
        enter_namespace(self.path, CLONE_NEWNET)

    def run(self, program: Tool, arguments: Sequence[str], text: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program there, with `text` as its standard input; Refused where it cannot be started or hangs."""

        def enter() -> None:
            self.enter()
            if program.of_node:
                enter_namespace("/proc/1/ns/mnt", CLONE_NEWNS)
                os.chdir("/")

        try:
            return subprocess.run(
                [program.path, *arguments],
                input=text,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=COMMAND_S,
                check=False,
                preexec_fn=enter,
                env={"PATH": ":".join(FOLDERS), "LC_ALL": "C"},
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise Refused(f"{program.path} cannot be run in the network of {self.target}: {error}") from None


class TrialNetwork(Network):
    """A new network for each command, which ends with it: what the kernel has is tried there."""

    def __init__(self) -> None:
        self.target = {"new": True}

    def enter(self) -> None:
        _checked(_libc.unshare(CLONE_NEWNET), "a new network")


def same_network(target: dict[str, Any], inode: int) -> Network | None:
    """The network that was found there before; None where it is gone, and everything that was done to it with it."""
    try:
        network = Network(target)
    except Refused:
        return None
    return network if network.inode == inode else None


def in_found(target: dict[str, Any], inode: int, do: Callable[[Network], Found], gone: Found) -> Found:
    """What `do` comes to in the network that was found there before; `gone` where it has ended, also meanwhile."""
    network = same_network(target, inode)
    if network is None:
        return gone
    try:
        return do(network)
    except Refused:
        if same_network(target, inode) is not None:
            raise
        return gone


def in_child(work: Callable[[], None], *, before: Callable[[], None] | None = None, output: int = -1) -> Process:
    """A copy of this process that does `work` and ends, and ends with us. It keeps no file of ours but `output`."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        born = stat(pid)
        # It may have ended already, but nobody else has its number until it is waited for.
        assert born is not None
        return Process(pid, born.start)
    code = 1
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if before is not None:
            before()
        for low, high in ((3, output), (output + 1, FILES)) if output >= 0 else ((3, FILES),):
            os.closerange(low, high)
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        if os.getppid() == parent:
            work()
            code = 0
    except BaseException:
        code = 1
    finally:
        os._exit(code)


def end_child(child: Process) -> bool:
    """End a child of ours and wait for it; whether it was still there."""
    was = bool(state(child))
    try:
        os.kill(child.pid, signal.SIGKILL) if was else None
        os.waitpid(child.pid, 0)
    except (ChildProcessError, ProcessLookupError):
        pass
    return was


def first_line(text: str, default: str) -> str:
    """The first line that says something, and is no warning."""
    lines: list[str] = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in lines if not line.startswith("Warning:")), default)
