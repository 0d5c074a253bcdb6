"""How every program is started that is not just a question with an answer.

`start` and `launch` return at once; `spawn` waits until the program tells that it serves (see ready_line.py).

A child asks the kernel to be killed when its starter dies (PR_SET_PDEATHSIG), stopped or not, unless it is to outlive
it: so `kill -9` of any lab process leaves nothing behind. The kernel ties that request to the starter's *thread*: start
from a thread that lives as long as the child should, which in practice is the main one.
"""

import contextlib
import ctypes
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, TypedDict, Unpack

from tierdrill.process.child import Child, Ready, SpawnError
from tierdrill.process.ready_line import is_whole, read_line, read_line_async

READY_TIMEOUT_S = 10.0
_PR_SET_PDEATHSIG = 1


class How(TypedDict, total=False):
    env: Mapping[str, str] | None
    """None: as this process's."""
    cwd: Path | None
    stdin: bool
    """Whether it reads what it is told with `say` or `feed`; else it has nothing to read."""
    session: bool
    """In a session, and with that a process group, of its own."""
    new_group: bool
    """As the leader of a process group of its own."""
    group: int | None
    """In that process group."""
    pass_fds: Sequence[int]
    outlives: bool
    """Whether it lives on when its starter dies."""


def start(argv: Sequence[str], output: Path | tuple[BinaryIO, BinaryIO] | None, **how: Unpack[How]) -> Child:
    """Start a program. OSError where the machine will not.

    `output` is a log to append to, two open files for stdout and stderr, or None: nobody reads it.
    """
    session, new_group, group = how.get("session", False), how.get("new_group", False), how.get("group")
    if session + new_group + (group is not None) > 1:
        raise ValueError("session, new_group and group exclude each other")
    env = how.get("env")
    with _opened(output) as (out, err):
        popen = subprocess.Popen(
            list(argv),
            bufsize=0,
            stdin=subprocess.PIPE if how.get("stdin") else subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=None if env is None else dict(env),
            cwd=how.get("cwd"),
            start_new_session=session,
            process_group=0 if new_group else -1 if group is None else group,
            pass_fds=tuple(how.get("pass_fds", ())),
            preexec_fn=None if how.get("outlives") else _die_with_parent(os.getpid()),
        )
    pgid = popen.pid if session or new_group else os.getpgrp() if group is None else group
    return Child(popen, output if isinstance(output, Path) else Path(os.devnull), pgid)


def launch(argv: Sequence[str], *, log_path: Path, **how: Unpack[How]) -> Child:
    """Start a program that does not announce itself (Prometheus, say), or SpawnError."""
    try:
        return start(argv, log_path, **how)
    except OSError as error:
        raise SpawnError(f"cannot start {argv[0]}: {error}") from error


@contextlib.contextmanager
def _opened(output: Path | tuple[BinaryIO, BinaryIO] | None) -> Iterator[tuple[BinaryIO | int, BinaryIO | int]]:
    if isinstance(output, Path):
        with open_log(output) as log:
            yield log, subprocess.STDOUT
    else:
        yield output or (subprocess.DEVNULL, subprocess.DEVNULL)


@contextlib.contextmanager
def shared_pipe(*, child_reads: bool = False) -> Iterator[tuple[int, int]]:
    """A pipe with a program that is started inside: our end, to close later, and the program's, for `pass_fds`."""
    ours, childs = os.pipe()
    if child_reads:
        ours, childs = childs, ours
    try:
        yield ours, childs
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(childs)


def open_log(path: Path) -> BinaryIO:
    """A child's log, to append to; nowhere where it cannot be opened: a log keeps nothing from being started or undone.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("ab")
    except OSError as error:
        logging.getLogger("tierdrill").warning("no log: %s: %s", path, error.strerror)
        return Path(os.devnull).open("ab")


def spawn(
    argv: Sequence[str], *, log_path: Path, ready_timeout_s: float = READY_TIMEOUT_S, **how: Unpack[How]
) -> Child:
    """Start a lab program and block until it is ready; otherwise kill it and raise with its log's tail."""
    child, ready_fd = _spawn_unready(argv, log_path, how)
    with _killed_unless_ready(child, argv, ready_fd, ready_timeout_s):
        child.ready = _parse_ready(child, argv, read_line(ready_fd, ready_timeout_s))
    return child


async def spawn_async(
    argv: Sequence[str],
    *,
    log_path: Path,
    ready_timeout_s: float = READY_TIMEOUT_S,
    on_started: Callable[[Child], None] | None = None,
    **how: Unpack[How],
) -> Child:
    """As `spawn`, without blocking the loop. `on_started` sees the child before it is ready (to show its pid)."""
    child, ready_fd = _spawn_unready(argv, log_path, how)
    with _killed_unless_ready(child, argv, ready_fd, ready_timeout_s):
        if on_started is not None:
            on_started(child)
        child.ready = _parse_ready(child, argv, await read_line_async(ready_fd, ready_timeout_s))
    return child


def _spawn_unready(argv: Sequence[str], log_path: Path, how: How) -> tuple[Child, int]:
    with shared_pipe() as (ours, childs):
        how["pass_fds"] = (*how.get("pass_fds", ()), childs)
        child = launch([*argv, "--ready-fd", str(childs)], log_path=log_path, **how)
    return child, ours


@contextlib.contextmanager
def _killed_unless_ready(child: Child, argv: Sequence[str], ready_fd: int, timeout_s: float) -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        error = _not_ready(child, argv, f"was not ready within {timeout_s:g} s")
        _abandon(child)
        raise error from None
    except BaseException:
        _abandon(child)
        raise
    finally:
        os.close(ready_fd)


def _abandon(child: Child) -> None:
    if child.send_signal(signal.SIGKILL):
        child.wait(5.0)


def _parse_ready(child: Child, argv: Sequence[str], received: bytes) -> Ready:
    if not is_whole(received):
        raise _not_ready(child, argv, "closed its ready descriptor without a word")
    try:
        said = json.loads(received.split(b"\n", 1)[0])
        return Ready(str(said["program"]), str(said["name"]), str(said["address"]), int(said["pid"]))
    except (ValueError, KeyError, TypeError):
        raise _not_ready(child, argv, f"announced itself with {received[:200]!r}") from None


def _not_ready(child: Child, argv: Sequence[str], what: str) -> SpawnError:
    code = child.wait(0.2)  # it usually just died: say so, with its code
    state = "still running" if code is None else f"exit code {code}"
    said = child.log_tail() or "(it printed nothing)"
    errors = [line for line in said.splitlines() if " ERROR " in line]
    # Where it says what went wrong, all that it did before is in the way.
    said = errors[-1] if errors else said
    return SpawnError(f"{' '.join(argv[:4])} {what} ({state}); log {child.log_path}:\n{said}")


def _die_with_parent(parent: int) -> Callable[[], None]:
    """What the child does between fork and exec: ask to be killed when `parent` dies (Linux; elsewhere nothing)."""
    if not sys.platform.startswith("linux"):
        return lambda: None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)  # the parent died before we could ask

    return ask


def outlive_starter() -> None:
    """In a program that has been started: stay when its starter ends after all, or the terminal does."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, 0, 0, 0, 0)
