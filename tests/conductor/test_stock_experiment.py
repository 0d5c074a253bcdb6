"""Anybody's experiment as a drill's: proven by the probes that the drill names, undone whatever ends it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.conductor.stock import PROOF, RUN, Stock, experiment_on, probe, process, python
from tests.judge.build import Run, shipped
from tierdrill.conductor.experiment_runner import ExperimentProcess
from tierdrill.history.events import Event
from tierdrill.history.kill_switch import throw_kill_switch
from tierdrill.judge.judge import judge
from tierdrill.judge.verdict import Status
from tierdrill.recovery.cleanup import undo_all

FAULT = f"{RUN}/foreign/create-file"
MOMENTS = ("effective_at", "gone_at", "planned_at")


def verdict_with(events: list[Event]) -> Any:
    """The judge's word on a run that is otherwise whole and well, with the faults of these events."""
    intended = [event.data for event in events if event.kind == "fault.intended"]
    run = Run(planned=tuple((str(fault["kind"]), str(fault["target"])) for fault in intended))
    others = [event for event in run.events(shipped()) if not event.kind.startswith("fault.")]
    zero = next(event.at for event in others if event.kind == "phase.started" and event.data["phase"] == "fault")
    end = next(event.at for event in others if event.kind == "phase.ended" and event.data["phase"] == "fault")
    begins = {event.kind: event.at for event in events}
    faults = []
    for event in events:
        if event.kind.startswith("experiment."):
            at = zero if event.data.get("when") == "before" else end
            faults.append(Event(at, event.kind, event.source, event.data))
        if event.kind.startswith("fault."):
            # A file needs no fault phase to be seen in; its undoing is moved to where a drill would have it.
            undoing = event.kind in ("fault.reverting", "fault.gone", "fault.not_gone")
            shift = end - begins["fault.reverting"] if undoing else zero - begins["fault.intended"]
            data = {k: v + shift if k in MOMENTS and v is not None else v for k, v in event.data.items()}
            faults.append(Event(event.at + shift, event.kind, event.source, data))
    both = sorted([*others, *faults], key=lambda event: event.at)
    return judge([Event(one.at, one.kind, one.source, one.data, number) for number, one in enumerate(both, 1)])


def test_a_proven_fault_lands_and_is_gone(stock: Stock) -> None:
    assert stock.play(experiment_on(stock.marker), [PROOF], ahead=0.8) == 0
    kinds = stock.kinds()
    # A witness may see the effect before the action has returned.
    assert kinds[0] == "fault.intended" and set(kinds[1:3]) == {"fault.injected", "fault.landed"}
    assert kinds[3:] == ["fault.reverting", "fault.gone"]
    landed, gone = stock.one("fault.landed"), stock.one("fault.gone")
    assert landed.data["fault"] == gone.data["fault"] == FAULT
    assert landed.data["witness"] == "probe file-is-there" and "True" in landed.data["seen"]
    planned = stock.one("fault.intended").data["planned_at"]
    assert planned <= landed.data["effective_at"] < planned + 0.5
    assert gone.data["gone_at"] > landed.data["effective_at"]
    assert stock.open_faults() == [] and not stock.marker.exists()
    verdict = verdict_with(stock.events)
    assert verdict.check("fault/foreign/landed").status is Status.PASSED
    assert verdict.check("fault/foreign/gone").status is Status.PASSED


def test_two_actions_of_one_name_are_never_one_fault(stock: Stock) -> None:
    other = stock.home / "other"
    experiment = experiment_on(stock.marker)
    experiment["method"].append(python("action", "create-file", "create", path=str(other)))
    stock.play(experiment, [PROOF])
    assert "action create-file was not executed: the method has another action of that name" in stock.notes()
    assert not other.exists() and not stock.marker.exists() and stock.open_faults() == []
    assert stock.kinds().count("fault.intended") == 1 and "fault.failed" not in stock.kinds()


@pytest.mark.parametrize("written", [{"ref": "create-file"}, None])
def test_the_same_action_twice_is_one_fault(stock: Stock, written: dict[str, Any] | None) -> None:
    experiment = experiment_on(stock.marker)
    experiment["method"].append(written or dict(experiment["method"][0]))
    stock.play(experiment, [PROOF])
    assert stock.kinds().count("fault.intended") == 1 and "not played" not in stock.notes()
    assert "fault.gone" in stock.kinds() and stock.open_faults() == []


def hypothesis(*probes: dict[str, Any]) -> dict[str, Any]:
    return {"title": "All is well", "probes": list(probes)}


def test_a_hypothesis_that_does_not_hold_before_the_method_is_the_reason_told(stock: Stock) -> None:
    experiment = experiment_on(stock.marker)
    experiment["steady-state-hypothesis"] = hypothesis(probe("healthy", stock.marker, True))
    stock.play(experiment, [PROOF])
    assert stock.kinds() == []
    told = stock.one("experiment.hypothesis").data
    assert (told["when"], told["met"], told["probe"]) == ("before", False, "healthy")
    assert told["seen"] == "healthy returned False; its tolerance is True"
    verdict = verdict_with(stock.events)
    assert verdict.status is Status.INCONCLUSIVE and verdict.reasons[0] == "experiment/hypothesis/before"
    assert "healthy returned False" in verdict.summary and "method was not played" in verdict.summary


def test_a_hypothesis_that_does_not_hold_after_the_method_fails_the_run(stock: Stock) -> None:
    experiment = experiment_on(stock.marker)
    experiment["steady-state-hypothesis"] = hypothesis(probe("healthy", stock.marker, False))
    stock.play(experiment, [PROOF])
    told = [(one.data["when"], one.data["met"]) for one in stock.events if one.kind == "experiment.hypothesis"]
    assert told == [("before", True), ("after", False)]
    check = verdict_with(stock.events).check("experiment/hypothesis/after")
    assert check.status is Status.FAILED and "healthy returned True" in check.seen
    # Without the fault's proof the run cannot be believed; with it the hypothesis decides.
    assert "fault.landed" in stock.kinds()
    assert verdict_with(stock.events).check("experiment/rollbacks").seen == "1 played"


def test_a_hypothesis_that_breaks_and_recovers_during_the_method_fails_the_run(stock: Stock) -> None:
    experiment = experiment_on(stock.marker)
    experiment["runtime"] = {"hypothesis": {"strategy": "continuously"}}
    experiment["steady-state-hypothesis"] = hypothesis(probe("healthy", stock.marker, False))
    experiment["method"][0]["pauses"] = {"after": 1.5}
    experiment["method"].append(python("probe", "recovers", "remove", path=str(stock.marker)))
    stock.play(experiment, [PROOF])
    told = {one.data["when"]: one.data["met"] for one in stock.events if one.kind == "experiment.hypothesis"}
    assert told == {"before": True, "during": False, "after": True}
    assert verdict_with(stock.events).check("experiment/hypothesis/during").status is Status.FAILED


def test_a_hypothesis_without_an_answer_is_no_answer(stock: Stock) -> None:
    experiment = experiment_on(stock.marker)
    answer = python("probe", "answer", "once", path=str(stock.home / "asked"))
    experiment["steady-state-hypothesis"] = hypothesis({**answer, "tolerance": [1, 2]})
    stock.play(experiment, [PROOF])
    check = verdict_with(stock.events).check("experiment/hypothesis/after")
    assert check.status is Status.INCONCLUSIVE and "TypeError" in check.seen


def test_a_hypothesis_whose_probe_raises_after_the_method_fails_the_run(stock: Stock) -> None:
    experiment = experiment_on(stock.marker)
    experiment["steady-state-hypothesis"] = hypothesis(
        {**python("probe", "reads", "refuse_while", path=str(stock.marker)), "tolerance": True}
    )
    stock.play(experiment, [PROOF])
    check = verdict_with(stock.events).check("experiment/hypothesis/after")
    assert check.status is Status.FAILED and "reads raised" in check.seen and "it is there" in check.seen


def test_a_rollback_that_raises_is_unclean_whatever_one_probe_says(stock: Stock) -> None:
    experiment = experiment_on(stock.marker)
    experiment["rollbacks"].insert(0, python("action", "restore-configuration", "refuse", text="the old one is gone"))
    stock.play(experiment, [PROOF])
    assert "fault.gone" in stock.kinds() and stock.open_faults() == []
    told = stock.one("experiment.rollbacks").data
    assert told["played"] == 2 and [one["activity"] for one in told["failed"]] == ["restore-configuration"]
    verdict = verdict_with(stock.events)
    assert verdict.status is Status.UNCLEAN and verdict.reasons == ("experiment/rollbacks",)
    assert "restore-configuration: " in verdict.summary and "the old one is gone" in verdict.summary


def test_a_rollback_program_that_ends_with_an_error_has_failed_and_a_probe_within_its_tolerance_has_not(
    stock: Stock,
) -> None:
    experiment = experiment_on(stock.marker)
    experiment["rollbacks"] += [
        process("action", "mend", "-c", "raise SystemExit(3)"),
        {**process("probe", "is-gone", "-c", "raise SystemExit(1)"), "tolerance": 1},
    ]
    stock.play(experiment, [PROOF])
    assert [one["activity"] for one in stock.one("experiment.rollbacks").data["failed"]] == ["mend"]


@pytest.mark.parametrize("tolerance", ["absent", "${wanted}", {"type": "regex", "pattern": "^${wanted}$"}])
def test_the_tolerance_of_a_proof_is_filled_as_chaos_toolkit_does(stock: Stock, tolerance: Any) -> None:
    experiment = experiment_on(stock.marker)
    experiment["configuration"] = {"wanted": "absent"}
    absent = {**python("probe", "is-absent", "state", path=str(stock.marker)), "tolerance": tolerance}
    experiment["rollbacks"].append(absent)
    stock.play(experiment, [{**PROOF, "gone": "is-absent"}])
    assert stock.one("fault.gone").data["seen"] == "is-absent returned 'absent'" and stock.open_faults() == []


SECRETS = {"API_TOKEN": "s3cret-token", "DB_PASSWORD": 'pass"word', "FOUND_OUT": "i-0abc77"}


def with_secrets(stock: Stock, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """An experiment whose probes, actions and rollbacks all say what nobody may read."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    experiment = experiment_on(stock.marker)
    experiment["configuration"] = {
        "password": {"type": "env", "key": "DB_PASSWORD"},
        "machine": process("probe", "find-out", "-c", "import os; print(os.environ['FOUND_OUT'])"),
    }
    experiment["secrets"] = {
        "api": {"token": {"type": "env", "key": "API_TOKEN"}, "pin": "written-pin"},
    }
    told = {"text": "${password} ${machine} ${token} ${pin}"}
    experiment["method"].append(python("probe", "says", "echo", **told))
    experiment["method"].append({**python("action", "fails", "refuse", **told), "pauses": {"after": 0.3}})
    experiment["rollbacks"].append(python("action", "fails-too", "refuse", **told))
    gone = {**python("probe", "file-is-gone", "echo", **told), "tolerance": "${token}"}
    experiment["extensions"][0]["probes"][1] = gone
    once = {**python("probe", "only-before", "only_before", **told), "tolerance": True}
    experiment["steady-state-hypothesis"] = hypothesis(once)
    return experiment


def nothing_told(stock: Stock, *more: object) -> None:
    """No value of the experiment's own is in any file but its values, nor in any event."""
    files = [path for path in stock.home.rglob("*") if path.is_file() and path.suffix not in (".values", ".json")]
    texts = {str(path): path.read_bytes().decode(errors="replace") for path in files}
    texts |= {"events": "\n".join(event.to_line() for event in stock.events), "more": repr(more)}
    for value in (*SECRETS.values(), "written-pin"):
        for spelled in (value, value.replace('"', '\\"')):
            assert [name for name, text in texts.items() if spelled in text] == []


def test_what_the_experiment_finds_out_is_in_no_history_ledger_or_log(
    stock: Stock, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock.play(with_secrets(stock, monkeypatch), [PROOF])
    assert "${password} ${machine} ${token} ${pin}" in stock.notes(), "the reasons are told all the same"
    seen = [one.data["seen"] for one in stock.events if one.kind == "fault.not_gone"]
    assert any("${token}" in text for text in seen)
    assert [one["activity"] for one in stock.one("experiment.rollbacks").data["failed"]] == ["fails-too"]
    nothing_told(stock)
    (values,) = stock.home.glob("*.values")
    assert values.stat().st_mode & 0o077 == 0 and json.loads(values.read_text())["machine"] == "i-0abc77"


def test_after_kill_9_it_is_in_none_either(stock: Stock, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = with_secrets(stock, monkeypatch)
    del experiment["steady-state-hypothesis"]
    killed_mid_fault(stock, experiment, [PROOF])
    ledger, told = stock.ledger, []
    assert undo_all(ledger, RUN, "reaper", told.append, within_s=1.0) == [FAULT]
    ledger.close()
    assert "${password}" in (stock.home / "experiment.undo.log").read_text()
    nothing_told(stock, told)


def test_values_are_forgotten_once_all_is_undone(stock: Stock) -> None:
    killed_mid_fault(stock, experiment_on(stock.marker), [PROOF])
    assert list(stock.home.glob("*.values"))
    undone(stock)
    assert not list(stock.home.glob("*.values")) and stock.open_faults() == []


def test_the_history_has_no_secret_that_is_written_in_an_experiment() -> None:
    setting = shipped()
    secrets = {
        "api": {"pin": "written-pin", "token": {"type": "env", "key": "API_TOKEN", "default": "written-too"}},
        "vault": {"type": "vault", "path": "a/b", "key": "k"},
        "plain": "written-as-well",
    }
    told = replace(setting, experiment={**setting.experiment, "secrets": secrets}).to_json()["experiment"]
    assert "written" not in json.dumps(told)
    assert told["secrets"]["api"]["token"] == {"type": "env", "key": "API_TOKEN"}
    assert told["secrets"]["vault"] == secrets["vault"]
    assert {**told, "secrets": None} == {**setting.experiment, "secrets": None}


def test_an_action_whose_intent_lapsed_while_it_waited_is_not_played(stock: Stock) -> None:
    async def undone_by_another(child: ExperimentProcess) -> None:
        await stock.until(lambda: "fault.intended" in stock.kinds())
        ledger = stock.ledger
        ledger.mark(FAULT, "gone", "never there")
        ledger.close()

    stock.play(experiment_on(stock.marker), [PROOF], undone_by_another, ahead=1.5)
    assert "was not executed: the intent" in stock.notes()
    assert not {"fault.injected", "fault.landed"} & set(stock.kinds())
    assert stock.open_faults() == [] and not stock.marker.exists()


def test_without_a_proof_the_run_is_inconclusive(stock: Stock) -> None:
    stock.play(experiment_on(stock.marker), [])
    assert "fault.landed" not in stock.kinds()
    assert "names no proof" in stock.one("fault.not_landed").data["seen"]
    verdict = verdict_with(stock.events)
    assert verdict.status is Status.INCONCLUSIVE and "fault/foreign/landed" in verdict.reasons
    assert not stock.marker.exists()


def test_what_no_probe_proved_is_not_undone_twice(stock: Stock) -> None:
    experiment = experiment_on(stock.marker)
    count = stock.home / "count"
    experiment["rollbacks"].append(python("action", "tally", "append", path=str(count), text="x"))
    stock.play(experiment, [])
    assert stock.open_faults() == [FAULT]
    told: list[Event] = []
    ledger = stock.ledger
    assert undo_all(ledger, RUN, "runner", told.append) == []
    ledger.close()
    assert count.read_text() == "x"
    gone = next(event for event in told if event.kind == "fault.gone")
    assert gone.data["witness"] == "the experiment's rollbacks"


def test_a_probe_that_says_otherwise_is_no_proof(stock: Stock) -> None:
    experiment = experiment_on(stock.marker)
    experiment["method"] = [python("action", "create-file", "append", path=str(stock.home / "other"), text="x")]
    experiment["method"][0]["pauses"] = {"after": 0.3}
    stock.play(experiment, [PROOF])
    assert "False" in stock.one("fault.not_landed").data["seen"]
    assert verdict_with(stock.events).status is Status.INCONCLUSIVE


def test_a_probe_that_held_before_the_fault_proves_nothing(stock: Stock) -> None:
    stock.marker.write_text("there already")
    stock.play(experiment_on(stock.marker), [PROOF])
    assert "before the action" in stock.one("fault.not_landed").data["seen"]
    assert "fault.landed" not in stock.kinds()


def test_a_probe_that_raises_is_no_witness(stock: Stock) -> None:
    experiment = experiment_on(stock.marker)
    experiment["method"].append({**python("probe", "broken", "refuse", text="no answer"), "tolerance": True})
    stock.play(experiment, [{**PROOF, "landed": "broken"}])
    not_landed = stock.one("fault.not_landed")
    assert "no answer" in not_landed.data["seen"] and not_landed.data["witness"] == "probe broken"
    assert "fault.gone" in stock.kinds() and stock.open_faults() == []


def test_a_probe_that_does_not_exist_is_named(stock: Stock) -> None:
    stock.play(experiment_on(stock.marker), [{**PROOF, "landed": "no-such-probe"}])
    assert "no-such-probe" in stock.one("fault.not_landed").data["seen"]


def test_a_fault_that_ends_with_its_action_is_seen_meanwhile(stock: Stock) -> None:
    experiment = experiment_on(stock.marker)
    experiment["method"] = [python("action", "create-file", "create_and_hold", path=str(stock.marker), seconds=0.6)]
    stock.play(experiment, [PROOF])
    assert stock.kinds()[:3] == ["fault.intended", "fault.landed", "fault.injected"]
    assert "fault.gone" in stock.kinds()


def test_a_proof_does_not_lengthen_the_fault(stock: Stock) -> None:
    experiment = experiment_on(stock.marker)
    experiment["method"][0]["pauses"] = {"after": 1.2}
    never = probe("never", stock.home / "never", True)
    experiment["extensions"][0]["probes"].append(never)
    stock.play(experiment, [{**PROOF, "landed": "never"}])
    took = stock.one("fault.reverting").at - stock.one("fault.injected").at
    assert 1.1 < took < 1.9, "a proof that does not come is waited for beside the pause, not after it"


def test_an_action_that_raises_is_a_failed_fault(stock: Stock) -> None:
    experiment = experiment_on(stock.marker)
    experiment["method"] = [python("action", "create-file", "refuse", text="not allowed here")]
    stock.play(experiment, [PROOF])
    assert "fault.failed" in stock.kinds() and "fault.landed" not in stock.kinds()
    assert "not allowed here" in stock.notes()
    assert stock.open_faults() == []
    assert verdict_with(stock.events).status is Status.INCONCLUSIVE


def test_a_program_that_is_missing_does_not_cost_the_rollbacks(stock: Stock) -> None:
    experiment = experiment_on(stock.marker)
    experiment["method"].append(
        {"type": "action", "name": "absent", "provider": {"type": "process", "path": "/no/such/program"}}
    )
    stock.play(experiment, [PROOF])
    assert not stock.marker.exists() and "absent" in stock.notes()
    gone = [event.data["fault"] for event in stock.events if event.kind == "fault.gone"]
    assert gone == [FAULT]


def test_a_hypothesis_without_an_answer_does_not_cost_the_rollbacks(stock: Stock) -> None:
    experiment = experiment_on(stock.marker)
    # Answers before the method and not after it: Chaos Toolkit ends in a traceback then, without rollbacks.
    answer = python("probe", "answer", "once", path=str(stock.home / "asked"))
    experiment["steady-state-hypothesis"] = {"title": "t", "probes": [{**answer, "tolerance": [1, 2]}]}
    stock.play(experiment, [PROOF])
    assert "the experiment failed" in stock.notes()
    assert "fault.landed" in stock.kinds() and "fault.gone" in stock.kinds()
    assert stock.open_faults() == [] and not stock.marker.exists()


def test_programs_with_argument_lists(stock: Stock) -> None:
    marker = str(stock.marker)
    there = f"import pathlib, sys; sys.exit(0 if pathlib.Path({marker!r}).exists() else 1)"
    experiment = {
        "title": "t",
        "description": "d",
        "method": [
            process("action", "create-file", "-c", "import pathlib, sys; pathlib.Path(sys.argv[1]).touch()", "${file}"),
            {**process("probe", "file-is-there", "-c", there), "tolerance": 0},
        ],
        "rollbacks": [
            process("action", "remove-file", "-c", "import os, sys; os.unlink(sys.argv[1])", "${file}"),
            {**process("probe", "file-is-gone", "-c", there), "tolerance": 1},
        ],
        "configuration": {"file": "/nowhere"},
    }
    stock.play(experiment, [PROOF], file=marker)
    assert "fault.landed" in stock.kinds() and "fault.gone" in stock.kinds()
    assert stock.open_faults() == [] and not stock.marker.exists()


@contextmanager
def switch() -> Iterator[str]:
    """A service that is switched with POST /on and /off, and asked with GET /state."""
    state = {"on": False}

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = b"on" if state["on"] else b"off"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self.answer()

        def do_POST(self) -> None:
            state["on"] = self.path == "/on"
            self.answer()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def http(kind: str, name: str, url: str, method: str) -> dict[str, Any]:
    provider = {"type": "http", "url": url, "method": method, "timeout": 2}
    return {"type": kind, "name": name, "provider": provider}


def test_http_activities(stock: Stock) -> None:
    with switch() as url:
        asked = {"type": "regex", "target": "body", "pattern": "^on$"}
        experiment = {
            "title": "t",
            "description": "d",
            "method": [
                http("action", "create-file", f"{url}/on", "POST"),
                {**http("probe", "file-is-there", f"{url}/state", "GET"), "tolerance": asked},
            ],
            "rollbacks": [
                http("action", "off", f"{url}/off", "POST"),
                {**http("probe", "file-is-gone", f"{url}/state", "GET"), "tolerance": {**asked, "pattern": "^off$"}},
            ],
        }
        stock.play(experiment, [PROOF])
    assert "fault.landed" in stock.kinds() and "fault.gone" in stock.kinds() and stock.open_faults() == []


def test_background_actions_have_intents_too(stock: Stock) -> None:
    experiment = experiment_on(stock.marker)
    experiment["method"][0]["background"] = True
    experiment["method"].append(python("probe", "wait", "count", path=str(stock.marker)) | {"pauses": {"before": 0.5}})
    stock.play(experiment, [PROOF])
    assert stock.kinds()[0] == "fault.intended" and "fault.landed" in stock.kinds() and "fault.gone" in stock.kinds()
    assert stock.open_faults() == []


def test_activities_may_be_played_by_reference(stock: Stock) -> None:
    experiment = experiment_on(stock.marker)
    experiment["method"].append(probe("look", stock.marker, True))
    experiment["method"].append({"ref": "look"})
    assert stock.play(experiment, [PROOF]) == 0
    assert "fault.gone" in stock.kinds() and "could not find" not in stock.notes()


def test_the_kill_switch_holds_for_everybodys_actions(stock: Stock) -> None:
    ledger = stock.ledger
    throw_kill_switch(ledger.home, "ops", "an incident")
    ledger.close()
    count = stock.home / "count"
    experiment = experiment_on(count)
    experiment["rollbacks"] = []
    stock.play(experiment, [PROOF])
    assert stock.kinds() == [] and not count.exists()
    assert "an incident" in stock.notes() and stock.open_faults() == []


def test_an_intent_that_cannot_be_written_stops_the_action(stock: Stock) -> None:
    (stock.home / "ledger.db").write_text("this is no database")
    experiment = experiment_on(stock.marker)
    experiment["rollbacks"] = []
    spec = stock.write(experiment, [PROOF])

    async def go() -> None:
        child = await ExperimentProcess.start(
            spec,
            home=stock.home,
            run=RUN,
            place={"target": "lab", "home": str(stock.home), "lab": "none"},
            lease_s=5.0,
            folder=stock.home,
            take=stock.events.append,
        )
        await child.await_ready()
        await child.go(time.time())
        await child.end(10.0)

    asyncio.run(go())
    assert not stock.marker.exists(), "no intent, no fault"
    assert "was not executed" in stock.notes()


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("where", ["pause", "action"])
def test_a_signal_ends_pause_or_action_and_plays_the_rollbacks(
    number: signal.Signals, where: str, stock: Stock
) -> None:
    experiment = experiment_on(stock.marker)
    if where == "action":
        experiment["method"] = [python("action", "create-file", "create_and_hold", path=str(stock.marker), seconds=30)]
    experiment["method"][0]["pauses"] = {"after": 30}
    experiment["method"].append(python("action", "next", "create", path=str(stock.home / "next")))
    sent: list[float] = []

    async def during(child: ExperimentProcess) -> None:
        await stock.until(lambda: "fault.landed" in stock.kinds())
        sent.append(time.time())
        if number == signal.SIGUSR1:
            child.abort()
        else:
            os.kill(child.pid, number)

    stock.play(experiment, [PROOF], during)
    assert not stock.marker.exists() and not (stock.home / "next").exists()
    gone = stock.one("fault.gone")
    assert gone.at - sent[0] < 1.0, "an abort does not wait for a pause"
    intended = [event for event in stock.events if event.kind == "fault.intended"]
    assert len(intended) == 1, "a rollback is no fault"
    assert stock.open_faults() == [] and "experiment interrupted" in stock.notes()


def test_an_abort_during_rollbacks_lets_them_end(stock: Stock) -> None:
    experiment = experiment_on(stock.marker)
    begun = stock.home / "begun"
    script = f"import pathlib, time; pathlib.Path({str(begun)!r}).touch(); time.sleep(0.6)"
    experiment["rollbacks"].insert(0, process("action", "slow", "-c", script))

    async def during(child: ExperimentProcess) -> None:
        await stock.until(begun.exists)
        child.abort()
        os.kill(child.pid, signal.SIGTERM)

    assert stock.play(experiment, [PROOF], during) == 0
    assert stock.open_faults() == [] and not stock.marker.exists()
    assert "activity slow" not in stock.notes()


def killed_mid_fault(stock: Stock, experiment: dict[str, Any], proofs: list[dict[str, Any]], **variables: Any) -> None:
    """Play until the fault has landed (or was injected), then kill -9 the child."""

    async def during(child: ExperimentProcess) -> None:
        await stock.until(lambda: "fault.landed" in stock.kinds() or "fault.not_landed" in stock.kinds())
        os.kill(child.pid, signal.SIGKILL)

    experiment["method"][0]["pauses"] = {"after": 30}
    assert stock.play(experiment, proofs, during, **variables) == -signal.SIGKILL
    assert stock.open_faults() == [FAULT] and stock.marker.exists()


def undone(stock: Stock) -> list[Event]:
    told: list[Event] = []
    ledger = stock.ledger
    try:
        assert undo_all(ledger, RUN, "reaper", told.append) == []
    finally:
        ledger.close()
    return told


def test_after_kill_9_the_rollbacks_are_played_by_whoever_undoes(stock: Stock, monkeypatch: pytest.MonkeyPatch) -> None:
    killed_mid_fault(stock, experiment_on(stock.marker), [PROOF])
    # Another shell: nothing of the runner's environment is there any more.
    for name in ("PYTHONPATH", "TIERDRILL_HOME", "TIERDRILL_RUN", "TIERDRILL_PLACE"):
        monkeypatch.delenv(name, raising=False)
    told = undone(stock)
    assert [event.kind for event in told] == ["fault.reverting", "fault.gone"]
    assert told[-1].data["witness"] == "probe file-is-gone"
    assert not stock.marker.exists() and stock.open_faults() == []


def test_after_kill_9_the_values_are_those_of_the_run(stock: Stock) -> None:
    experiment = experiment_on(stock.marker)
    picked = stock.home / "picked"
    picked.write_text(str(stock.marker))
    read = f"import pathlib; print(pathlib.Path({str(picked)!r}).read_text())"
    experiment["configuration"] = {"file": process("probe", "pick", "-c", read)}
    for section in ("method", "rollbacks"):
        experiment[section][0]["provider"]["arguments"] = {"path": "${file}"}
    killed_mid_fault(stock, experiment, [PROOF])
    picked.write_text(str(stock.home / "another"))
    undone(stock)
    assert not stock.marker.exists(), "the fault's own target, not the one that would be picked now"


def test_after_kill_9_programs_of_the_experiment_do_not_go_on(stock: Stock) -> None:
    experiment = experiment_on(stock.marker)
    again = f"import pathlib, time\nfor _ in range(600): pathlib.Path({str(stock.marker)!r}).touch(); time.sleep(0.02)"
    experiment["method"] = [process("action", "create-file", "-c", again)]
    killed_mid_fault(stock, experiment, [PROOF])
    undone(stock)
    time.sleep(0.2)
    assert not stock.marker.exists()


def test_two_undo_at_once_and_the_rollbacks_are_played_once(stock: Stock) -> None:
    experiment = experiment_on(stock.marker)
    count = stock.home / "count"
    experiment["rollbacks"].append(python("action", "tally", "append", path=str(count), text="x"))
    killed_mid_fault(stock, experiment, [PROOF])
    threads = [threading.Thread(target=undone, args=(stock,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert count.read_text() == "x" and stock.open_faults() == []


def test_a_rollback_that_fails_leaves_the_fault_in_the_ledger(stock: Stock) -> None:
    experiment = experiment_on(stock.marker)
    experiment["rollbacks"] = [python("action", "remove-file", "refuse", text="cannot")]
    stock.play(experiment, [PROOF])
    assert "fault.not_gone" in stock.kinds() and stock.open_faults() == [FAULT]
    told: list[Event] = []
    ledger = stock.ledger
    assert undo_all(ledger, RUN, "runner", told.append, within_s=1.0) == [FAULT]
    assert ledger.open_faults()[0].state == "stuck"
    ledger.close()
    assert told[-1].kind == "fault.not_gone" and "True" in told[-1].data["seen"]
    # The cause is mended: the same undo heals.
    stock.marker.unlink()
    undone(stock)
    assert stock.open_faults() == []
