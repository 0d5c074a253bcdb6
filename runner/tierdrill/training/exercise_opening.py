"""What goes with an exercise from its begin: the terminal that shows it, and a scripted responder if one is wanted."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from tierdrill.history.events import Event
from tierdrill.report.run.terminal_summary import make_console
from tierdrill.training.exercise_session import Session
from tierdrill.training.exercise_setting import ExerciseSetting
from tierdrill.training.protocol import NoExercise, exchange, find_exercise
from tierdrill.training.responders import Over, Policy, Responder
from tierdrill.training.trainee_console import Terminal

LOG_FILE = "responder.log"


def opening(
    setting: ExerciseSetting,
    home: Path,
    folder_of: Callable[[str], Path],
    auto: Policy | None,
    terminal: Terminal | None,
) -> tuple[list[Callable[[Event], None]], Callable[[Session], Awaitable[None]]]:
    """The listeners of an exercise, and what runs beside it once it has begun."""

    async def begin(session: Session) -> None:
        if terminal is not None:
            terminal.elapsed = lambda: session.clock.elapsed
            terminal.welcome(session.exercise, setting)
        if auto is not None:
            await respond(session, home, folder_of(session.exercise), auto, setting.scenario.duration)

    return ([] if terminal is None else [terminal.feed]), begin


async def respond(session: Session, home: Path, folder: Path, policy: Policy, at_most_s: float) -> None:
    """Let a scripted responder work, over the socket like anybody else, until the exercise ends."""
    over = threading.Event()
    work = asyncio.create_task(asyncio.to_thread(_work, home, session.exercise, folder, policy, at_most_s, over))
    try:
        await session.ending.ended.wait()
    finally:
        over.set()
        await asyncio.wait([work], timeout=5.0)


def _work(home: Path, exercise: str, folder: Path, policy: Policy, at_most_s: float, over: threading.Event) -> None:
    try:
        _, connection = find_exercise(home, exercise)
    except NoExercise:
        return

    def put(do: str, said: Mapping[str, Any]) -> Mapping[str, Any]:
        if over.is_set():
            raise Over
        try:
            return exchange(connection, exercise, do, dict(said))
        except NoExercise as error:
            raise Over from error

    def wait(seconds: float) -> None:
        if over.wait(seconds):
            raise Over

    with closing(connection):
        log = Responder(policy, put, wait, time.monotonic).run(at_most_s)
    (folder / LOG_FILE).write_text("".join(f"{line}\n" for line in log), encoding="utf-8")


def make_terminal(*, color: bool, named: bool) -> Terminal:
    """The exercise's own terminal. `named`: the scenario was chosen, so its title may be told."""
    return Terminal(make_console(color=color), named=named)
