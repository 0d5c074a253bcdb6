"""A witness of a stock experiment's fault: one of its own probes, asked in a thread until it says what it should.

In a thread, because an action may last as long as its fault, and because a probe that hangs must not hold up a run.
What it returns is held against its tolerance as Chaos Toolkit does; a probe that raises is no witness, and asked again.
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chaoslib import substitute
from chaoslib.activity import run_activity
from chaoslib.hypothesis import within_tolerance

from tierdrill.targets.base import Proof

POLL_S = 0.1
SEEN_CHARACTERS = 300


def holds(probe: dict[str, Any], value: Any, configuration: dict[str, Any], secrets: dict[str, Any]) -> bool:
    """Whether what a probe returned is within its tolerance, whose `${variables}` are filled as in a hypothesis.

    Raises what Chaos Toolkit does for a value that the tolerance cannot be held against.
    """
    # A tolerance that is a probe itself is written into; whoever else asks must not see that.
    tolerance = copy.deepcopy(probe["tolerance"])
    if isinstance(tolerance, str):
        tolerance = substitute(tolerance, configuration, secrets)
    return value is not None and bool(
        within_tolerance(tolerance, value, configuration=configuration, secrets=secrets)
    )


@dataclass(frozen=True)
class Asked:
    """A probe, and what its `${variables}` stand for in this run."""

    probe: dict[str, Any]
    configuration: dict[str, Any]
    secrets: dict[str, Any]
    hide: Callable[[str], str] = str

    @property
    def name(self) -> str:
        """How the history refers to it."""
        return f"probe {self.probe['name']}"

    def look(self) -> Proof:
        at = time.time()
        try:
            value = run_activity(self.probe, self.configuration, self.secrets)
            met = holds(self.probe, value, self.configuration, self.secrets)
        except (Exception, SystemExit) as error:
            met, said = False, f"raised {error}"
        else:
            said = f"returned {value!r}"
        return Proof(met, at, self.name, self.hide(f"{self.probe['name']} {said}")[:SEEN_CHARACTERS])


class Witness:
    """Asks a probe from `start` until it holds, its time is up, or it is told to stop.

    `told` gets the first look that held, or the last one if none did; exactly once, and from the thread unless the
    probe hangs.
    """

    def __init__(self, asked: Asked, told: Callable[[Proof], None] = lambda look: None) -> None:
        self._asked, self._told = asked, told
        self._last = Proof(False, time.time(), asked.name, f"{asked.probe['name']} did not answer")
        self._deadline: float | None = None
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name=asked.name, daemon=True)

    def start(self) -> Witness:
        self._thread.start()
        return self

    def give(self, seconds: float) -> None:
        """From now on it has so much time left."""
        self._deadline = time.monotonic() + seconds

    def await_end(self, seconds: float) -> Proof:
        """Wait so long for an answer that holds, then take the last one."""
        self.give(seconds)
        return self.settle()

    def settle(self) -> Proof:
        """Wait for the rest of its time, if it was given one, then take the last answer."""
        left = 0.0 if self._deadline is None else self._deadline - time.monotonic()
        self._ended.wait(max(0.0, left) + POLL_S)
        return self.stop()

    def once(self, seconds: float) -> Proof:
        """Look a single time, and wait no longer than so for the answer."""
        self.give(0.0)
        self.start()
        self._ended.wait(seconds)
        return self.stop()

    def stop(self) -> Proof:
        """Look no more; what was seen."""
        self._wake.set()
        self._end(self._last)
        return self._last

    def _end(self, look: Proof) -> None:
        with self._lock:
            if self._ended.is_set():
                return
            self._last = look
            try:
                self._told(look)
            finally:
                self._ended.set()

    def _watch(self) -> None:
        while not self._ended.is_set():
            look = self._asked.look()
            late = self._deadline is not None and time.monotonic() >= self._deadline
            if look.seen or late:
                self._end(look)
                return
            self._last = look
            if self._wake.wait(POLL_S):
                return
