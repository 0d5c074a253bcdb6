"""The drill's process: started in a session of its own so that it outlives the scheduler, watched, adopted, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tierdrill.process.identity import ProcessId, identify
from tierdrill.process.programs import user_environment

_LAUNCHER = Path(__file__).with_name("launch.py")
_TAIL_BYTES = 4000


class ChildError(RuntimeError):
    """The drill's process could not be started; the message says why."""


@dataclass(frozen=True)
class Output:
    """Where a child's output goes: files, since a pipe would die with the scheduler."""

    out: Path
    err: Path

    @staticmethod
    def of(home: Path, run: str) -> Output:
        """The files for a run's process."""
        folder = home / "schedule"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return Output(folder / f"{run}.out", folder / f"{run}.err")

    def told(self) -> str:
        """The last line on stderr; "" if there is none."""
        try:
            with self.err.open("rb") as file:
                file.seek(max(0, self.err.stat().st_size - _TAIL_BYTES))
                lines = file.read().decode("utf-8", "replace").split("\n")
        except OSError:
            return ""
        return next((" ".join(line.split()) for line in reversed(lines) if line.strip()), "")

    def remove(self) -> None:
        """Forget them; what matters is in the history."""
        for path in (self.out, self.err):
            with contextlib.suppress(OSError):
                path.unlink()


class Child:
    """A started process that waits for the word. `id` is written down, then `go` lets it begin."""

    def __init__(self, process: asyncio.subprocess.Process, pipe: int, identity: ProcessId) -> None:
        self._process, self._pipe = process, pipe
        self.id = identity

    @classmethod
    async def prepare(cls, command: Sequence[str], output: Output, cwd: Path | None) -> Child:
        """Start the launcher for a command; ChildError if the machine will not."""
        reading, writing = os.pipe()
        os.set_inheritable(writing, False)
        try:
            with output.out.open("ab") as out, output.err.open("ab") as err:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-I", "-S", str(_LAUNCHER), str(reading), *command,
                    stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=err, cwd=cwd, pass_fds=(reading,),
                    start_new_session=True, env=user_environment(),
                )  # fmt: skip
        except OSError as error:
            os.close(writing)
            raise ChildError(f"the drill's process could not be started: {error.strerror or error}") from error
        finally:
            os.close(reading)
        identity = identify(process.pid)
        if identity is None:
            os.close(writing)
            raise ChildError("the drill's process ended before it began")
        return cls(process, writing, identity)

    def go(self) -> None:
        """Let it begin."""
        with contextlib.suppress(OSError):
            os.write(self._pipe, b"go")
        self._close()

    async def drop(self) -> None:
        """Do not let it begin."""
        self._close()
        await self._process.wait()

    async def wait(self) -> int:
        """Until it ends; its exit code, minus the signal's number if one ended it."""
        return await self._process.wait()

    def _close(self) -> None:
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1


async def gone(process: ProcessId) -> None:
    """Until a process that is not our child has ended."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    try:
        # The pid may have gone to somebody else before the descriptor was there; afterwards it cannot.
        if not process.lives():
            return
        loop.add_reader(descriptor, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(descriptor)
    finally:
        os.close(descriptor)


def send(process: ProcessId, number: signal.Signals, *, group: bool = False) -> bool:
    """Signal exactly that process, or (`group`) all of its session's first group; False if it has gone."""
    if not process.lives():
        return False
    try:
        if group and os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, number)
        else:
            os.kill(process.pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
