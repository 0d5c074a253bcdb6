"""A whole run whose wall clock is set in the middle of its fault: it lasts as long as planned and leaves nothing."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.safety.kept import kept_home
from tierdrill.cli.documents import changed_setting
from tierdrill.conductor.run import RunOptions, run_drill
from tierdrill.history.events import Event
from tierdrill.history.ledger import Ledger
from tierdrill.history.store import HistoryStore


@pytest.mark.slow
@pytest.mark.lab
@pytest.mark.timeout(240)
@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_a_run_goes_on_as_planned(step: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, real = kept_home(tmp_path), time.time
    monkeypatch.setenv("TIERDRILL_HOME", str(kept.home))
    began: dict[str, float] = {}

    def listen(item: Event) -> None:
        if item.kind == "phase.started":
            began[str(item.data["phase"])] = time.monotonic()
        if item.kind == "fault.landed":
            monkeypatch.setattr(time, "time", lambda: real() + step)

    try:
        setting = changed_setting(kept.catalogue, "node-loss", (), (), None)
        options = RunOptions(home=kept.home, tools=kept.home / "tools")
        outcome = asyncio.run(run_drill(setting, options, [listen]))
        monkeypatch.setattr(time, "time", real)
        with closing(HistoryStore(kept.home)) as store:
            events = store.events(outcome.run)
        (ended,) = [one for one in events if one.kind == "run.ended"]
        assert ended.data["outcome"] == "completed", ended
        assert [one for one in events if one.kind == "clock.stepped"]
        assert began["recovery"] - began["fault"] == pytest.approx(15.0, abs=2.0)
        with closing(Ledger(kept.home)) as ledger:
            assert ledger.open_faults() == []
    finally:
        kept.end()
