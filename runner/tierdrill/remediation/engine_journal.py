"""What the engine writes to the history, and what a new engine reads back from it.

A step's begin is durable before its remedy is called (`playbook.step_started`), so after a crash the history says
exactly which remedy may or may not have happened; remedies are safe to repeat, so that one is done again. Kinds
beyond the common vocabulary:

    playbook.step_started  playbook, execution, target, attempt, phase, step, action, arguments
    page.failed            contact, level, tier, dedup_key, action, error
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tierdrill.history.events import Event
from tierdrill.remediation.alert_notice import AlertNotice
from tierdrill.remediation.guards import GuardMemory

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

    def write(self, kind: str, /, **data: Any) -> None:
        """Record what has happened. A history that cannot be written does not undo it, so this never raises."""
        try:
            self.intend(kind, **data)
        except JournalError as error:
            _log.error("lost an event: %s", error)

    def intend(self, kind: str, /, **data: Any) -> None:
        """Record what is about to be done; JournalError if that is not durable, and then it must not be done."""
        try:
            self._emit(Event(at=self._clock(), kind=kind, source=SOURCE, data=data))
        except Exception as error:
            raise JournalError(f"{kind}: {error}") from error


class SkipLog:
    """Writes `playbook.skipped`, without letting a storm of alerts become a storm of events: the same kind of skip
    again within a second is counted and written as one event with `count`.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._held: dict[tuple[str, str], dict[str, Any] | None] = {}

    def skip(self, playbook: str, code: str, target: str, reason: str, **more: Any) -> None:
        """Record one skip."""
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
        self._journal.write("playbook.skipped", **data)


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
    for event in events:
        data = event.data
        execution = str(data.get("execution", ""))
        if event.kind == "playbook.started" and "notice" in data:
            open_now[execution] = _opened(execution, data)
            if data.get("gives_back"):
                owes.add(execution)
            continue
        current = open_now.get(execution)
        if current is None:
            continue
        if event.kind == "playbook.started" and data.get("phase") == "resolve":
            open_now[execution] = replace(current, resolving=True)
        elif event.kind == "playbook.step_started" and not data.get("rollback"):
            open_now[execution] = _began(current, data)
        elif event.kind == "playbook.step":
            open_now[execution] = _undone(current, data) if data.get("rollback") else _ended(current, data)
        elif event.kind == "playbook.finished":
            if data.get("phase") == "act" and execution in owes and data.get("touched", True):
                open_now[execution] = replace(current, phase="resolve", done=(), to_undo=(), attempt=1)
            else:
                del open_now[execution]
    return list(open_now.values())


def _opened(execution: str, data: Mapping[str, Any]) -> Unfinished:
    return Unfinished(
        playbook=data["playbook"],
        execution=execution,
        target=data["target"],
        notice=notice_from(data["notice"]),
        attempt=int(data.get("attempt", 1)),
        phase="act",
        retargeted=bool(data.get("retargeted")),
    )


def _began(current: Unfinished, data: Mapping[str, Any]) -> Unfinished:
    attempt = int(data.get("attempt", current.attempt))
    done = current.done if attempt == current.attempt else ()
    return replace(current, attempt=attempt, done=done)


def _ended(current: Unfinished, data: Mapping[str, Any]) -> Unfinished:
    if data.get("ok"):
        return replace(current, done=(*current.done, data["step"]))
    failed = (data["step"],) if data.get("happened", True) else ()
    to_undo = (*current.to_undo, *current.done, *failed)
    return replace(current, attempt=current.attempt + 1, done=(), to_undo=to_undo)


def _undone(current: Unfinished, data: Mapping[str, Any]) -> Unfinished:
    return replace(current, to_undo=tuple(step for step in current.to_undo if step != data["step"]))


def notice_data(notice: AlertNotice) -> dict[str, Any]:
    """A notice as plain data, for `playbook.started`."""
    return {
        "alert": notice.alert,
        "labels": dict(notice.labels),
        "fingerprint": notice.fingerprint,
        "starts_at": notice.starts_at,
    }


def notice_from(data: Mapping[str, Any]) -> AlertNotice:
    """Back from `notice_data`."""
    return AlertNotice(data["alert"], "firing", dict(data["labels"]), data["fingerprint"], float(data["starts_at"]))


def handled_by(event: Event) -> tuple[str, str] | None:
    """(playbook, incident) that an event shows to have been begun."""
    if event.kind == "playbook.started" and "notice" in event.data:
        return str(event.data["playbook"]), notice_from(event.data["notice"]).incident
    return None


def memory_of(events: Sequence[Event], playbook: str) -> GuardMemory:
    """What a playbook's guards must remember after a restart: a crash must not open the throttle or mend the fuse."""
    memory = GuardMemory()
    for event in events:
        if event.kind == "playbook.started" and event.data.get("playbook") == playbook and "notice" in event.data:
            group = tuple(event.data.get("group", ()))
            memory.record_start(group, frozenset(event.data.get("nodes", ())), event.at)
    return memory
