"""A game day with real drills in real labs, by keys, with the facilitator killed in mid-fault."""

from __future__ import annotations

import json
import os
import signal
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from tests.e2e.home import ROOT, await_none, processes, short_catalogue, tierdrill
from tests.gameday.test_terminal import Terminal
from tierdrill.history.ledger import Ledger

LAB_WITHIN_S = 90.0
TOOLS = {"TIERDRILL_TOOLS": os.environ["TIERDRILL_TOOLS"]} if "TIERDRILL_TOOLS" in os.environ else {}


def two_short_drills(folder: Path) -> Path:
    """A game day of two short drills without guardrails: what they come to is not judged here."""
    catalogue = short_catalogue(folder)
    path = catalogue / "drills" / "node-loss.yaml"
    drill = yaml.safe_load(path.read_text())
    drill["guardrails"] = []
    path.write_text(yaml.safe_dump(drill))
    shipped = yaml.safe_load((ROOT / "drills" / "gamedays" / "three-failures.yaml").read_text())
    step = {"drill": "node-loss", "hypotheses": [{"words": "the load is believed", "checks": ["load/*"]}]}
    shipped |= {
        "metadata": {"name": "two-short"},
        "abort": [],
        "steps": [{**step, "pause": "1h"}, {**step, "name": "again", "variables": {"node": "node-1"}}],
    }
    (catalogue / "drills" / "two-short.yaml").write_text(yaml.safe_dump(shipped))
    return catalogue


@pytest.mark.slow
@pytest.mark.lab
@pytest.mark.timeout(400)
def test_a_killed_facilitator_harms_no_drill_and_an_abort_leaves_nothing(tmp_path: Path) -> None:
    home, catalogue = tmp_path / "home", str(two_short_drills(tmp_path / "catalogue"))
    first = Terminal(home, "--catalogue", catalogue, "gameday", "two-short", module="tierdrill", **TOOLS)
    second: Terminal | None = None
    try:
        first.sees("n start")
        first.press("ny")
        first.sees("node power loss on node-1: landed", LAB_WITHIN_S)
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
        second = Terminal(home, "--catalogue", catalogue, "gameday", "--resume", module="tierdrill", **TOOLS)
        second.sees("next: again", LAB_WITHIN_S)
        with closing(Ledger(home)) as ledger:
            assert ledger.open_faults() == []
        second.press("n")
        second.sees("node power loss on node-1: landed", LAB_WITHIN_S)
        second.press("\x03")
        second.sees("ABORTED", LAB_WITHIN_S)
        assert second.ends() == 4
        assert await_none(home, 10.0) == []
        with closing(Ledger(home)) as ledger:
            assert ledger.open_faults() == []
        assert tierdrill(home, "status").returncode == 0
        [path] = home.glob("gamedays/*/record.json")
        drills = json.loads(path.read_text())["drills"]
        # What the first comes to, a busy machine decides; that it came to its own end is what counts.
        assert drills[0]["status"] not in ("aborted", "unclean", "refused") and drills[0]["attempts"] == 1
        assert (drills[1]["status"], drills[1]["step"]) == ("aborted", "again")
    finally:
        for one in (first, second):
            if one is not None:
                one.close()
        for process in processes(home):
            process.kill()
