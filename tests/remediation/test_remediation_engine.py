"""The engine on a fake deployment in virtual time: orders of events, failures, escalation, storms, cancellation."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from remediation_support import (
    EPOCH,
    ESCALATION,
    Bench,
    FakePort,
    clock,
    hang,
    names,
    notice,
    playbook,
    refuse,
    run,
    step,
)

from tierdrill.history.events import Event
from tierdrill.remediation.engine_journal import unfinished
from tierdrill.remediation.incident_book import fingerprint_of
from tierdrill.targets.base import RemedyResult, TargetError

VERIFY = {"fact": "node.cordoned", "subject": "${target}", "equals": True, "within": "2s"}


def test_one_incident_one_execution_with_every_event() -> None:
    async def scene() -> Bench:
        bench = Bench(playbook(steps=[step("a", verify=VERIFY), step("b", "drain")]))
        bench.port.facts[("node.cordoned", "node-1")] = True
        for _ in range(200):
            bench.engine.notify(notice())
        await bench.engine.idle()
        for _ in range(200):
            bench.engine.notify(notice())
        await bench.engine.idle()
        return bench

    bench = run(scene())
    assert bench.kinds() == [
        "playbook.started",
        "playbook.step_started",
        "playbook.step",
        "playbook.step_started",
        "playbook.step",
        "playbook.finished",
    ]
    assert bench.port.calls == [("cordon", {"node": "node-1"}), ("drain", {"node": "node-1"})]
    (started,) = bench.of("playbook.started")
    assert (started["target"], started["alert"], started["attempt"], started["phase"]) == ("node-1", "Broken", 1, "act")
    (finished,) = bench.of("playbook.finished")
    assert finished["ok"] and finished["phase"] == "act" and finished["execution"] == started["execution"]
    assert finished["seconds"] == pytest.approx(0.02)
    assert "node.cordoned of node-1 is true" in bench.of("playbook.step", step="a")[0]["seen"]
    for event in bench.events:
        assert Event.from_line(event.to_line()) == event


def test_a_new_incident_of_the_same_alert_is_a_new_execution() -> None:
    async def scene() -> Bench:
        bench = Bench(playbook())
        for at in (EPOCH, EPOCH + 5):
            bench.engine.notify(notice(at=at))
            await bench.engine.idle()
            bench.engine.notify(notice(at=at, status="resolved"))
        return bench

    executions = {data["execution"] for data in run(scene()).of("playbook.started")}
    assert len(executions) == 2


def test_no_match_no_execution() -> None:
    async def scene() -> Bench:
        bench = Bench(playbook(match={"alert": "Broken", "labels": {"node": "node-9"}}))
        bench.engine.notify(notice())
        bench.engine.notify(notice(alert="Other"))
        await bench.engine.idle()
        return bench

    assert run(scene()).events == []


def test_blip_that_resolves_before_the_guards_have_answered_runs_nothing() -> None:
    async def scene() -> Bench:
        bench = Bench(playbook(when=[{"fact": "node.ready", "subject": "${target}", "equals": False}]))
        bench.port.facts[("node.ready", "node-1")] = False
        bench.engine.notify(notice())
        bench.engine.notify(notice(status="resolved"))
        await bench.engine.idle()
        bench.engine.notify(notice())
        await bench.engine.idle()
        return bench

    bench = run(scene())
    assert bench.kinds() == ["playbook.skipped"]
    assert bench.of("playbook.skipped")[0]["reason"] == "the alert resolved before the playbook began"
    assert bench.port.calls == []


def test_guards_hold_back_and_a_repeated_alert_asks_again() -> None:
    async def scene() -> Bench:
        bench = Bench(
            playbook(
                when=[{"fact": "node.ready", "subject": "${target}", "equals": False}],
                forbidden_when=[{"fact": "node.cordoned", "subject": "${target}", "equals": True}],
            )
        )
        bench.port.facts.update({("node.ready", "node-1"): True, ("node.cordoned", "node-1"): True})
        for _ in range(3):
            bench.engine.notify(notice())
            await bench.engine.idle()
        bench.port.facts[("node.ready", "node-1")] = False
        bench.engine.notify(notice())
        await bench.engine.idle()
        bench.port.facts[("node.cordoned", "node-1")] = False
        bench.engine.notify(notice())
        await bench.engine.idle()
        return bench

    bench = run(scene())
    assert bench.kinds()[:3] == ["playbook.skipped", "playbook.skipped", "playbook.started"]
    first, second = bench.of("playbook.skipped")
    assert first["reason"] == "node.ready of node-1 is true, not false"
    assert second["reason"] == "forbidden when node.cordoned of node-1 is true"


def test_facts_that_cannot_be_read_hold_back_and_page() -> None:
    async def scene() -> Bench:
        bench = Bench(playbook(when=[{"fact": "node.ready", "subject": "${target}"}], escalation=ESCALATION))
        bench.engine.notify(notice())
        await asyncio.sleep(10)
        await bench.engine.stop()
        return bench

    bench = run(scene())
    assert bench.of("playbook.skipped")[0]["code"] == "blind"
    assert bench.port.calls == [] and bench.pages == [("first", 1, "trigger")]


def test_alert_firing_is_a_fact_the_engine_knows() -> None:
    async def scene() -> Bench:
        guard = {"fact": "alert.firing", "subject": "Worse{node=${labels.node}}", "equals": True}
        bench = Bench(playbook(forbidden_when=[guard]))
        bench.engine.notify(notice("node-1", alert="Worse"))
        bench.engine.notify(notice("node-1"))
        bench.engine.notify(notice("node-2"))
        await bench.engine.idle()
        return bench

    bench = run(scene())
    assert names(bench.of("playbook.started")) == ["node-2"]
    assert names(bench.of("playbook.skipped")) == ["node-1"]


def test_failed_step_rolls_back_in_reverse_then_the_next_attempt_succeeds() -> None:
    async def scene() -> Bench:
        bench = Bench(
            playbook(
                attempts=2,
                steps=[
                    step("a", rollback={"do": "uncordon", "arguments": {"node": "${target}"}}),
                    step("b", "drain", rollback={"do": "rebalance"}),
                    step("c", "power-cycle", rollback={"do": "notify", "arguments": {"message": "c"}}),
                ],
            )
        )
        answers = iter([RemedyResult(False, "refused"), RemedyResult(True, "done")])

        async def once(_: dict[str, Any]) -> RemedyResult:
            return next(answers)

        bench.port.on["power-cycle"] = once
        bench.engine.notify(notice())
        await bench.engine.idle()
        return bench

    bench = run(scene())
    assert bench.trace() == ["a", "b", "c", "undo b", "undo a", "a", "b", "c"]
    assert bench.port.actions()[:5] == ["cordon", "drain", "power-cycle", "rebalance", "uncordon"]
    (finished,) = bench.of("playbook.finished")
    assert finished["ok"] and finished["reason"] == "attempt 2 of 2"
    assert len(bench.of("playbook.started")) == 1


@pytest.mark.parametrize("how", ["timeout", "unreachable", "verify", "bug"])
def test_a_step_that_may_have_happened_is_rolled_back_too(how: str) -> None:
    async def scene() -> Bench:
        undo = {"do": "uncordon", "arguments": {"node": "${target}"}}
        bench = Bench(playbook(steps=[step("a", timeout="1s", verify=VERIFY, rollback=undo)]))
        bench.port.facts[("node.cordoned", "node-1")] = False

        async def unreachable(_: dict[str, Any]) -> RemedyResult:
            raise TargetError("connection refused")

        async def bug(_: dict[str, Any]) -> RemedyResult:
            raise KeyError("node")

        handlers = {"timeout": hang, "unreachable": unreachable, "bug": bug}
        if how in handlers:
            bench.port.on["cordon"] = handlers[how]
        bench.engine.notify(notice())
        await bench.engine.idle()
        return bench

    bench = run(scene())
    assert bench.trace() == ["a", "undo a"]
    (finished,) = bench.of("playbook.finished")
    assert not finished["ok"]
    expected = {
        "timeout": "no answer within 1 s",
        "unreachable": "connection refused; it may have happened",
        "verify": "node.cordoned of node-1 is false, not true after 2 s",
        "bug": "KeyError",
    }
    assert expected[how] in finished["reason"]


def test_a_failing_rollback_does_not_keep_the_others_from_being_tried() -> None:
    async def scene() -> Bench:
        bench = Bench(
            playbook(
                steps=[
                    step("a", rollback={"do": "uncordon"}),
                    step("b", "drain", rollback={"do": "rebalance"}),
                    step("c", "power-cycle"),
                ]
            )
        )
        bench.port.on.update({"power-cycle": refuse, "rebalance": hang})
        bench.engine.notify(notice())
        await bench.engine.idle()
        return bench

    bench = run(scene())
    assert bench.trace() == ["a", "b", "c", "undo b", "undo a"]
    assert [data["ok"] for data in bench.of("playbook.step", rollback=True)] == [False, True]


def test_verify_waits_for_the_event_not_for_the_clock() -> None:
    async def scene() -> tuple[Bench, float]:
        bench = Bench(playbook(steps=[step("a", verify=VERIFY)]))
        bench.port.facts[("node.cordoned", "node-1")] = False
        bench.engine.notify(notice())
        await asyncio.sleep(0.35)
        bench.port.facts[("node.cordoned", "node-1")] = True
        bench.engine.facts_changed()
        await bench.engine.idle()
        return bench, asyncio.get_running_loop().time()

    bench, took = run(scene())
    assert bench.of("playbook.finished")[0]["ok"] and took == pytest.approx(0.35, abs=0.001)


def test_verify_polls_where_nobody_tells() -> None:
    async def scene() -> tuple[Bench, float]:
        bench = Bench(playbook(steps=[step("a", verify=VERIFY)]))
        asyncio.get_running_loop().call_later(0.35, bench.port.facts.update, {("node.cordoned", "node-1"): True})
        bench.engine.notify(notice())
        await bench.engine.idle()
        return bench, asyncio.get_running_loop().time()

    bench, took = run(scene())
    assert bench.of("playbook.finished")[0]["ok"] and 0.35 <= took <= 0.46


def test_exhausted_attempts_climb_the_ladder_until_the_end() -> None:
    async def scene() -> Bench:
        bench = Bench(playbook(attempts=2, escalation=ESCALATION))
        bench.port.on["cordon"] = refuse
        bench.engine.notify(notice())
        await asyncio.sleep(30)
        assert bench.pages == [("first", 1, "trigger")]
        await bench.engine.idle()
        bench.engine.notify(notice(status="resolved"))
        await bench.engine.idle()
        return bench

    bench = run(scene())
    assert bench.port.actions() == ["cordon", "cordon"]
    assert bench.pages == [
        ("first", 1, "trigger"),
        ("second", 2, "trigger"),
        ("first", 1, "resolve"),
        ("second", 2, "resolve"),
    ]
    kinds = [kind for kind in bench.kinds() if kind not in ("playbook.step", "playbook.step_started")]
    assert kinds == ["playbook.started", "playbook.finished", "playbook.escalated", *["page.sent"] * 4]
    (escalated,) = bench.of("playbook.escalated")
    assert escalated["reason"] == "attempt 2 of 2: step only: refused"
    page = bench.of("page.sent")[0]
    assert page["summary"].startswith("help node-1: ") and page["tier"] == "critical" and page["level"] == 1
    assert len(page["dedup_key"]) <= 255


def test_acknowledging_stops_the_ladder() -> None:
    async def scene() -> Bench:
        bench = Bench(playbook(escalation=ESCALATION))
        bench.port.on["cordon"] = refuse
        bench.engine.notify(notice())
        await asyncio.sleep(5)
        key = bench.of("page.sent")[0]["dedup_key"]
        assert bench.engine.acknowledge(key, "ada") and not bench.engine.acknowledge("other", "ada")
        await asyncio.sleep(600)
        return bench

    bench = run(scene())
    assert bench.pages == [("first", 1, "trigger")]
    assert bench.of("page.acknowledged") == [{"dedup_key": bench.of("page.sent")[0]["dedup_key"], "by": "ada"}]


def test_a_resolved_alert_stops_the_ladder() -> None:
    async def scene() -> Bench:
        bench = Bench(playbook(escalation=ESCALATION))
        bench.port.on["cordon"] = refuse
        bench.engine.notify(notice())
        await asyncio.sleep(5)
        bench.engine.notify(notice(status="resolved"))
        await asyncio.sleep(600)
        return bench

    assert run(scene()).pages == [("first", 1, "trigger"), ("first", 1, "resolve")]


def test_a_contact_that_cannot_be_reached_is_passed_over_at_once() -> None:
    async def scene() -> tuple[Bench, list[str]]:
        reached: list[str] = []

        async def pager(contact: str, level: int, *_: str) -> None:
            if contact == "first":
                raise OSError("no route")
            reached.append(contact)

        bench = Bench(playbook(escalation=ESCALATION), pager=pager)
        bench.port.on["cordon"] = refuse
        bench.engine.notify(notice())
        await asyncio.sleep(1)
        await bench.engine.stop()
        return bench, reached

    bench, reached = run(scene())
    assert reached == ["second"] and bench.of("page.failed")[0]["error"] == "no route"


def test_a_missing_tier_is_said_and_pages_nobody() -> None:
    async def scene() -> Bench:
        bench = Bench(playbook(escalation={"tier": "gold"}))
        bench.port.on["cordon"] = refuse
        bench.engine.notify(notice())
        await bench.engine.idle()
        return bench

    assert "no one can be paged" in run(scene()).of("playbook.escalated")[0]["reason"]


def test_no_second_attempt_and_no_page_when_the_alert_has_resolved() -> None:
    async def scene() -> Bench:
        bench = Bench(playbook(attempts=3, escalation=ESCALATION, steps=[step("a", timeout="2s")]))
        bench.port.on["cordon"] = hang
        bench.engine.notify(notice())
        await asyncio.sleep(1)
        bench.engine.notify(notice(status="resolved"))
        await bench.engine.idle()
        return bench

    bench = run(scene())
    assert len(bench.port.calls) == 1 and bench.pages == []
    assert "resolved before attempt 2" in bench.of("playbook.finished")[0]["reason"]


GIVES_BACK: dict[str, Any] = {
    "steps": [step("take", "cordon", rollback={"do": "uncordon", "arguments": {"node": "${target}"}})],
    "on_resolve": {"steps": [step("give", "uncordon")]},
}


def test_on_resolve_gives_back_after_the_act_even_if_it_resolves_meanwhile() -> None:
    async def scene() -> Bench:
        bench = Bench(playbook(**GIVES_BACK))

        async def slow(_: dict[str, Any]) -> RemedyResult:
            await asyncio.sleep(1)
            return RemedyResult(True, "done")

        bench.port.on["cordon"] = slow
        bench.engine.notify(notice())
        await asyncio.sleep(0.5)
        bench.engine.notify(notice(status="resolved"))
        await bench.engine.idle()
        return bench

    bench = run(scene())
    assert bench.port.actions() == ["cordon", "uncordon"]
    assert [(data["phase"], data["ok"]) for data in bench.of("playbook.finished")] == [("act", True), ("resolve", True)]
    assert unfinished(bench.events) == []


def test_nothing_is_given_back_that_was_never_taken() -> None:
    async def scene() -> Bench:
        bench = Bench(playbook(**GIVES_BACK), disabled={"mend"})
        bench.engine.notify(notice())
        await bench.engine.idle()
        bench.engine.notify(notice(status="resolved"))
        await bench.engine.idle()
        return bench

    bench = run(scene())
    assert bench.port.calls == []
    assert bench.of("playbook.skipped")[0]["code"] == "disabled"


def test_a_flapping_alert_takes_and_gives_in_order() -> None:
    async def scene() -> Bench:
        bench = Bench(playbook(**GIVES_BACK, concurrency={"key": "node", "on_limit": "queue"}))
        for number in range(5):
            bench.engine.notify(notice(at=EPOCH + number))
            bench.engine.notify(notice(at=EPOCH + number)) if number % 2 else None
            await asyncio.sleep(0.011)
            bench.engine.notify(notice(at=EPOCH + number, status="resolved"))
        await bench.engine.idle()
        return bench

    actions = run(scene()).port.actions()
    assert len(actions) >= 6, "an incident that is over before its turn is skipped, the others are not"
    assert actions == ["cordon", "uncordon"] * (len(actions) // 2)


def test_a_missed_resolve_is_inferred_from_the_next_firing() -> None:
    async def scene() -> Bench:
        bench = Bench(playbook(**GIVES_BACK))
        bench.engine.notify(notice())
        await bench.engine.idle()
        bench.engine.notify(notice(at=EPOCH + 60))
        await bench.engine.idle()
        return bench

    bench = run(scene())
    assert bench.port.actions()[-1] == "cordon", "the first one's end does not give back what the second one needs"
    assert len(bench.of("playbook.started", phase="act")) == 2


def test_throttled_incidents_are_refused_and_paged_once() -> None:
    async def scene() -> Bench:
        throttle = {"once_within": "60s", "group_by": ["node"]}
        bench = Bench(playbook(throttle=throttle, escalation=ESCALATION))
        for second in (0, 10, 20):
            bench.engine.notify(notice(at=EPOCH + second))
            bench.engine.notify(notice("node-2", at=EPOCH + second)) if second == 0 else None
            await asyncio.sleep(10)
            bench.engine.notify(notice(at=EPOCH + second, status="resolved")) if second == 0 else None
        await asyncio.sleep(60)
        bench.engine.notify(notice(at=EPOCH + 90))
        await asyncio.sleep(1)
        await bench.engine.stop()
        return bench

    bench = run(scene())
    assert names(bench.of("playbook.started")) == ["node-1", "node-2", "node-1"]
    skipped = bench.of("playbook.skipped", code="throttled")
    assert [data["reason"] for data in skipped] == [
        "ran 10.0 s ago; at most once within 60s",
        "ran 20.0 s ago; at most once within 60s",
    ]


def test_accumulate_within_counts_incidents_not_repetitions() -> None:
    async def scene() -> Bench:
        bench = Bench(playbook(throttle={"accumulate_within": "60s", "threshold": 3}))
        for node in ("node-1", "node-1", "node-1", "node-2", "node-3", "node-4"):
            bench.engine.notify(notice(node))
            await bench.engine.idle()
        return bench

    assert names(run(scene()).of("playbook.started")) == ["node-3"]


def test_once_after_waits_for_quiet_and_runs_for_one_of_those_still_firing() -> None:
    async def scene() -> Bench:
        bench = Bench(playbook(throttle={"once_after": "5s"}))
        bench.engine.notify(notice("node-1"))
        await asyncio.sleep(1)
        bench.engine.notify(notice("node-2"))
        bench.engine.notify(notice("node-3"))
        await asyncio.sleep(1)
        bench.engine.notify(notice("node-1", status="resolved"))
        await bench.engine.idle()
        return bench

    bench = run(scene())
    (started,) = bench.of("playbook.started")
    assert started["target"] in ("node-2", "node-3")
    at = next(event.at for event in bench.events if event.kind == "playbook.started")
    assert at == pytest.approx(EPOCH + 5, abs=0.05)
    codes = {data["code"] for data in bench.of("playbook.skipped")}
    assert codes == {"resolved", "joined"}


@pytest.mark.parametrize("on_limit", ["skip", "queue"])
def test_concurrency_limits_runs_that_share_a_key(on_limit: str) -> None:
    async def scene() -> tuple[Bench, int]:
        running = most = 0

        async def slow(_: dict[str, Any]) -> RemedyResult:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(1)
            running -= 1
            return RemedyResult(True, "done")

        bench = Bench(playbook(concurrency={"max": 2, "on_limit": on_limit}))
        bench.port.on["cordon"] = slow
        for number in range(6):
            bench.engine.notify(notice(f"node-{number}"))
        await bench.engine.idle()
        return bench, most

    bench, most = run(scene())
    assert most == 2
    assert len(bench.of("playbook.started")) == (2 if on_limit == "skip" else 6)


def test_what_resolves_in_the_queue_is_not_run() -> None:
    async def scene() -> Bench:
        async def slow(_: dict[str, Any]) -> RemedyResult:
            await asyncio.sleep(1)
            return RemedyResult(True, "done")

        bench = Bench(playbook(concurrency={"on_limit": "queue"}))
        bench.port.on["cordon"] = slow
        bench.engine.notify(notice("node-1"))
        bench.engine.notify(notice("node-2"))
        await asyncio.sleep(0.5)
        bench.engine.notify(notice("node-2", status="resolved"))
        await bench.engine.idle()
        return bench

    bench = run(scene())
    assert names(bench.of("playbook.started")) == ["node-1"]
    assert bench.of("playbook.skipped")[0]["code"] == "resolved"


def test_the_fuse_blows_before_too_many_nodes_are_touched() -> None:
    async def scene() -> Bench:
        bench = Bench(playbook(fuse={"max_nodes": "50%", "window": "5m"}, escalation=ESCALATION))
        for node in ("node-1", "node-2", "node-3", "node-4"):
            bench.engine.notify(notice(node))
        await asyncio.sleep(1)
        await bench.engine.stop()
        return bench

    bench = run(scene())
    assert len(bench.of("playbook.started")) == 2
    assert sum(data["count"] for data in bench.of("playbook.skipped", code="fuse")) == 2
    assert len(bench.of("playbook.escalated")) == 2


def test_dry_run_only_says_what_it_would_do() -> None:
    async def scene() -> Bench:
        bench = Bench(playbook(dry_run=True))
        bench.engine.notify(notice())
        await bench.engine.idle()
        bench.engine.notify(notice("node-2"))
        await bench.engine.idle()
        await bench.engine.stop()
        return bench

    bench = run(scene())
    assert bench.port.calls == [] and bench.of("playbook.started") == []
    assert "cordon {'node': 'node-1'}" in bench.of("playbook.skipped")[0]["reason"]


def test_a_retargeted_playbook_acts_on_the_wrong_target_and_every_event_says_so() -> None:
    async def scene() -> Bench:
        bench = Bench(
            playbook(
                when=[{"fact": "node.ready", "subject": "${labels.node}", "equals": False}],
                steps=[
                    step("a", rollback={"do": "uncordon"}),
                    {"name": "b", "do": "drain", "arguments": {"node": "${labels.node}"}},
                ],
                escalation=ESCALATION,
            ),
            retarget={"mend": "node-3"},
        )
        bench.port.facts[("node.ready", "node-1")] = False
        bench.port.on["drain"] = refuse
        bench.engine.notify(notice())
        await asyncio.sleep(1)
        await bench.engine.stop()
        return bench

    bench = run(scene())
    assert {arguments.get("node", "node-3") for _, arguments in bench.port.calls} == {"node-3"}
    playbook_events = [event for event in bench.events if event.kind.startswith("playbook.")]
    assert len(playbook_events) >= 8
    assert all(event.data["retargeted"] is True and event.data["target"] == "node-3" for event in playbook_events)


def test_an_unknown_name_fails_the_execution_with_its_reason() -> None:
    async def scene() -> Bench:
        bench = Bench(
            playbook("steps-broken", steps=[{"name": "a", "do": "drain", "arguments": {"node": "${labels.rack}"}}]),
            playbook("target-broken", target="${labels.rack}"),
            playbook("guard-broken", when=[{"fact": "node.ready", "subject": "${labels.rack}"}]),
            playbook(
                "not-for-this",
                when=[
                    {"fact": "node.ready", "subject": "${labels.node}"},
                    {"fact": "node.ready", "subject": "${labels.rack}"},
                ],
            ),
        )
        bench.port.facts[("node.ready", "node-1")] = False
        bench.engine.notify(notice())
        await bench.engine.idle()
        return bench

    bench = run(scene())
    assert bench.port.calls == []
    finished = bench.of("playbook.finished")
    assert {data["playbook"] for data in finished} == {"steps-broken", "target-broken", "guard-broken"}
    assert all("unknown name ${labels.rack}" in data["reason"] and not data["ok"] for data in finished)
    assert names(bench.of("playbook.skipped")) == ["node-1"]


def test_errors_in_one_execution_do_not_stop_the_engine() -> None:
    async def scene() -> Bench:
        bench = Bench(playbook("bad", alert="Broken"), playbook("good", alert="Other"))

        async def explode(_: dict[str, Any]) -> RemedyResult:
            raise RuntimeError("boom")

        bench.port.on["cordon"] = explode
        bench.engine.notify(notice())
        await bench.engine.idle()
        del bench.port.on["cordon"]
        bench.engine.notify(notice(alert="Other"))
        await bench.engine.idle()
        return bench

    bench = run(scene())
    assert [(data["playbook"], data["ok"]) for data in bench.of("playbook.finished")] == [
        ("bad", False),
        ("good", True),
    ]


def test_nothing_is_done_that_the_history_does_not_know_of() -> None:
    async def scene() -> Bench:
        failing = True

        def emit(event: Event) -> None:
            if failing and event.kind in ("playbook.started", "playbook.step_started"):
                raise OSError("disk full")
            bench.events.append(event)

        bench = Bench(playbook(), emit=emit)
        bench.engine.notify(notice())
        await bench.engine.idle()
        assert bench.port.calls == []
        failing = False
        bench.engine.notify(notice("node-2"))
        await bench.engine.idle()
        return bench

    assert run(scene()).port.actions() == ["cordon"]


def test_a_storm_of_ten_thousand_notices_runs_once_and_reads_little() -> None:
    async def scene() -> Bench:
        bench = Bench(
            playbook(
                when=[{"fact": "node.ready", "subject": "${labels.node}", "equals": False}],
                throttle={"once_within": "5m"},
                escalation=ESCALATION,
            )
        )
        bench.port.facts[("node.ready", "node-1")] = False
        for number in range(5_000):
            bench.engine.notify(notice("node-1", xid=str(number)))
            bench.engine.notify(notice("node-1", xid=str(number)))
            if number % 100 == 0:
                await asyncio.sleep(0.01)
        await asyncio.sleep(5)
        await bench.engine.stop()
        return bench

    bench = run(scene())
    assert len(bench.of("playbook.started")) == 1
    assert sum(data["count"] for data in bench.of("playbook.skipped")) == 4_999
    assert len(bench.events) < 50 and bench.port.reads < 500
    assert bench.pages == [("first", 1, "trigger")]


def test_a_storm_of_distinct_targets_stays_within_the_limit() -> None:
    async def scene() -> Bench:
        guard = {"fact": "alert.firing", "subject": "Worse{node=${labels.node}}", "equals": True}
        bench = Bench(playbook(forbidden_when=[guard], concurrency={"max": 3, "on_limit": "queue"}))
        for number in range(10_000):
            bench.engine.notify(notice(f"node-{number}"))
        await bench.engine.stop()
        return bench

    bench = run(scene())
    assert len(bench.port.calls) <= 3


def test_stop_takes_back_what_was_half_done_within_its_bound() -> None:
    async def scene() -> tuple[Bench, float]:
        bench = Bench(
            playbook(
                steps=[
                    step("a", rollback={"do": "uncordon"}),
                    step("b", "drain", timeout="60s", rollback={"do": "rebalance"}),
                ]
            ),
        )
        bench.port.on["drain"] = hang
        bench.engine.notify(notice())
        await asyncio.sleep(0.5)
        assert len(bench.engine.active()) == 1
        begun = asyncio.get_running_loop().time()
        await bench.engine.stop()
        return bench, asyncio.get_running_loop().time() - begun

    bench, took = run(scene())
    assert bench.trace() == ["a", "b", "undo b", "undo a"]
    (finished,) = bench.of("playbook.finished")
    assert not finished["ok"] and finished["reason"] == "the engine was stopped"
    assert took < 10.0 and unfinished(bench.events) == []


def test_stop_is_bounded_even_if_rollbacks_hang() -> None:
    async def scene() -> float:
        bench = Bench(
            playbook(steps=[step("a", rollback={"do": "uncordon"}), step("b", "drain", timeout="60s")]),
            playbook("other", alert="Broken", **GIVES_BACK),
        )
        bench.port.on.update({"drain": hang, "uncordon": hang})
        bench.engine.notify(notice())
        await asyncio.sleep(0.5)
        begun = asyncio.get_running_loop().time()
        await bench.engine.stop()
        assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        return asyncio.get_running_loop().time() - begun

    assert run(scene()) <= 2.3


@pytest.mark.parametrize("give_back", [True, False])
def test_stop_gives_back_what_still_fires(give_back: bool) -> None:
    async def scene() -> Bench:
        bench = Bench(playbook(**GIVES_BACK))
        bench.engine.notify(notice())
        await asyncio.sleep(1)
        await bench.engine.stop(give_back=give_back)
        bench.engine.notify(notice("node-2"))
        return bench

    bench = run(scene())
    assert bench.port.actions() == (["cordon", "uncordon"] if give_back else ["cordon"])
    assert len(unfinished(bench.events)) == (0 if give_back else 1)


def test_a_check_is_not_answered_with_how_things_were_before() -> None:
    async def scene() -> Bench:
        bench = Bench(
            playbook("slow", alert="Other", when=[{"fact": "node.cordoned", "subject": "node-1", "equals": False}]),
            playbook(steps=[step("a", verify={**VERIFY, "equals": False, "within": "200ms"})]),
        )
        real = bench.port.fact

        async def slow(name: str, subject: str) -> Any:
            value = await real(name, subject)
            await asyncio.sleep(0.05)
            return value

        async def cordon(_: dict[str, Any]) -> RemedyResult:
            bench.port.facts[("node.cordoned", "node-1")] = True
            return RemedyResult(True, "done")

        bench.port.fact = slow  # type: ignore[method-assign]
        bench.port.facts[("node.cordoned", "node-1")] = False
        bench.port.on["cordon"] = cordon
        bench.engine.notify(notice(alert="Other"))
        await asyncio.sleep(0.01)
        bench.engine.notify(notice())
        await bench.engine.idle()
        return bench

    assert run(scene()).of("playbook.finished", playbook="mend")[0]["ok"] is False


def test_in_real_time_it_is_quick_and_stops_in_time() -> None:
    async def scene() -> tuple[float, float, float]:
        port = FakePort()
        called = asyncio.Event()

        async def cordon(_: dict[str, Any]) -> RemedyResult:
            called.set()
            return await hang(_)

        port.on.update({"cordon": cordon, "uncordon": hang})
        port.facts[("node.ready", "node-1")] = False
        book = playbook(
            when=[{"fact": "node.ready", "subject": "${target}", "equals": False}],
            steps=[step("a", timeout="60s", rollback={"do": "uncordon"})],
        )
        bench = Bench(book, port=port)
        begun = time.monotonic()
        bench.engine.notify(notice())
        await asyncio.wait_for(called.wait(), 1)
        acted = time.monotonic()
        await bench.engine.stop(within=0.5)
        return begun, acted, time.monotonic()

    begun, acted, stopped = asyncio.run(scene())
    assert acted - begun < 0.2
    assert 0.4 < stopped - acted < 1.0


def test_an_idle_engine_stops_at_once_and_twice() -> None:
    async def scene() -> None:
        bench = Bench(playbook())
        await bench.engine.stop()
        await bench.engine.stop()

    run(scene())


def test_fingerprints_are_stable() -> None:
    assert fingerprint_of({"a": "1", "b": "2"}) == fingerprint_of({"b": "2", "a": "1"})
    assert FakePort().calls == [] and callable(clock)
