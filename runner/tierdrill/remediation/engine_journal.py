"""What the engine writes to the history, and what a new engine reads back from it.

A step's begin is durable before its remedy is called (`playbook.step_started`), so after a crash the history says
exactly which remedy may or may not have happened; remedies are safe to repeat, so that one is done again.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tierdrill.history.events import Event, each
from tierdrill.history.kinds import response_kinds
from tierdrill.history.payload import Payload
from tierdrill.remediation.guards import GuardMemory
from tierdrill.remediation.incident_book import AlertNotice

SOURCE = "remediation"
GATHER_S = 1.0
TARGETS_MAX = 20
_log = logging.getLogger(__name__)


class JournalError(Exception):
    """The history cannot be written; nothing may be done that it does not know of."""


class Journal:
    """Writes events with the injected clock's time."""

    def __init__(self, emit: Callable[[Event], object], clock: Callable[[], float]) -> None:
        self._emit = emit
        self._clock = clock

    def write(self, said: Payload) -> None:
        """Record what has happened. A history that cannot be written does not undo it, so this never raises."""
        try:
            self.intend(said)
        except JournalError as error:
            _log.error("lost an event: %s", error)

    def intend(self, said: Payload) -> None:
        """Record what is about to be done; JournalError if that is not durable, and then it must not be done."""
        try:
            self._emit(Event(self._clock(), said.KIND, SOURCE, said.data()))
        except Exception as error:
            raise JournalError(f"{said.KIND}: {error}") from error


class SkipLog:
    """Writes `playbook.skipped`, without letting a storm of alerts become a storm of events: the same kind of skip
    again within a second is counted and written as one event with `count`.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._held: dict[tuple[str, str], dict[str, Any] | None] = {}

    def skip(self, playbook: str, code: str, target: str, reason: str, **more: Any) -> None:
        key = (playbook, code)
        if key not in self._held:
            self._write({"playbook": playbook, "target": target, "code": code, "reason": reason, "count": 1, **more})
            self._held[key] = None
            asyncio.get_running_loop().call_later(GATHER_S, self._release, key)
            return
        held = self._held[key]
        if held is None:
            first = {"playbook": playbook, "target": target, "code": code, "reason": reason, "count": 1, **more}
            self._held[key] = {**first, "targets": [target]}
            return
        held["count"] += 1
        if target not in held["targets"] and len(held["targets"]) < TARGETS_MAX:
            held["targets"].append(target)

    def flush(self) -> None:
        """Write what is still counted."""
        for key in list(self._held):
            self._release(key)

    def _release(self, key: tuple[str, str]) -> None:
        held = self._held.pop(key, None)
        if held is not None:
            self._write(held)

    def _write(self, data: dict[str, Any]) -> None:
        if data.get("targets") == [data["target"]]:
            data.pop("targets")
        self._journal.write(response_kinds.PlaybookSkipped(**data))


@dataclass(frozen=True)
class Unfinished:
    """An execution the history leaves open. `phase` "act": in the middle of its steps; "resolve": done, to be given
    back when the alert ends.

    `done` are the steps of the current attempt and phase that were seen to work, `to_undo` those of a failed attempt
    that were not yet taken back.
    """

    playbook: str
    execution: str
    target: str
    notice: AlertNotice
    attempt: int
    phase: str
    done: tuple[str, ...] = ()
    to_undo: tuple[str, ...] = ()
    resolving: bool = False
    retargeted: bool = False


def unfinished(events: Iterable[Event]) -> list[Unfinished]:
    """Executions that were started and not finished, in the order they were started. External ones are their tool's
    to resume.
    """
    open_now: dict[str, Unfinished] = {}
    owes: set[str] = set()
    for _, said in each(events, response_kinds.PlaybookEvent):
        execution = said.execution
        if isinstance(said, response_kinds.PlaybookStarted) and said.notice is not None:
            open_now[execution] = _opened(said, notice_from(said.notice))
            if said.gives_back:
                owes.add(execution)
            continue
        current = open_now.get(execution)
        if current is None:
            continue
        match said:
            case response_kinds.PlaybookStarted(phase="resolve"):
                open_now[execution] = replace(current, resolving=True)
            case response_kinds.StepEnded(rollback=True):
                open_now[execution] = replace(
                    current, to_undo=tuple(step for step in current.to_undo if step != said.step)
                )
            case response_kinds.StepStarted(rollback=False) if said.attempt != current.attempt:
                open_now[execution] = replace(current, attempt=said.attempt, done=())
            case response_kinds.StepEnded():
                open_now[execution] = _ended(current, said)
            case response_kinds.PlaybookFinished(phase="act", touched=True) if execution in owes:
                open_now[execution] = replace(current, phase="resolve", done=(), to_undo=(), attempt=1)
            case response_kinds.PlaybookFinished():
                del open_now[execution]
    return list(open_now.values())


def _opened(said: response_kinds.PlaybookStarted, notice: AlertNotice) -> Unfinished:
    return Unfinished(
        said.playbook, said.execution, said.target, notice, said.attempt, "act", retargeted=said.retargeted
    )


def _ended(current: Unfinished, said: response_kinds.StepEnded) -> Unfinished:
    if said.ok:
        return replace(current, done=(*current.done, said.step))
    failed = (said.step,) if said.happened else ()
    to_undo = (*current.to_undo, *current.done, *failed)
    return replace(current, attempt=current.attempt + 1, done=(), to_undo=to_undo)


def notice_data(notice: AlertNotice) -> dict[str, Any]:
    """A notice as plain data, for `playbook.started`."""
    return {
        "alert": notice.alert,
        "labels": dict(notice.labels),
        "fingerprint": notice.fingerprint,
        "starts_at": notice.starts_at,
    }


def notice_from(data: Mapping[str, Any]) -> AlertNotice:
    return AlertNotice(data["alert"], "firing", dict(data["labels"]), data["fingerprint"], float(data["starts_at"]))


def begun(events: Iterable[Event]) -> list[tuple[Event, response_kinds.PlaybookStarted, AlertNotice]]:
    """The executions that an engine began, with what they were begun for."""
    found = each(events, response_kinds.PlaybookStarted)
    return [(event, said, notice_from(said.notice)) for event, said in found if said.notice is not None]


def memory_of(events: Iterable[Event], playbook: str) -> GuardMemory:
    """What a playbook's guards must remember after a restart: a crash must not open the throttle or mend the fuse."""
    memory = GuardMemory()
    for event, said, _ in begun(events):
        if said.playbook == playbook:
            memory.record_start(tuple(said.group), frozenset(said.nodes), event.at)
    return memory
