"""Command lines of tierdrill that a button starts: each is a process of its own, which outlives the dashboard."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tierdrill.history.history_store import run_named
from tierdrill.process.child import Child, tail
from tierdrill.process.programs import user_environment
from tierdrill.process.spawn import start
from tierdrill.web.request_guard import Refused

COMPLAINT = "tierdrill: "
_log = logging.getLogger(__name__)
BEGINS_WITHIN_S = 120.0
POLL_S = 0.1
FULL_BYTES = 1 << 20
"""With less room a command may find none for what it would complain of."""


class CommandStarts:
    """Starts them under a person's name, and waits for the end of each."""

    def __init__(self, home: Path, command: Sequence[str]) -> None:
        self._home, self._command = home, tuple(command)
        self._waiting: set[asyncio.Task[str]] = set()
        self._fed: list[Child] = []
        self.one_at_a_time = asyncio.Lock()
        """For what is known by being new: two people may press at once."""

    async def begin_run(self, run: str, words: Sequence[str], person: str) -> None:
        """Start `tierdrill run` with these words; returns once the run of that name has begun. Refused, in the
        command's own words, where it would not begin.
        """

        def begun() -> bool:
            return run_named(self._home, run) is not None

        await self.begin(f"run-{run}", ["run", *words, "--name", run, "--plain"], person, begun)

    async def begin(
        self, label: str, words: Sequence[str], person: str, begun: Callable[[], bool], *, stdin: bool = False
    ) -> None:
        """Start a command; its output goes to files of that label in the home. Refused where it ended before `begun`
        was true; OSError where there is no room for its output. With `stdin` it has an input that stays open for as
        long as the dashboard lives.
        """
        folder = self._home / "web" / "started"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        out, err = folder / f"{label}.out", folder / f"{label}.err"
        with out.open("wb") as told, err.open("wb") as complained:
            child = start(
                [*self._command, *words],
                (told, complained),
                env=user_environment(author=person),
                session=True,
                stdin=stdin,
                outlives=True,
            )
        if stdin:
            self._fed.append(child)
        ending = asyncio.create_task(_ended(child, out, err))
        self._waiting.add(ending)
        ending.add_done_callback(self._waiting.discard)
        deadline = time.monotonic() + BEGINS_WITHIN_S
        while not await asyncio.to_thread(begun):
            if ending.done():
                raise Refused(409, ending.result() or self._silent())
            if time.monotonic() > deadline:
                raise Refused(504, f"It has not begun within {BEGINS_WITHIN_S:g} s. It may yet: see the list of runs.")
            await asyncio.wait({ending}, timeout=POLL_S)

    def _silent(self) -> str:
        full = shutil.disk_usage(self._home).free < FULL_BYTES
        return f"It ended at once and said nothing{'; the disk of the home is full' if full else ''}."

    def let_go(self) -> None:
        """Close the inputs, as the end of the dashboard does: who read them leaves the desk."""
        for child in self._fed:
            child.close_stdin()
        self._fed.clear()


async def _ended(child: Child, out: Path, err: Path) -> str:
    """Why it ended, in its own words: what it complained of last, or else told last. Its output is of no use then."""
    code = await child.wait_async()
    told, complained = tail(out), tail(err)
    for path in (out, err):
        path.unlink(missing_ok=True)
    if code:
        _log.warning("%s exited with code %s: %s\n%s", err.stem, code, told, complained)
    ours = [line for line in complained.splitlines() if line.startswith(COMPLAINT)]
    last = (ours or told.splitlines() or complained.splitlines() or [""])[-1]
    return " ".join(last.split()).removeprefix(COMPLAINT)
