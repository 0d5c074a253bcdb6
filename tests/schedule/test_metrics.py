"""The scheduler's metrics as Prometheus reads them, and its alert rules as promtool does."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from tests.cli.support import ROOT, tierdrill
from tests.schedule.houses import new_house
from tierdrill.documents.models.calendar import Calendar
from tierdrill.documents.timetable import Timetable, timetable_of
from tierdrill.schedule.metrics import Metrics, longest_silence_s, schedule_rules
from tierdrill.schedule.notify.outbox import Outbox
from tierdrill.schedule.observers import Observers

NOW = datetime(2026, 11, 26, tzinfo=UTC)
HOME_TOOLS = Path(os.environ.get("TIERDRILL_TOOLS", "")) / "usr" / "bin"


def timetable(**fields: object) -> Timetable:
    document = {
        "apiVersion": "tierdrill/v1", "kind": "Calendar", "metadata": {"name": "nightly", "owner": "team"}, **fields,
    }  # fmt: skip
    return timetable_of(Calendar.model_validate(document), Path("c.yaml"))


WEEKNIGHTS = {"name": "e", "drill": "d", "cron": "0 3 * * mon-fri"}


def promtool() -> str:
    found = shutil.which("promtool") or shutil.which("promtool", path=str(HOME_TOOLS))
    if found is None:
        pytest.skip("promtool is not on this machine")
    return found


def test_an_alert_waits_for_the_longest_silence_that_the_calendar_makes() -> None:
    plain = timetable(entries=[WEEKNIGHTS])
    assert longest_silence_s(plain, plain.entries["e"], NOW) == 3 * 86400
    freeze = {"ranges": [{"start": "2026-12-14", "end": "2027-01-03"}]}
    frozen = timetable(entries=[WEEKNIGHTS], blackouts=freeze)
    assert longest_silence_s(frozen, frozen.entries["e"], NOW) == 24 * 86400
    off = timetable(entries=[{**WEEKNIGHTS, "enabled": False}])
    assert longest_silence_s(off, off.entries["e"], NOW) is None


def test_promtool_takes_the_rules_and_they_fire_when_they_should(tmp_path: Path) -> None:
    table = timetable(entries=[{**WEEKNIGHTS, "cron": "0 3 * * *"}])
    rules = tmp_path / "rules.yaml"
    rules.write_text(schedule_rules([table], NOW))
    assert rules.read_text() == schedule_rules([table], NOW)
    checked = subprocess.run([promtool(), "check", "rules", rules], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    labels = '{calendar="nightly",entry="e"}'
    quiet = {"alertname": "ScheduledDrillDidNotRun", "exp_alerts": []}
    told = {"calendar": "nightly", "entry": "e", "severity": "ticket"}
    text = yaml.safe_load(rules.read_text())
    rule = next(one for one in text["groups"][1]["rules"] if one["alert"] == "ScheduledDrillDidNotRun")
    expected = {"exp_labels": told, "exp_annotations": rule["annotations"]}
    test = {
        "rule_files": [str(rules)],
        "evaluation_interval": "1m",
        "tests": [{
            "interval": "1m",
            "input_series": [
                {"series": f"tierdrill_scheduler_last_run_timestamp_seconds{labels}", "values": "0x3000"},
                {"series": "tierdrill_scheduler_heartbeat_timestamp_seconds", "values": "0+60x1500 90000x1500"},
                {"series": "tierdrill_scheduler_store_up", "values": "1x3000"},
                {"series": f"tierdrill_scheduler_missed_slots_total{labels}", "values": "0x100 1x2900"},
            ],
            "alert_rule_test": [
                {"eval_time": "24h", **quiet},
                {"eval_time": "26h", "alertname": "ScheduledDrillDidNotRun", "exp_alerts": [expected]},
                {"eval_time": "24h", "alertname": "DrillSchedulerDown", "exp_alerts": []},
                {"eval_time": "25h", "alertname": "DrillSchedulerCannotRecord", "exp_alerts": []},
                {"eval_time": "12h", "alertname": "DrillSlotsMissed", "exp_alerts": []},
            ],
        }],
    }  # fmt: skip
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump(test))
    done = subprocess.run([promtool(), "test", "rules", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_metrics_are_served_on_loopback_as_prometheus_reads_them(tmp_path: Path) -> None:
    metrics = Metrics()
    metrics.know(("nightly", "e"))
    metrics.next_due.labels("nightly", "e").set(17.0)
    metrics.decisions.labels("nightly", "e", "held", "lock").inc()
    port = metrics.serve(0)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    finally:
        metrics.close()
    assert 'tierdrill_scheduler_next_due_timestamp_seconds{calendar="nightly",entry="e"} 17.0' in text
    assert 'tierdrill_scheduler_missed_slots_total{calendar="nightly",entry="e"} 0.0' in text
    assert 'decisions_total{calendar="nightly",entry="e",outcome="lock",state="held"} 1.0' in text
    lint = subprocess.run([promtool(), "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert lint.returncode == 0, lint.stdout + lint.stderr


def test_every_metric_that_a_rule_asks_for_is_served() -> None:
    metrics = Metrics()
    names = {f"{family.name}{'_total' if family.type == 'counter' else ''}" for family in metrics.registry.collect()}
    asked = set(re.findall(r"tierdrill_scheduler_\w+", schedule_rules([timetable(entries=[WEEKNIGHTS])], NOW)))
    assert asked <= names


def test_the_commands_tell_what_the_scheduler_did(tmp_path: Path) -> None:
    house = new_house(tmp_path)
    none = tierdrill(house.home, "schedule", "status")
    assert none.code == 0
    assert none.out == f"no scheduler has run in {house.home}; start one with `tierdrill scheduler`\n"
    from tierdrill.process.identity import me
    from tierdrill.schedule.store.slot_records import Gap, SlotName, SlotState

    with closing(house.store()) as store:
        store.considered({("nightly", "e"): "x"}, 1.0)
        slot = SlotName("nightly/e/2026-11-26T03:00:00Z", "nightly", "e", 1795662000.0, 1795662000.0)
        store.claim(slot, me(), 1795662001.5, 1.5)
        store.finish(slot.key, me(), SlotState.HELD, "budget", "budget: spent: critical", 1795662002.0)
        store.pass_over_many(Gap("nightly", "e", 1.0, 2.0, 12, "late", 3.0))
        store.beat(me(), 5.0, 1e12, ["nightly"])
    shown = tierdrill(house.home, "schedule", "log").out
    assert "2026-11-26 03:00:00Z  nightly/e  held: budget: spent: critical, 1.5 s late" in shown
    assert "12 slots missed: late" in shown
    status = tierdrill(house.home, "schedule", "status").out
    assert f"scheduler {os.getpid()} runs" in status
    assert re.search(r"nightly/e\s+2026-11-26 03:00:00Z\s+held budget\s+never", status)
    document = json.loads(tierdrill(house.home, "schedule", "log", "--json", "--state", "held").out)
    assert [one["outcome"] for one in document["slots"]] == ["budget"]
    assert document["gaps"] == []


def test_the_scheduler_refuses_what_it_cannot_serve(tmp_path: Path) -> None:
    house = new_house(tmp_path)
    words = ("--catalogue", str(house.root), "scheduler")
    for part in ("drills", "experiments", "playbooks"):
        shutil.rmtree(house.root / part)
        shutil.copytree(ROOT / part, house.root / part)
    shutil.rmtree(house.root / "drills" / "calendars")
    done = tierdrill(house.home, *words)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "no calendars in" in done.err
    house.calendar({"name": "a", "drill": "node-loss", "cron": "0 3 * * *"})
    assert "did you mean often?" in tierdrill(house.home, *words, "--calendar", "ofen").err
    house.calendar({"name": "a", "drill": "node-los", "cron": "0 3 * * *"})
    broken = tierdrill(house.home, *words)
    assert broken.code == 2
    assert "drills/calendar.yaml:" in broken.err
    metrics = Metrics()
    port = metrics.serve(0)
    try:
        house.calendar({"name": "a", "drill": "node-loss", "cron": "0 3 * * *"})
        taken = tierdrill(house.home, *words, "--metrics-port", str(port))
        assert (taken.code, "cannot listen on port" in taken.err) == (2, True)
    finally:
        metrics.close()
    assert tierdrill(house.home, *words, "--once").code == 0




def test_a_scheduler_loads_nothing_heavy_until_it_needs_it() -> None:
    heavy = {"chaoslib", "kubernetes", "locust", "httpx", "requests", "uvicorn", "rich", "jinja2", "numpy", "pandas"}
    probe = (
        "import sys\n"
        "import tierdrill.schedule.daemon, tierdrill.schedule.observers, tierdrill.cli.commands.scheduler\n"
        f"sys.exit(' '.join(sorted(set({sorted(heavy)!r}) & set(sys.modules))) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_an_entry_that_never_passed_counts_from_when_it_was_first_seen(tmp_path: Path) -> None:
    house = new_house(tmp_path)
    metrics = Metrics()
    observers = Observers(house.home, metrics, Outbox(house.home))
    with closing(house.store()) as store:
        store.considered({("nightly", "e"): "x"}, 7.0)
        observers.remember(store)
    observers.known_since(("nightly", "new"), 9.0)
    values = {
        (sample.name, sample.labels["entry"]): sample.value
        for family in (metrics.last_run, metrics.last_success)
        for sample in next(iter(family.collect())).samples
    }
    names = ("tierdrill_scheduler_last_run_timestamp_seconds", "tierdrill_scheduler_last_success_timestamp_seconds")
    assert values == {(name, entry): at for name in names for entry, at in (("e", 7.0), ("new", 9.0))}
