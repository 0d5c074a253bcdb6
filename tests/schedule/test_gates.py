"""The gates: pure decisions in a fixed order, budgets from drills, and a tree of dependencies that names the cause."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierdrill.documents.models.environment import Dependency
from tierdrill.documents.models.tiers import EscalationLevel, Maintenance, Objectives, Tier
from tierdrill.history.switch_file import Halt
from tierdrill.judge.trend.run_figures import ObjectiveFigure, RunFigures
from tierdrill.schedule.gates import gate_rules as gates
from tierdrill.schedule.gates.environment_health import ask_all, ask_one
from tierdrill.schedule.gates.error_budget_left import budget_from_drills
from tierdrill.schedule.gates.gate_facts import ask_gates
from tierdrill.schedule.gates.gate_rules import AlertFacts, BudgetFact, DependencyFact, GateResult


def test_the_order_is_fixed_and_what_is_behind_a_shut_gate_is_not_asked() -> None:
    asked = []

    def gate(name: str, verdict: str) -> object:
        async def ask() -> GateResult:
            asked.append(name)
            return GateResult(name, verdict, "because")  # type: ignore[arg-type]

        return ask

    ordered = [gate(name, "held" if name == "budget" else "open") for name in gates.GATES]
    results = asyncio.run(ask_gates(ordered))  # type: ignore[arg-type]
    assert asked == ["kill-switch", "window", "lock", "budget"]
    assert [result.gate for result in results] == list(gates.GATES)
    assert [result.verdict for result in results] == ["open"] * 3 + ["held"] + ["not asked"] * 3
    assert results[-1].reason == "held by budget"
    assert gates.held_by(results) == results[3]


@pytest.mark.parametrize(
    ("result", "verdict", "words"),
    [
        (gates.kill_switch(None), "open", "off"),
        (gates.kill_switch(Halt(0.0, "ann", "incident 7")), "held", "on, by ann: incident 7"),
        (gates.window("blackout: freeze"), "held", "blackout: freeze"),
        (gates.lock("lab", "by nightly/a (owner team, pid 7)"), "held", "owner team"),
        (gates.alerts(AlertFacts(), "held"), "open", "its own lab"),
        (gates.alerts(AlertFacts(source="AM", firing=("NodeNotReady on node-2",)), "open"), "held", "node-2"),
        (gates.alerts(AlertFacts(source="AM", silenced=("tier=a by bob: x",)), "open"), "held", "by bob"),
        (gates.alerts(AlertFacts(unknown="no answer"), "held"), "held", "not known: no answer"),
        (gates.alerts(AlertFacts(unknown="no answer"), "open"), "open", "`gates.without_data: open`"),
        (gates.budget([], "held"), "open", "no tier that promises availability"),
        (gates.budget([BudgetFact("critical", 0.0, "drills")], "open"), "held", "spent: critical has 0% left"),
        (gates.budget([BudgetFact("critical", 0.4, "drills")], "held"), "open", "critical has 40% left"),
        (gates.budget([BudgetFact("a", 1.0, "s"), BudgetFact("b", 1.0, "s")], "held"), "open", "a and b have 100%"),
        (gates.budget([BudgetFact("critical", None, "Prometheus")], "held"), "held", "not known: critical"),
        (gates.budget([BudgetFact("critical", None, "Prometheus")], "open"), "open", "not known: critical"),
        (gates.rollout("pilot", None), "open", "at stage pilot"),
        (gates.rollout("pilot", "run x failed"), "held", "run x failed"),
    ],
)
def test_each_gate_says_why(result: GateResult, verdict: str, words: str) -> None:
    assert result.verdict == verdict
    assert words in result.reason


@given(st.lists(st.tuples(st.sampled_from("abc"), st.none() | st.floats(-2, 1)), max_size=5))
def test_a_spent_tier_holds_whatever_else_is_known(found: list[tuple[str, float | None]]) -> None:
    facts = [BudgetFact(tier, left, "s") for tier, left in found]
    spent = any(left is not None and left <= 0 for _, left in found)
    unknown = any(left is None for _, left in found)
    assert (gates.budget(facts, "open").verdict == "held") == spent
    assert (gates.budget(facts, "held").verdict == "held") == (spent or unknown)


TIER = Tier(
    name="critical",
    rank=1,
    owner="o",
    rationale="r",
    escalation=(EscalationLevel(contact="c", acknowledge_within=60.0),),
    objectives=Objectives(availability=0.99),
    shed_order=1,
)


def figures(bad: int, requests: int, **changes: object) -> RunFigures:
    one = ObjectiveFigure("critical", "availability", "passed", 1 - bad / requests, limit=0.99, samples=requests)
    run = RunFigures("r", "d", "drill", "passed", 0.0, environment="lab", objectives=(one,))
    return replace(run, **changes)  # type: ignore[arg-type]


def test_a_budget_is_what_the_drills_left_of_it() -> None:
    (fact,) = budget_from_drills([TIER], [figures(2, 1000), figures(4, 1000)], "lab", 86400.0)
    assert fact.left == pytest.approx(0.7)
    assert "6 of 20 allowed bad requests in 2 runs" in fact.seen
    assert fact.source == "drills on lab of the last 1d"
    (fact,) = budget_from_drills([TIER], [figures(30, 1000)], "lab", 86400.0)
    assert fact.left is not None and fact.left < 0


def test_runs_that_say_nothing_of_the_service_spend_nothing() -> None:
    others = [
        figures(500, 1000, variant="sabotage:wrong-target"),
        figures(500, 1000, environment="elsewhere"),
        figures(500, 1000, status="inconclusive"),
    ]
    (fact,) = budget_from_drills([TIER], others, "lab", 86400.0)
    assert (fact.left, fact.seen) == (1.0, "no drill judged it")
    free = TIER.model_copy(update={"objectives": Objectives()})
    assert budget_from_drills([free], others, "lab", 86400.0) == []


def tree(*edges: tuple[str, tuple[str, ...]]) -> list[Dependency]:
    return [Dependency(name=name, path=f"/{name}", needs=needs) for name, needs in edges]


def asked_with(dependencies: list[Dependency], broken: set[str]) -> tuple[list[DependencyFact], list[str]]:
    asked = []

    async def ask(dependency: Dependency) -> tuple[bool, str]:
        asked.append(dependency.name)
        return dependency.name not in broken, f"saw {dependency.name}"

    return asyncio.run(ask_all(dependencies, ask)), asked


def test_the_cause_is_named_and_not_the_leaf() -> None:
    dependencies = tree(("app", ("registry", "disk")), ("registry", ("network",)), ("network", ()), ("disk", ()))
    facts, asked = asked_with(dependencies, {"network"})
    assert sorted(asked) == ["disk", "network"]
    result = gates.dependencies(facts)
    assert result.verdict == "held"
    assert result.reason == "not healthy: network (saw network); behind it: app and registry"
    facts, _ = asked_with(dependencies, set())
    assert gates.dependencies(facts).reason == "healthy: app, registry, network and disk"


@given(st.data())
def test_in_any_tree_exactly_the_reachable_are_asked(data: st.DataObject) -> None:
    names = [f"d{number}" for number in range(data.draw(st.integers(1, 8)))]
    dependencies = tree(
        *((name, tuple(data.draw(st.sets(st.sampled_from(names[:place])) if place else st.just(set()))))
          for place, name in enumerate(names))
    )  # fmt: skip
    broken = data.draw(st.sets(st.sampled_from(names)))
    facts, asked = asked_with(data.draw(st.permutations(dependencies)), broken)
    by_name = {fact.name: fact for fact in facts}
    for dependency in dependencies:
        reachable = all(by_name[need].healthy for need in dependency.needs)
        assert (by_name[dependency.name].healthy is None) == (not reachable)
        assert (dependency.name in asked) == reachable
    roots = {fact.name for fact in facts if fact.healthy is False}
    assert roots <= broken
    assert bool(roots) == bool(broken)


def test_a_circle_that_slipped_through_is_held_and_does_not_hang() -> None:
    facts, _ = asked_with(tree(("a", ("b",)), ("b", ("a",))), set())
    assert gates.dependencies(facts).verdict == "held"


def test_real_checks(tmp_path: object) -> None:
    async def check() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            request = await reader.readline()
            code = b"503 No" if b"/bad" in request else b"200 OK"
            if b"/slow" not in request:
                writer.write(b"HTTP/1.1 " + code + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            url = f"http://127.0.0.1:{port}"
            assert await ask_one(Dependency(name="h", http=f"{url}/good")) == (True, f"{url}/good: status 200")
            assert await ask_one(Dependency(name="h", http=f"{url}/bad")) == (False, f"{url}/bad: status 503")
            slow = await ask_one(Dependency(name="h", http=f"{url}/slow", timeout=0.2))
            assert not slow[0]
            assert await ask_one(Dependency(name="t", tcp=f"127.0.0.1:{port}")) == (
                True, f"127.0.0.1:{port} accepts connections",
            )  # fmt: skip
        assert not (await ask_one(Dependency(name="t", tcp=f"127.0.0.1:{port}")))[0]
        assert (await ask_one(Dependency(name="p", path=str(tmp_path))))[0]
        assert await ask_one(Dependency(name="p", path="/nowhere")) == (False, "/nowhere: No such file or directory")

    asyncio.run(check())


def test_a_declared_maintenance_holds_drills_while_it_goes_on() -> None:
    declared = Maintenance(start="2026-12-01T02:00", end="2026-12-01T04:00", declared_by="sre", reason="new switches")
    start, end = declared.span
    assert [gates.maintained([declared], at) is None for at in (start - 1, start, end - 1, end)] == [
        True, False, False, True,
    ]  # fmt: skip
    told = gates.window(gates.maintained([declared], start))
    assert (told.verdict, told.reason) == (
        "held", "maintenance of every tier until 2026-12-01T04:00, declared by sre: new switches",
    )  # fmt: skip
