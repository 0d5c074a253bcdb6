"""Exercises end to end: the real host, lab and load, worked on by the real commands."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.exercise import Exercise, catalogue_with, incident
from tests.e2e.home import await_none, processes, tierdrill
from tierdrill.history.history_store import HistoryStore
from tierdrill.history.ledger import Ledger

CRASH = incident("the-crash", "replica-crash", {"replica": "assistant-1"}, "dead-replica")
MENDED_BY = [{"remedy": "restart-replica", "target": "assistant-1"}]


@contextmanager
def exercise(tmp_path: Path, incidents: list[dict[str, Any]], *options: str, **changes: Any) -> Iterator[Exercise]:
    """One that goes on; whatever is left of it at the end is killed."""
    catalogue = catalogue_with(tmp_path / "catalogue", incidents, **changes)
    going = Exercise(tmp_path / "home", catalogue, *options)
    try:
        going.until_begun()
        yield going
    finally:
        for process in processes(going.home):
            process.kill()


def facilitate(going: Exercise, token: Path, *words: str) -> tuple[int, str]:
    done = tierdrill(going.home, "facilitate", "--token-file", str(token), *words)
    return done.returncode, done.stdout + done.stderr


def kinds(going: Exercise) -> list[str]:
    return [event.kind for event in going.history()]


@pytest.mark.slow
@pytest.mark.lab
@pytest.mark.timeout(400)
def test_a_trainee_mends_it_while_a_facilitator_watches(tmp_path: Path) -> None:
    token = tmp_path / "token"
    mended = [{**CRASH, "mitigations": MENDED_BY}]
    with exercise(tmp_path, mended, "--trainee", "ada", duration="200s", time_scale=20) as going:
        code, _ = facilitate(going, token, "message", "@boss", "is", "all", "well?")
        assert code == 0 and token.stat().st_mode & 0o777 == 0o600
        page = going.until_paged("assistant-1")
        assert page["tier"] == "critical"
        assert going.ops("ack", page["id"])["ok"] and not going.ops("ack", page["id"])["ok"]
        snapshot = json.loads(facilitate(going, token, "--json")[1])
        assert snapshot["happened"][0]["targets"] == ["assistant-1"] and snapshot["trainee"] == "ada"
        assert tierdrill(going.home, "facilitate", "pause").returncode == 1, "another cannot: the seat is taken"
        assert facilitate(going, token, "pause")[0] == 0
        refused = going.ops("restart", "assistant-1")
        assert not refused["ok"] and "paused" in refused["text"]
        assert going.ops("replicas")["ok"], "looking is always possible"
        assert facilitate(going, token, "resume")[0] == 0
        assert "boss" in going.ops("messages")["text"]
        assert going.ops("hypothesis", "dead-replica")["ok"] and going.ops("hypothesis", "ghosts")["code"] == 2
        assert going.ops("update", "One of three assistants is down; it is being restarted.")["ok"]
        breach = going.ops("shed", "critical", "50%")
        assert not breach["ok"] and breach["data"]["rule"] == "shed-order"
        wrong_role = going.ops("shed", "standard", "0.1", "--override", "intern", "--reason", "x")
        assert not wrong_role["ok"]
        allowed = going.ops(
            "shed", "standard", "0.1", "--override", "incident-commander", "--reason", "a test", "--wait"
        )
        assert allowed["ok"] and allowed["data"]["override"]["rule"] == "shed-order"
        assert going.ops("rollback", "--wait")["ok"]
        assert going.ops("restart", "assistant-1", "--wait")["ok"]
        going.until(
            "it is ready", lambda: next(r for r in going.ops("replicas")["data"] if r["name"] == "assistant-1")["ready"]
        )
        going.until("relief", lambda: going.host.poll() is not None or going.ops("done")["ok"], 100.0)
        assert going.end() == 0, going.output()
        assert "points" in going.output()
        assert await_none(going.home, 8.0) == []
        events = {event.kind: event.data for event in going.history()}
        assert events["exercise.started"]["trainee"] == "ada" and events["exercise.ended"]["reason"] == "resolved"
        assert {
            "fault.intended",
            "fault.landed",
            "fault.gone",
            "page.sent",
            "facilitator.joined",
            "trainee.update",
        } <= set(events)
        actions = [event.data for event in going.history() if event.kind == "trainee.action"]
        assert [one["action"] for one in actions if one["refused"]] == ["shed", "shed"]
        assert [one["action"] for one in actions if one["ok"]] == ["shed", "roll-back", "restart-replica"]
        assert not list((going.home / "exercises").iterdir())


@pytest.mark.slow
@pytest.mark.lab
@pytest.mark.timeout(400)
@pytest.mark.parametrize("with_reaper", [False, True])
def test_a_killed_host_leaves_nothing_injected(with_reaper: bool, tmp_path: Path) -> None:
    with exercise(tmp_path, [CRASH], duration="200s", time_scale=1000) as going:
        going.until("an escalation", lambda: any(page["level"] == 3 for page in going.open_pages()), 90.0)
        told = tierdrill(going.home, "status")
        assert "sealed" in told.stdout and "crash" not in told.stdout and "assistant" not in told.stdout
        if with_reaper:
            for process in processes(going.home):
                if "tierdrill.recovery.reaper" in process.cmdline():
                    process.kill()
        going.host.kill()
        going.host.wait(10)
        if with_reaper:
            mended = tierdrill(going.home, "recover")
            assert mended.returncode == 0 and "sealed fault" in mended.stdout, mended.stdout + mended.stderr
        assert await_none(going.home, 20.0) == []
        ledger = Ledger(going.home)
        assert ledger.open_faults() == []
        ledger.close()
        assert tierdrill(going.home, "status").returncode == 0
        store = HistoryStore(going.home)
        record = store.find(None)
        store.close()
        assert record is not None and record.status == "aborted"
        events = {event.kind: event.data for event in going.history()}
        assert events["exercise.ended"]["reason"] == "died" and events["fault.landed"]
        assert events["page.escalated"]["by"] == "nobody acknowledged it"
        assert not list((going.home / "exercises").iterdir())


@pytest.mark.slow
@pytest.mark.lab
@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", ["interrupt", "interrupt twice", "terminate", "stop", "halt", "hang up"])
def test_a_stopped_exercise_cleans_up_and_scores_so_far(how: str, tmp_path: Path) -> None:
    with exercise(tmp_path, [CRASH], duration="200s") as going:
        going.until_paged("assistant-1")
        if how in ("stop", "halt"):
            words = ("stop",) if how == "stop" else ("halt", "--reason", "a test")
            assert tierdrill(going.home, *words).returncode == 0
        else:
            number = {"terminate": signal.SIGTERM, "hang up": signal.SIGHUP}.get(how, signal.SIGINT)
            going.host.send_signal(number)
        if how == "interrupt twice":
            time.sleep(0.3)
            going.host.send_signal(signal.SIGINT)
        assert going.end() == (130 if how == "interrupt twice" else 4), going.output()
        assert await_none(going.home, 20.0) == []
        ledger = Ledger(going.home)
        assert ledger.open_faults() == []
        ledger.close()
        assert "fault.gone" in kinds(going)
        if how != "interrupt twice":
            assert "debrief: " in going.output()


@pytest.mark.slow
@pytest.mark.lab
@pytest.mark.timeout(300)
def test_two_incidents_ring_in_tier_order_and_wrong_automation_is_wrong(tmp_path: Path) -> None:
    """Both faults at once: the page of the tier that matters more rings first, though it is the later incident."""
    both = [
        {**incident("lesser", "replica-crash", {"replica": "draft-0"}, "dead-replica"), "tier": "best-effort"},
        incident("greater", "replica-crash", {"replica": "assistant-1"}, "dead-replica"),
    ]
    wrong = {"playbook": "restart-replica", "target": "summarizer-0"}
    with exercise(tmp_path, both, duration="60s", automation="wrong", wrong=wrong) as going:

        def rang() -> dict[str, str]:
            pages = going.ops("pages", "--all")["data"]
            return {page["summary"].split()[1]: page["id"] for page in pages if "has died" in page["summary"]}

        going.until("both pages", lambda: {"assistant-1", "draft-0"} <= rang().keys(), 90.0)
        assert rang()["assistant-1"] < rang()["draft-0"]
        assert going.end(200.0) == 0, going.output()
        events = going.history()
        assert next(event.data for event in events if event.kind == "exercise.ended")["reason"] == "time"
        acted = [event.data for event in events if event.kind == "playbook.started"]
        assert acted and {one["target"] for one in acted if one["playbook"] == "restart-replica"} == {"summarizer-0"}


def test_the_list_tells_no_truth(tmp_path: Path) -> None:
    told = tierdrill(tmp_path, "train", "--list", "--json")
    scenarios = json.loads(told.stdout)
    assert len(scenarios) >= 8 and {"name", "title", "level", "duration_s", "weight"} == set(scenarios[0])
    assert "truth" not in told.stdout and "incident" not in told.stdout


def test_what_cannot_be_started_says_what_can(tmp_path: Path) -> None:
    for words, told in (
        (("train",), "SCENARIO"),
        (("train", "amber-ketle"), "amber-kettle"),
        (("train", "amber-kettle", "--draw"), "one of"),
        (("train", "amber-kettle", "--level", "hard"), "--draw"),
        (("train", "amber-kettle", "--automation", "wrong"), "on or off"),
        (("ops", "tiers"), "no exercise in progress"),
        (("facilitate", "pause"), "no exercise in progress"),
    ):
        done = tierdrill(tmp_path, *words)
        assert done.returncode == 2 and told in done.stderr, (words, done.stderr)
        assert len(done.stderr.strip().splitlines()) == 1
