"""Skips as events, without letting a storm of alerts become a storm of events.

The first skip of its kind is written at once; the same kind again within a second is counted and written as one event
with `count`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from tierdrill.remediation.engine_journal import Journal

GATHER_S = 1.0
TARGETS_MAX = 20


class SkipLog:
    """Writes `playbook.skipped`."""

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
