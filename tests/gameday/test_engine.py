"""The engine with real processes in the place of drills: it starts, follows, stops and takes up what others began."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.gameday.support import ANA, begun, document, finished, journal
from tierdrill.conductor.guardrails import GuardrailWatch
from tierdrill.gameday import step_runs as runs
from tierdrill.gameday.console.facilitator_lock import Seat, SeatTaken, environment_held
from tierdrill.gameday.gameday_commands import Command, Verb
from tierdrill.gameday.gameday_engine import Engine, run_arguments
from tierdrill.gameday.journal import Journal
from tierdrill.gameday.step_runs import RunChild
from tierdrill.history.kill_switch import throw_kill_switch
from tierdrill.history.ledger import Ledger
from tierdrill.process.identity import me
from tierdrill.schedule.gates.gate_facts import Facts

WITHIN_S = 20.0
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def staged(monkeypatch: pytest.MonkeyPatch) -> None:
    """`staged_run` plays `tierdrill run`."""
    monkeypatch.setattr(runs, "COMMAND", (sys.executable, "-m", "tests.gameday.staged_run"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "runner")]))


def ticked(engine: Engine, until: Callable[[Engine], bool]) -> Engine:
    """Tick until it is so; each tick gives way to the child."""
    deadline = time.monotonic() + WITHIN_S
    while not until(engine):
        assert time.monotonic() < deadline, engine.state
        engine.tick()
        assert engine.trouble == ""
        time.sleep(0.02)
    return engine


def do(engine: Engine, verb: Verb, text: str = "") -> None:
    assert engine.do(Command(verb, text=text)).ok


def stage(name: str) -> Callable[[Engine], bool]:
    return lambda engine: engine.state.stage == name


def landed(engine: Engine) -> bool:
    return engine.run is not None and engine.run.effect is not None


def test_a_run_is_started_followed_and_judged(tmp_path: Path) -> None:
    engine = Engine(journal(tmp_path), ANA)
    do(engine, "next")
    ticked(engine, landed)
    assert engine.setting is not None and engine.setting.drill.metadata.name == "node-loss"
    ticked(engine, stage("pause"))
    last = engine.state.steps[0].last
    assert last is not None and last.status == "passed" and last.run is not None
    assert last.times["mttd"] is not None
    assert any(check["id"] == "slo/critical/availability" and check["low"] for check in last.checks)
    assert any("NodeNotReady" in one["text"] for one in last.outcome.story)


def test_the_whole_day_unattended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGED_SECONDS", "0.05")
    engine = Engine(journal(tmp_path, unattended=True, pauses=False), ANA)
    ticked(engine, stage("ended"))
    assert [step.last.status for step in engine.state.steps if step.last] == ["passed", "failed"]
    assert engine.state.outcome == "completed"


def test_another_facilitator_takes_up_a_run_that_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGED_SECONDS", "2")
    first = Engine(journal(tmp_path), ANA)
    do(first, "next")
    ticked(first, landed)
    first.journal.close()
    second = Engine(Journal(tmp_path, "quick-1"), "Ben")
    ticked(second, landed)
    assert second.followed is not None and second.followed.child.alive()
    ticked(second, stage("pause"))
    assert second.state.steps[0].last is not None and second.state.steps[0].last.status == "passed"


def test_a_run_that_ended_while_nobody_looked_is_taken_up(tmp_path: Path) -> None:
    first = Engine(journal(tmp_path), ANA)
    do(first, "next")
    first.tick()
    child = first.followed.child if first.followed else None
    assert child is not None
    deadline = time.monotonic() + WITHIN_S
    while child.alive() and time.monotonic() < deadline:
        time.sleep(0.02)
    second = Engine(Journal(tmp_path, "quick-1"), "Ben")
    ticked(second, stage("pause"))
    assert second.state.steps[0].last is not None and second.state.steps[0].last.status == "passed"


def test_a_facilitator_killed_before_the_run_began_leaves_an_attempt_that_did_not(tmp_path: Path) -> None:
    from tests.raw_event import event

    made = journal(tmp_path)
    Engine(made, ANA).do(Command("next"))
    made.write([event("run.starting", "tierdrill", step=0, attempt=1)])
    engine = ticked(Engine(made, ANA), stage("pause"))
    assert engine.state.steps[0].last is not None and engine.state.steps[0].last.status == "refused"


@pytest.mark.parametrize("verb", ["skip", "abort"])
def test_a_run_is_asked_to_stop_and_its_end_is_awaited(
    verb: Verb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAGED_SECONDS", "30")
    engine = Engine(journal(tmp_path), ANA)
    do(engine, "next")
    ticked(engine, landed)
    do(engine, verb, "for a reason")
    ticked(engine, stage("pause" if verb == "skip" else "ended"))
    last = engine.state.steps[0].last
    assert last is not None and last.status == "aborted" and last.run is not None
    with closing(Ledger(tmp_path)) as ledger:
        asked = ledger.stop_asked(last.run)
    assert asked is not None and "for a reason" in asked.reason
    assert engine.followed is not None and not engine.followed.child.alive()


def test_a_step_skipped_before_its_run_was_started_never_starts(tmp_path: Path) -> None:
    engine = Engine(journal(tmp_path), ANA)
    do(engine, "next")
    do(engine, "skip")
    ticked(engine, stage("pause"))
    assert not list((tmp_path / "gamedays" / "quick-1").glob("step-*"))


def test_the_kill_switch_keeps_a_run_from_beginning_and_is_told(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path)) as ledger:
        throw_kill_switch(ledger.home, "ben", "a real incident")
    engine = Engine(journal(tmp_path), ANA)
    do(engine, "next")
    ticked(engine, stage("pause"))
    last = engine.state.steps[0].last
    assert last is not None and last.status == "refused" and "a real incident" in last.summary
    assert engine.halt is not None and engine.halt.reason == "a real incident"


def test_a_breached_criterion_ends_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [guardrail] = [one.guardrail for one in document().abort if one.guardrail is not None]
    monkeypatch.setenv("STAGED_GUARDRAIL", GuardrailWatch(guardrail).name)
    engine = Engine(journal(tmp_path), ANA)
    do(engine, "next")
    ticked(engine, stage("ended"))
    assert engine.state.outcome == "aborted" and "half of it is gone" in engine.state.reason


def test_a_dead_runner_is_waited_for_until_its_books_are_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAGED_SECONDS", "30")
    shift = [0.0]
    engine = Engine(
        journal(tmp_path), ANA, clock=lambda: time.time() + shift[0], boot_clock=lambda: time.time() + shift[0]
    )
    do(engine, "next")
    ticked(engine, landed)
    engine.kill_run()
    ticked(engine, lambda one: one.followed is not None and one.followed.dead_since is not None)
    assert engine.state.stage == "running"
    shift[0] = 200.0
    ticked(engine, stage("pause"))
    last = engine.state.steps[0].last
    assert last is not None and last.status == "unclean" and "recover" in last.summary


@pytest.mark.parametrize("step", [7200.0, -7200.0])
def test_a_clock_that_is_set_makes_no_pause_longer_or_shorter(step: float, tmp_path: Path) -> None:
    made = journal(tmp_path, begun(at=1000.0), finished(at=1100.0), unattended=True)
    wall, boot = [1100.0], [50.0]
    engine = Engine(made, ANA, clock=lambda: wall[0], boot_clock=lambda: boot[0])
    for _ in range(3):
        wall[0], boot[0] = wall[0] + 1.0, boot[0] + 1.0
        engine.tick()
    wall[0], boot[0] = wall[0] + step + 1.0, boot[0] + 1.0
    engine.tick()
    assert engine.state.stage == "pause"
    assert engine.state.pause_until == pytest.approx(1400.0 + step)
    assert "clock was set" in engine.state.notes[-1].text


def test_trouble_with_the_files_is_told_and_passes(tmp_path: Path) -> None:
    engine = Engine(journal(tmp_path), ANA)
    (tmp_path / "ledger.db").mkdir()
    engine.tick()
    assert "ledger.db" in engine.trouble
    (tmp_path / "ledger.db").rmdir()
    engine._looked_at = 0.0
    engine.tick()
    assert engine.trouble == ""


def test_hands_off_only_looks(tmp_path: Path) -> None:
    engine = Engine(journal(tmp_path, unattended=True), "Cleo", hands_off=True)
    engine.tick()
    assert engine.state.stage == "before"


def test_the_command_line_of_a_step(tmp_path: Path) -> None:
    step = {"drill": "node-loss", "variant": "blip", "variables": {"node": "node-1", "deep": True}}
    made = journal(tmp_path, of=document(steps=[step]), lab="kept")
    Engine(made, ANA).do(Command("next"))
    assert run_arguments(made.state, tmp_path) == [
        "--home", str(tmp_path), "--catalogue", "/nowhere", "run", "node-loss", "--json", "--blip",
        "--set", "deep=true", "--set", "node=node-1", "--guardrail", "critical:40%:3s:20", "--lab", "kept",
    ]  # fmt: skip
    told = run_arguments(replace(made.state, in_maintenance="sre"), tmp_path)
    assert told[-2:] == ["--in-maintenance", "sre"]


def test_one_seat_one_facilitator(tmp_path: Path) -> None:
    first, second = Seat(tmp_path), Seat(tmp_path)
    first.take("Ana")
    assert second.taken()
    with pytest.raises(SeatTaken, match=r"Ana \(pid \d+\)"):
        second.take("Ben")
    first.leave()
    assert not second.taken()
    second.take("Ben")
    second.leave()


def test_a_game_day_holds_its_environment_while_it_lasts_and_its_runs_are_let_in(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path)) as ledger:
        with environment_held(tmp_path, "lab", "quick-1", "Ana"):
            [(name, run, pid, owner)] = ledger.locks(living=True)
            assert (name, run, pid, owner) == ("lab/own/quick-1", "quick-1", os.getpid(), "Ana")
            ledger.lock("lab/own/r1", "r1", replace(me(), ticks=0), "x")
            assert [one[1] for one in ledger.locks(living=True)] == ["quick-1"]
        assert [one[1] for one in ledger.locks()] == ["r1"]
        assert ledger.locks(living=True) == []


def test_the_seat_of_a_killed_facilitator_is_free(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from tierdrill.gameday.console.facilitator_lock import Seat\n"
        "Seat(Path(sys.argv[1])).take('Ana'); print('there', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"there\n"
        seat = Seat(tmp_path)
        assert seat.taken()
        other.send_signal(signal.SIGKILL)
        other.wait(5)
        seat.take("Ben")
        seat.leave()


def test_a_seat_is_taken_over_from_a_process_that_hangs_up(tmp_path: Path) -> None:
    code = (
        "import sys, time, signal; from pathlib import Path\n"
        "from tierdrill.gameday.console.facilitator_lock import Seat\n"
        # Under nohup, where tests may be run, it would be ignored.
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
        "Seat(Path(sys.argv[1])).take('Ana'); print('there', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"there\n"
        seat = Seat(tmp_path)
        seat.take_over("Ben")
        assert other.wait(5) == -signal.SIGHUP
        assert (seat.holder() or pytest.fail("nobody")).author == "Ben"
        seat.leave()


def test_a_facilitator_that_stands_still_is_no_hindrance(tmp_path: Path) -> None:
    code = (
        "import sys, time, signal; from pathlib import Path\n"
        "from tierdrill.gameday.console.facilitator_lock import Seat\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "Seat(Path(sys.argv[1])).take('Ana'); print('there', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"there\n"
        seat = Seat(tmp_path)
        seat.take_over("Ben")
        assert other.wait(5) == -signal.SIGKILL
        seat.leave()


def test_two_who_look_do_not_take_each_other_for_the_run(tmp_path: Path) -> None:
    (tmp_path / "step-1-1.lock").touch()
    lookers = [RunChild(tmp_path, 0, 1) for _ in range(2)]
    assert [looker.alive() for looker in lookers * 3] == [False] * 6


def test_the_scheduler_finds_the_environment_of_a_game_day_in_use(tmp_path: Path) -> None:
    facts = object.__new__(Facts)
    environment = SimpleNamespace(metadata=SimpleNamespace(name="lab"))
    facts._home = tmp_path
    facts._member = SimpleNamespace(environment=environment, lock="lab")  # type: ignore[assignment]
    with environment_held(tmp_path, "lab", "quick-1", "Ana"):
        assert facts._run_inside() == f"by run quick-1 (owner Ana, pid {os.getpid()})"
    assert facts._run_inside() is None
