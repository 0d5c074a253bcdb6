"""Somebody's own automation on their own platform: told by Alertmanager's webhook, proven with blip and sabotage."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.conductor.test_toolhooks import SECRET, Tool
from tests.e2e.home import tierdrill
from tests.external.shop import TOKEN, Platform

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(300)]


@contextlib.contextmanager
def automation() -> Iterator[Tool]:
    """The tool, which answers as long as the block lasts."""
    loop, tool = asyncio.new_event_loop(), Tool()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(tool.server.start(), loop).result(30)
        yield tool
        asyncio.run_coroutine_threadsafe(tool.server.stop(), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


def write_drill(shop: Platform, tool_url: str) -> None:
    """The page's drill, with an alert that a blip does not raise and a playbook of the tool's that must answer it."""
    shop.change(
        "drills/shop-eu.yaml",
        ("alert: PlatformWorkerDown", "alert: PlatformWorkerGone"),
        (
            "  fault_secret:",
            f"  delivery: webhook\n  listen: {shop.listen}\n"
            f"  webhook_token: {{file: {shop.folder / 'webhook-token'}}}\n  fault_secret:",
        ),
    )
    playbook = {
        "apiVersion": "tierdrill/v1",
        "kind": "Playbook",
        "metadata": {"name": "replace-worker", "title": "Our automation replaces a worker", "owner": "team-serving"},
        "engine": "external",
        "match": {"alert": "WorkerDown"},
        "target": "${labels.replica}",
        "target_kind": "replica",
        "external": {
            "tool": "shop-automation",
            "secret_env": "TEST_TOOL_SECRET",
            "webhook": tool_url,
            "start_within": "5s",
            "finish_within": "10s",
        },
        "escalation": {"tier": "critical", "summary": "Nobody replaced ${target}"},
    }
    (shop.catalogue / "playbooks" / "replace-worker.yaml").write_text(yaml.safe_dump(playbook))
    path = shop.catalogue / "drills" / "worker-down.yaml"
    drill = yaml.safe_load(path.read_text())
    drill["phases"]["fault"] = "10s"
    drill["expect"]["alerts"]["must_fire"][0]["within"] = "8s"
    drill["expect"]["playbooks"] = {"must_fire": [{"playbook": "replace-worker", "target": "b", "within": "10s"}]}
    drill["blip"] = {"fault": "300ms"}
    drill["sabotages"] = [
        {"name": "automation-off", "do": {"disable_playbook": "replace-worker"}, "fails": ["playbook/replace-worker/*"]}
    ]
    path.write_text(yaml.safe_dump(drill))


def test_a_drill_its_blip_and_its_sabotage_prove_what_the_tool_is_there_for(
    shop: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_TOOL_SECRET", SECRET)
    home = tmp_path / "home"
    with automation() as tool:
        write_drill(shop, f"{tool.server.url}/alerts")
        done = tierdrill(home, "--catalogue", str(shop.catalogue), "prove", "worker-down", "--json", timeout=280)
    said = done.stdout + done.stderr
    rows = {row["variant"]: row for row in json.loads(done.stdout)["drills"][0]["rows"]}
    assert done.returncode == 0, said
    assert set(rows) == {"drill", "blip", "sabotage:automation-off"}
    assert [call["target"] for call in tool.calls if call["status"] == "firing"] == ["b"], "by the drill alone"
    assert shop.mode() == "ok"
    kept = "".join(path.read_text(errors="replace") for path in home.rglob("*") if path.is_file())
    assert TOKEN not in kept + said and SECRET not in kept + said
