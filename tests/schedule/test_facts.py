"""What the lock gate and the kill switch find in the ledger of a home."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.schedule.test_gates_lab import free, member
from tierdrill.history.ledger import Ledger
from tierdrill.process.identity import me
from tierdrill.schedule.gates.gate_facts import Facts


def facts(home: Path) -> Facts:
    return Facts(home, member(), None, free, time.time())


@pytest.mark.parametrize("name", ["lab/kept", "lab/own/by-hand"])
def test_a_run_that_somebody_started_by_hand_is_in_the_way(tmp_path: Path, name: str) -> None:
    with closing(Ledger(tmp_path)) as ledger:
        # A lock whose run has died holds nobody back.
        ledger.lock(name, "died", replace(me(), ticks=me().ticks + 1), "bob")
        found = asyncio.run(facts(tmp_path).lock())
        assert found.verdict == "open", found
        ledger.lock(name, "by-hand", me(), "ann")
        found = asyncio.run(facts(tmp_path).lock())
    assert found.verdict == "held"
    assert found.reason == f"environment lab/kept is in use: by run by-hand (owner ann, pid {os.getpid()})"


def test_a_ledger_that_cannot_be_read_might_hold_a_halt(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").mkdir()
    found = asyncio.run(facts(tmp_path).kill_switch())
    assert found.verdict == "held"
    assert "the ledger cannot be read" in found.reason
