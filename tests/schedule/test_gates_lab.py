"""The gates against the real Prometheus and Alertmanager of a lab that is kept up."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.home import ROOT, processes, tierdrill
from tests.monitoring.monitoring_support import silenced_alert
from tests.shipped import shipped_documents
from tierdrill.documents.models.calendar import Calendar
from tierdrill.lab.lab_files import attach
from tierdrill.schedule.gates.environment_health import Service, alert_facts
from tierdrill.schedule.gates.error_budget_left import budget_fact
from tierdrill.schedule.gates.gate_facts import Facts
from tierdrill.schedule.gates.gate_rules import GateResult
from tierdrill.schedule.slot_work import Member, member_of

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("home")
    up = tierdrill(folder, "lab", "up", "--name", "kept", "--environment", "lab", cwd=ROOT)
    assert up.returncode == 0, up.stderr
    yield folder
    tierdrill(folder, "lab", "down", "--name", "kept")
    for process in processes(folder):
        process.kill()


def member() -> Member:
    catalogue = shipped_documents()
    calendar = Calendar.model_validate({
        "apiVersion": "tierdrill/v1", "kind": "Calendar", "metadata": {"name": "c"},
        "entries": [{"name": "e", "drill": "node-loss", "every": "1h", "lab": "kept"}],
    })  # fmt: skip
    return member_of(catalogue, calendar, calendar.entries[0], "node-loss")


def facts(home: Path) -> Facts:
    return Facts(home, member(), None, free, time.time())


async def free(wanted: Member) -> None:
    """No other slot has the environment."""


def settled(ask: object, verdict: str) -> GateResult:
    """The gate's answer once it is this one: a lab that has just come up needs a moment to be scraped."""
    deadline = time.monotonic() + 30
    while (result := asyncio.run(ask())).verdict != verdict:  # type: ignore[operator]
        assert time.monotonic() < deadline, result
        time.sleep(0.2)
    return result


def test_a_quiet_lab_lets_a_drill_start(home: Path) -> None:
    budget = settled(facts(home).budget, "open")
    # Nobody asks but the lab itself, its golden requests.
    assert budget.reason.count("100% left") == len(re.findall(r"have|has", budget.reason)) >= 1
    assert all(tier in budget.reason for tier in ("critical", "standard", "best-effort", "Prometheus at http://127"))
    alerts = settled(facts(home).alerts, "open")
    assert alerts.reason.startswith("no alerts firing or silenced (Alertmanager at http://127.0.0.1:")


def test_a_silence_holds_it_and_names_its_author(home: Path) -> None:
    lab = attach(home, "kept")

    async def silenced() -> GateResult:
        with silenced_alert(f"http://{lab.alertmanager}", "NodeNotReady", "ann", "planned work", lab.login.pair):
            return await facts(home).alerts()

    found = asyncio.run(silenced())
    assert found.verdict == "held"
    assert "silenced: alertname=NodeNotReady by ann: planned work" in found.reason
    settled(facts(home).alerts, "open")


def test_a_replica_that_died_fires_and_holds_it(home: Path) -> None:
    state = attach(home, "kept")
    from tierdrill.lab.client import LabClient

    settled(facts(home).alerts, "open")
    with LabClient(state) as client:
        client.power("node-3", "off")
        found = settled(facts(home).alerts, "held")
        assert "firing: " in found.reason
        assert "NodeNotReady on node-3" in found.reason
        client.power("node-3", "on")


def test_no_answer_is_no_data(home: Path) -> None:
    nowhere = Service("http://127.0.0.1:9")
    tier = member().tiers[0]
    fact = asyncio.run(budget_fact(nowhere, tier, member().environment))
    assert fact is not None
    assert fact.left is None
    assert "http://127.0.0.1:9" in fact.seen
    assert asyncio.run(alert_facts(nowhere)).unknown
