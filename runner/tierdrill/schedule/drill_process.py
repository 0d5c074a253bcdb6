"""The drill's process: started in a session of its own so that it outlives the scheduler, watched, adopted, stopped."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tierdrill.process.child import Child, tail
from tierdrill.process.programs import user_environment
from tierdrill.process.spawn import shared_pipe, start

_LAUNCHER = Path(__file__).with_name("exec_gate.py")
_TAIL_BYTES = 4000


class DrillProcessError(RuntimeError):
    """The drill's process could not be started; the message says why."""


@dataclass(frozen=True)
class Output:
    """Where a child's output goes: files, since a pipe would die with the scheduler."""

    out: Path
    err: Path

    @staticmethod
    def of(home: Path, run: str) -> Output:
        folder = home / "schedule"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return Output(folder / f"{run}.out", folder / f"{run}.err")

    def told(self) -> str:
        """The last line on stderr; "" if there is none."""
        return " ".join(tail(self.err, _TAIL_BYTES).rpartition("\n")[2].split())

    def remove(self) -> None:
        for path in (self.out, self.err):
            with contextlib.suppress(OSError):
                path.unlink()


class DrillProcess:
    """A started process that waits for the word. `id` is written down, then `go` lets it begin."""

    def __init__(self, process: Child, pipe: int) -> None:
        self._process, self._pipe = process, pipe
        self.id = process.identity

    @classmethod
    def prepare(cls, command: Sequence[str], output: Output, cwd: Path | None) -> DrillProcess:
        """Start the launcher for a command; DrillProcessError if the machine will not."""
        try:
            with (
                output.out.open("ab") as out,
                output.err.open("ab") as err,
                shared_pipe(child_reads=True) as (writing, reading),
            ):
                process = start(
                    [sys.executable, "-I", "-S", str(_LAUNCHER), str(reading), *command], (out, err),
                    cwd=cwd, pass_fds=(reading,), session=True, outlives=True, env=user_environment(),
                )  # fmt: skip
        except OSError as error:
            raise DrillProcessError(f"cannot start the drill's process: {error.strerror or error}") from error
        return cls(process, writing)

    def go(self) -> None:
        with contextlib.suppress(OSError):
            os.write(self._pipe, b"go")
        self._close()

    async def drop(self) -> None:
        self._close()
        await self._process.wait_async()

    async def wait(self) -> int:
        """Until it ends; its exit code, minus the signal's number if one ended it."""
        return await self._process.wait_async()

    def _close(self) -> None:
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
