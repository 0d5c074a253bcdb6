"""The supervisor's processes: started by recipe, watched, signalled, ended. Each leads a process group of its own."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psutil

from tierdrill.lab.lab_files import ProcessRecord
from tierdrill.lab.supervisor.lab_events import EventLog
from tierdrill.process.child import Child
from tierdrill.process.groups import kill_group, signal_group

STOP_GRACE_S = 1.0
KILL_TIMEOUT_S = 2.0


class UnknownProcess(LookupError):
    """No process of that name; the message lists the known ones."""


@dataclass
class Entry:
    """A supervised process; the child of its last start."""

    name: str
    program: str
    child: Child
    address: str | None
    watch: asyncio.Task[None]
    expected: bool = False
    asked: bool = False

    @property
    def lost(self) -> bool:
        """Whether it has ended and nobody wanted it to."""
        return self.child.exit_code() is not None and not (self.expected or self.asked)


class ProcessTable:
    def __init__(self, events: EventLog, changed: Callable[[], None], lost: Callable[[str], None]) -> None:
        self._events = events
        self._changed = changed
        self._lost = lost
        self._entries: dict[str, Entry] = {}

    def add(self, name: str, program: str, child: Child, address: str | None) -> None:
        """Take a process that has just become ready (again)."""
        watch = asyncio.get_running_loop().create_task(self._watch(name, child))
        self._entries[name] = Entry(name, program, child, address, watch)
        self._events.add("process-start", name=name, program=program, pid=child.pid, address=address)
        self._changed()

    def entry(self, name: str) -> Entry:
        try:
            return self._entries[name]
        except KeyError:
            raise UnknownProcess(f"got process {name!r}, expected one of: {', '.join(sorted(self._entries))}") from None

    def alive(self, name: str) -> bool:
        entry = self._entries.get(name)
        return entry is not None and entry.child.exit_code() is None

    def address(self, name: str) -> str | None:
        entry = self._entries.get(name)
        return None if entry is None else entry.address

    def lost(self) -> tuple[str, ...]:
        return tuple(entry.name for entry in self._entries.values() if entry.lost)

    def records(self) -> tuple[ProcessRecord, ...]:
        """For the state file: those that run."""
        return tuple(
            ProcessRecord(entry.name, entry.program, entry.child.identity, entry.child.pgid, entry.address)
            for entry in self._entries.values()
            if entry.child.exit_code() is None
        )

    def status(self) -> list[dict[str, Any]]:
        """For people and programs: all, with what they weigh."""
        return [
            {
                "name": entry.name,
                "program": entry.program,
                "pid": entry.child.pid,
                "pgid": entry.child.pgid,
                "ticks": entry.child.identity.ticks,
                "alive": entry.child.exit_code() is None,
                "exit_code": entry.child.exit_code(),
                "address": entry.address,
                "rss_bytes": _rss(entry.child),
            }
            for entry in self._entries.values()
        ]

    def signal(self, name: str, number: int) -> bool:
        """Signal one process; False when it has ended. What is killed so is meant to be gone."""
        entry = self.entry(name)
        entry.asked = entry.asked or number in (signal.SIGKILL, signal.SIGTERM)
        return entry.child.send_signal(number)

    def signal_group(self, name: str, number: int) -> bool:
        """Signal a process and all of its group at once; False when nothing of it is left."""
        child = self.entry(name).child
        return signal_group(child.pgid, child.identity, number)

    async def kill_group(self, name: str) -> bool:
        """SIGKILL a process and all of its group at once; True when nothing of it is left."""
        entry = self.entry(name)
        entry.expected = True
        return await _kill(entry.child)

    async def kill_rest(self, name: str) -> bool:
        """SIGKILL what a process that has ended has left of its group; True when nothing is left."""
        return await _kill(self.entry(name).child)

    async def end(self, name: str) -> None:
        """End a process and its group: asked nicely first, then by force."""
        entry = self.entry(name)
        entry.expected = True
        entry.child.send_signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_GRACE_S):
                await entry.child.wait_async()
        await _kill(entry.child)

    async def end_all(self) -> None:
        """End everything: asked nicely all at once, then by force, group by group."""
        entries = list(self._entries.values())
        for entry in entries:
            entry.expected = True
            entry.child.send_signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_GRACE_S):
                await asyncio.gather(*(entry.child.wait_async() for entry in entries))
        await asyncio.gather(*(_kill(entry.child) for entry in entries))
        await asyncio.gather(*(entry.watch for entry in entries), return_exceptions=True)

    async def _watch(self, name: str, child: Child) -> None:
        code = await child.wait_async()
        entry = self._entries[name]
        expected = entry.expected if entry.child is child else True
        self._events.add("process-exit", name=name, pid=child.pid, exit_code=code, expected=expected)
        self._changed()
        if entry.child is child and entry.lost:
            self._lost(name)


async def _kill(child: Child) -> bool:
    if child.pgid == os.getpgrp():
        return child.send_signal(signal.SIGKILL)
    return await asyncio.to_thread(kill_group, child.pgid, child.identity, timeout_s=KILL_TIMEOUT_S)


def _rss(child: Child) -> int | None:
    if child.exit_code() is not None:
        return None
    try:
        return int(psutil.Process(child.pid).memory_info().rss)
    except psutil.Error:
        return None
