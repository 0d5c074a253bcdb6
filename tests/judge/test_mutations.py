"""Sixty ways to alter what a history means: none passes that must not, none fails that must pass.

The bases are a run of the lab and the synthetic one of `build`. A mutation alters one meaning (not one byte); what the
verdict must then be stands beside it.

The run of the lab (node-loss.jsonl) is kept with times in whole milliseconds, its samples by stream in the order of
their sequence. Two things in it are not as they were: the machine was busy, and is told to have been idle for a third
of the time, and one more request was shed than the ten that were.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.judge.build import Run, shipped
from tierdrill.history.events import Event
from tierdrill.judge.judge import judge
from tierdrill.judge.verdict import Status, Verdict

REAL = Path(__file__).with_name("node-loss.jsonl")
PASSED, FAILED, INCONCLUSIVE = Status.PASSED, Status.FAILED, Status.INCONCLUSIVE
DOUBT, BAD = frozenset({INCONCLUSIVE}), frozenset({FAILED})
NO_PASS = frozenset(Status) - {PASSED}
GOOD = frozenset({PASSED})
Row = dict[str, Any]


class History:
    """A history that can be altered: its events, and its samples row by row."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = [replace(one, data=deepcopy(one.data)) for one in events if one.kind != "load.samples"]
        self.batches = [one for one in events if one.kind == "load.samples"]
        self.rows: list[Row] = []
        for one in self.batches:
            columns = one.data["columns"]
            self.rows += [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    def whole(self) -> list[Event]:
        """The events again, in order and numbered; a sample is told when its answer has come."""
        made = list(self.events)
        last = max(one.at for one in self.batches)
        self.rows.sort(key=lambda row: float(row["due"]))
        for first in range(0, len(self.rows), 200):
            part = self.rows[first : first + 200]
            columns = {name: [row.get(name) for row in part] for name in part[0]}
            at = min(last, max(row["due"] + (row["latency"] or 0.0) for row in part))
            made.append(Event(at, "load.samples", "load", {"columns": columns}))
        made.sort(key=lambda one: one.at)
        return [replace(one, sequence=number) for number, one in enumerate(made, 1)]

    def of(self, kind: str, **data: Any) -> list[Event]:
        return [one for one in self.events if one.kind == kind and data.items() <= one.data.items()]

    def one(self, kind: str, **data: Any) -> Event:
        return self.of(kind, **data)[0]

    def drop(self, *events: Event) -> None:
        gone = {id(one) for one in events}
        self.events = [one for one in self.events if id(one) not in gone]

    def add(self, at: float, kind: str, source: str, **data: Any) -> None:
        self.events.append(Event(at, kind, source, data))

    def move(self, event: Event, by: float) -> None:
        moments = {k: event.data[k] + by for k in ("effective_at", "gone_at") if k in event.data}
        self.swap(event, replace(event, at=event.at + by, data={**event.data, **moments}))

    def swap(self, old: Event, new: Event) -> None:
        self.events = [new if one is old else one for one in self.events]

    def set(self, event: Event, **data: Any) -> None:
        event.data.update(data)

    @property
    def effect(self) -> float:
        return float(self.one("fault.landed").data["effective_at"])

    @property
    def start(self) -> dict[str, Any]:
        return self.one("run.started").data

    def document(self, *path: str) -> Any:
        found: Any = self.start["setting"]
        for part in path:
            found = found[part]
        return found

    def phase(self, name: str) -> tuple[float, float]:
        return self.one("phase.started", phase=name).at, self.one("phase.ended", phase=name).at

    def some(self, tier: str, begin: float, end: float, nth: int = 1, ok: bool = True) -> list[Row]:
        """Every nth good row of a tier due so many seconds after the effect."""
        zero = self.effect
        mine = [
            row
            for row in self.rows
            if row["tier"] == tier and begin <= row["due"] - zero < end and (row["outcome"] == "ok" or not ok)
        ]
        return mine[::nth]


Alter = Callable[[History], None]


@dataclass(frozen=True)
class Mutation:
    """One altered meaning, and what the verdict may then be; `check` is one that must not have passed.

    With `steps` it alters what only a history tells that has the steps of playbooks: the run of the lab.
    """

    name: str
    alter: Alter
    may: frozenset[Status]
    check: str = ""
    steps: bool = False


FOUND: list[Mutation] = []


def mutation(may: frozenset[Status], check: str = "", *, steps: bool = False) -> Callable[[Alter], Alter]:
    def add(alter: Alter) -> Alter:
        FOUND.append(Mutation(alter.__name__, alter, may, check, steps))
        return alter

    return add


def turn(
    rows: Sequence[Row], outcome: str, latency: float = 0.01, reason: str | None = None, status: int = 500
) -> None:
    for row in rows:
        row.update(outcome=outcome, latency=latency, reason=reason, status=status, ttft=None, stall=None)
        row.update(integrity=None, queue_wait=None)


# What happens to requests.


def outage(tier: str, outcome: str, reason: str | None, may: frozenset[Status], begin: float, end: float) -> None:
    @mutation(may, f"slo/{tier}/availability")
    def alter(history: History) -> None:
        turn(history.some(tier, begin, end), outcome, 4.0 if outcome == "timeout" else 0.01, reason)

    FOUND[-1] = replace(FOUND[-1], name=f"{tier}_{outcome}_{reason}_{begin:g}_to_{end:g}")


for _tier in ("critical", "standard"):
    outage(_tier, "error", "status-500", BAD, 0, 5)
    outage(_tier, "timeout", "client-timeout", BAD, 0, 5)
    outage(_tier, "rejected", "no-endpoint", BAD, 1, 6)
    outage(_tier, "rejected", None, BAD, 1, 6)
    outage(_tier, "error", "status-500", BAD, 17, 23)
    outage(_tier, "unfinished", "generator-ended", BAD, 20, 27)
    outage(_tier, "dropped", "saturated", NO_PASS, 0, 5)
outage("critical", "rejected", "shed", BAD, 0, 5)
outage("critical", "rejected", "queue-full", BAD, 0, 5)
outage("best-effort", "rejected", "no-endpoint", BAD, 1, 25)
outage("best-effort", "rejected", None, BAD, 1, 25)
outage("best-effort", "rejected", "circuit-open", BAD, 1, 25)


@mutation(BAD, "slo/critical/latency-p99")
def critical_is_slow(history: History) -> None:
    for row in history.some("critical", 0, 5):
        row["latency"] += 1.5


@mutation(BAD, "slo/critical/time_to_first_token-p95")
def the_first_tokens_are_late(history: History) -> None:
    for row in history.some("critical", 0, 9):
        if row["ttft"] is not None:
            row["ttft"] += 0.7
            row["latency"] = max(row["latency"], row["ttft"])


@mutation(BAD, "slo/critical/queue_wait-p99")
def critical_waits_in_the_queue(history: History) -> None:
    for row in history.some("critical", 0, 9):
        row["queue_wait"] = 0.4


@mutation(BAD, "slo/critical/integrity")
def answers_are_wrong(history: History) -> None:
    for row in history.some("critical", 0, 9, nth=7):
        row["integrity"] = False


@mutation(DOUBT, "slo/critical/integrity")
def no_answer_was_checked(history: History) -> None:
    for row in history.rows:
        row["integrity"] = None


@mutation(BAD, "invariant/tier-order")
def critical_is_turned_away_before_the_others(history: History) -> None:
    turn(history.some("critical", 3, 4, nth=8), "rejected", reason="queue-full")


@mutation(BAD, "invariant/best-effort-returns")
def best_effort_never_comes_back(history: History) -> None:
    turn(history.some("best-effort", 3, 99), "rejected", reason="shed")


@mutation(BAD, "invariant/rejections-cheap")
def shedding_takes_long(history: History) -> None:
    turn(history.some("best-effort", 3, 5), "rejected", 0.5, "shed")


@mutation(BAD, "invariant/goodput-holds")
def everything_fails_for_a_while(history: History) -> None:
    for tier in ("critical", "standard", "best-effort"):
        turn(history.some(tier, 5, 10), "timeout", 4.0)


@mutation(BAD, "slo/critical/availability")
def all_are_frozen_on_a_busy_machine(history: History) -> None:
    for tier in ("critical", "standard", "best-effort"):
        turn(history.some(tier, 0, 2), "timeout", 4.0, "client-timeout", 0)
        turn(history.some(tier, 2, 4), "dropped", 0.0, "saturated", -1)
    for one in history.of("load.health"):
        history.set(one, machine_idle=0.0, loop_lag_s=0.4)


@mutation(BAD, "slo/critical/availability")
def critical_fails_while_sends_are_late(history: History) -> None:
    turn(history.some("critical", 0, 5), "error")
    for row in history.rows:
        row["lag"] = 0.2


@mutation(BAD, "slo/critical/availability")
def critical_fails_while_monitoring_is_blind(history: History) -> None:
    turn(history.some("critical", 0, 5), "error")
    history.add(history.effect + 9, "monitoring.gap", "monitoring", what="prometheus", seconds=5.0)


@mutation(BAD, "slo/critical/availability")
def critical_fails_and_a_gateway_dies_of_the_fault(history: History) -> None:
    turn(history.some("critical", 0, 5), "error")
    history.add(history.effect + 1, "process.exited", "lab", name="gateway-a", exit_code=-6, expected=False)


# What became of the books.


@mutation(NO_PASS, "slo/critical/availability")
def one_percent_of_critical_lost_its_samples(history: History) -> None:
    lost = {id(row) for row in history.some("critical", 0, 28, nth=60)}
    history.rows = [row for row in history.rows if id(row) not in lost]


@mutation(NO_PASS, "load/samples")
def all_failures_lost_their_samples(history: History) -> None:
    lost = {id(row) for row in history.some("critical", 0, 5)}
    history.rows = [row for row in history.rows if id(row) not in lost]


@mutation(NO_PASS, "load/samples")
def losses_hide_behind_samples_told_twice(history: History) -> None:
    rows = [row for row in history.some("critical", 0, 28) if row["stream"] == "enterprise"]
    for first, second in zip(rows[::40], rows[1::40], strict=False):
        second.update(first)


@mutation(NO_PASS, "load/samples")
def the_end_of_the_load_is_missing(history: History) -> None:
    history.rows = [row for row in history.rows if row["due"] < history.effect + 20]


@mutation(NO_PASS, "load/samples")
def another_streams_samples_are_in_it(history: History) -> None:
    history.rows += [{**row, "stream": "stranger"} for row in history.some("critical", 0, 5)]


@mutation(DOUBT, "load/ended")
def the_generator_died(history: History) -> None:
    history.set(history.one("load.ended"), exit_code=-9)


@mutation(DOUBT, "load/ended")
def samples_could_not_be_read(history: History) -> None:
    history.set(history.one("load.ended"), malformed=3)


@mutation(DOUBT, "load/lag")
def sends_are_late(history: History) -> None:
    for row in history.rows:
        row["lag"] = 0.2


@mutation(DOUBT, "load/machine")
def the_machine_is_busy(history: History) -> None:
    for one in history.of("load.health"):
        history.set(one, machine_idle=0.0)


@mutation(DOUBT, "load/rate")
def half_the_load_was_planned(history: History) -> None:
    tiers = ("critical", "standard", "best-effort")
    kept = {id(row) for tier in tiers for row in history.some(tier, -99, 99, 2, ok=False)}
    history.rows = [row for row in history.rows if id(row) in kept]
    counts: dict[str, int] = {}
    for row in sorted(history.rows, key=lambda row: float(row["due"])):
        row["sequence"] = counts.get(row["stream"], 0)
        counts[row["stream"]] = row["sequence"] + 1
    history.set(history.one("load.started"), planned=counts)


# What was before, and what was planned.


@mutation(DOUBT, "run/baseline")
def a_fifth_fails_before_the_fault(history: History) -> None:
    turn(history.some("critical", -8, -0.5, nth=5), "error")


@mutation(DOUBT, "run/baseline")
def all_fail_before_the_fault(history: History) -> None:
    turn(history.some("critical", -8, -0.5), "error")


@mutation(DOUBT, "fault/node-power-loss/gone")
def the_fault_was_there_for_a_moment(history: History) -> None:
    landed = history.one("fault.landed")
    history.set(landed, effective_at=landed.data["effective_at"] + 15.8)


@mutation(DOUBT, "fault/node-power-loss/landed")
def the_fault_was_there_before_its_phase(history: History) -> None:
    landed = history.one("fault.landed")
    history.set(landed, effective_at=landed.data["effective_at"] - 4)


@mutation(DOUBT, "fault/node-power-loss/gone")
def the_fault_ended_early(history: History) -> None:
    for kind in ("fault.reverting", "fault.gone"):
        history.move(history.one(kind), -8)


@mutation(DOUBT, "fault/node-power-loss/gone")
def the_reaper_ended_the_fault(history: History) -> None:
    history.set(history.one("fault.reverting"), by="reaper")


@mutation(frozenset({Status.UNCLEAN}), "fault/node-power-loss/gone")
def nobody_saw_the_fault_gone(history: History) -> None:
    history.drop(history.one("fault.gone"))


@mutation(DOUBT, "fault/node-power-loss/landed")
def nobody_saw_the_fault_land(history: History) -> None:
    history.drop(history.one("fault.landed"))


@mutation(DOUBT, "run/plan")
def the_recovery_was_cut_short(history: History) -> None:
    ended = history.one("phase.ended", phase="recovery")
    history.swap(ended, replace(ended, at=history.phase("recovery")[0] + 1.0))


@mutation(DOUBT, "run/plan")
def another_run_begins_in_it(history: History) -> None:
    history.add(history.effect + 1, "run.started", "runner", **history.start)


@mutation(DOUBT, "run/plan")
def the_fault_is_another_runs(history: History) -> None:
    for kind in ("intended", "injected", "landed", "reverting", "gone"):
        for one in history.of(f"fault.{kind}"):
            history.set(one, fault="another-run/node-power-loss/node-2")


@mutation(DOUBT, "run/plan")
def a_sabotage_lost_its_name(history: History) -> None:
    history.add(history.phase("warm-up")[0], "run.note", "runner", text="sabotage playbook-disabled: nobody moves it")


@mutation(DOUBT, "fault/node-power-loss/node-3/landed")
def a_second_fault_was_not_planned(history: History) -> None:
    for kind in ("intended", "landed", "reverting", "gone"):
        one = history.one(f"fault.{kind}")
        fault = str(one.data["fault"]).replace("node-2", "node-3")
        about = {"target": "node-3"} if kind == "intended" else {}
        history.events.append(replace(one, data={**one.data, "fault": fault, **about}))


@mutation(DOUBT, "fault/link-latency/landed")
def a_planned_fault_never_came(history: History) -> None:
    history.start["faults"].append({"activity": "slow", "kind": "link-latency", "target": "gateway-a>node-1"})


@mutation(DOUBT, "run/preflight")
def the_deployment_was_not_well_before(history: History) -> None:
    history.set(history.one("preflight.check", name="replicas"), ok=False, seen="2 of 10 ready")


@mutation(DOUBT, "run/completed")
def the_run_broke_off(history: History) -> None:
    history.add(history.effect + 20, "run.stopping", "runner", by="error", reason="a watcher failed")


@mutation(frozenset({Status.ABORTED}), "run/completed")
def a_guardrail_stopped_it(history: History) -> None:
    history.add(history.effect + 20, "run.stopping", "runner", by="guardrail", reason="too many errors")


@mutation(frozenset({Status.UNCLEAN}), "run/clean")
def a_fault_was_left_behind(history: History) -> None:
    history.set(history.one("ledger.open"), faults=["r/node-power-loss/node-2"])


@mutation(DOUBT, "run/processes")
def a_gateway_died_before_the_fault(history: History) -> None:
    history.add(history.effect - 4, "process.exited", "lab", name="gateway-a", exit_code=-9, expected=False)


@mutation(DOUBT, "run/monitoring")
def monitoring_was_blind(history: History) -> None:
    history.add(history.effect + 9, "monitoring.gap", "monitoring", what="prometheus", seconds=5.0)


@mutation(DOUBT, "run/judged")
def the_drill_expects_nothing(history: History) -> None:
    drill = history.document("drill")
    drill["expect"] = {}


# What alerts and playbooks did.


@mutation(BAD, "alert/NodeNotReady/fired")
def the_page_came_late(history: History) -> None:
    for one in history.of("alert.state", alert="NodeNotReady", state="firing"):
        history.move(one, 6.0)


@mutation(BAD, "alert/NodeNotReady/fired")
def the_page_was_never_delivered(history: History) -> None:
    history.drop(*history.of("alert.state", alert="NodeNotReady", state="firing", via="webhook"))


@mutation(BAD, "alert/NodeNotReady/fired")
def the_page_was_for_another_node(history: History) -> None:
    for one in history.of("alert.state", alert="NodeNotReady"):
        history.set(one, labels={**one.data["labels"], "node": "node-3"})


@mutation(BAD, "alert/NodeNotReady/resolved")
def the_page_never_resolved(history: History) -> None:
    history.drop(*history.of("alert.state", alert="NodeNotReady", state="resolved"))


@mutation(BAD, "alert/GpuFallenOffBus/silent")
def another_alert_fired(history: History) -> None:
    about = {"labels": {"node": "node-2"}, "severity": "page", "via": "webhook"}
    history.add(history.effect + 3, "alert.state", "monitoring", alert="GpuFallenOffBus", state="firing", **about)


@mutation(BAD, "playbook/reschedule-critical/fired")
def the_playbook_never_ran(history: History) -> None:
    history.drop(*(one for one in history.events if one.data.get("playbook") == "reschedule-critical"))


@mutation(BAD, "playbook/reschedule-critical/fired")
def the_playbook_did_not_succeed(history: History) -> None:
    for one in history.of("playbook.finished", playbook="reschedule-critical"):
        history.set(one, ok=False, reason="no place")


@mutation(BAD, "playbook/reschedule-critical/target")
def the_playbook_ran_on_another_node(history: History) -> None:
    for one in history.events:
        if one.data.get("playbook") == "reschedule-critical" and "target" in one.data:
            history.set(one, target="node-1")


@mutation(BAD, "playbook/reschedule-critical/deadline")
def the_playbook_was_late(history: History) -> None:
    for one in [one for one in history.events if one.data.get("playbook") == "reschedule-critical"]:
        history.move(one, 9.0)


@mutation(BAD, "playbook/restart-replica/silent")
def another_playbook_ran(history: History) -> None:
    common = {"playbook": "restart-replica", "execution": "x", "target": "assistant-0"}
    history.add(history.effect + 3, "playbook.started", "engine", alert="a", attempt=1, **common)
    history.add(history.effect + 4, "playbook.finished", "engine", ok=True, reason="", seconds=1.0, **common)


@mutation(BAD, "alert/NodeNotReady/elsewhere")
def a_healthy_node_paged_under_the_same_name(history: History) -> None:
    about = {"labels": {"node": "node-3", "severity": "page"}, "severity": "page", "via": "webhook"}
    history.add(history.effect + 6, "alert.state", "monitoring", alert="NodeNotReady", state="firing", **about)


@mutation(BAD, "alert/TierErrorBudgetBurn/silent")
def the_critical_tier_s_own_burn_paged(history: History) -> None:
    about = {"labels": {"tier": "critical", "severity": "page"}, "severity": "page", "via": "webhook"}
    history.add(history.effect + 6, "alert.state", "monitoring", alert="TierErrorBudgetBurn", state="firing", **about)


@mutation(DOUBT, "run/silences")
def somebody_silenced_alerts(history: History) -> None:
    history.add(history.effect + 6, "alert.silenced", "monitoring", alert="NodeNotReady", by="somebody")


@mutation(DOUBT, "run/monitoring")
def monitoring_was_blind_every_few_seconds(history: History) -> None:
    begin = history.phase("baseline")[0]
    for number in range(10):
        at = begin + 3.2 * number
        history.add(at + 2.9, "monitoring.gap", "monitoring", what="prometheus", seconds=2.9, began_at=at, waking=False)


MOVES, SHEDS = "reschedule-critical", "shed-best-effort"


def of_playbook(history: History, name: str) -> list[Event]:
    return [one for one in history.events if one.data.get("playbook") == name]


@mutation(BAD, f"playbook/{MOVES}/cause")
def the_playbook_ran_before_its_alert(history: History) -> None:
    for one in of_playbook(history, MOVES):
        history.move(one, -1.0)


@mutation(BAD, f"playbook/{MOVES}/cause")
def another_alert_started_the_playbook(history: History) -> None:
    history.set(history.one("playbook.started", playbook=MOVES), alert="ServingCapacityLow")


@mutation(BAD, f"playbook/{MOVES}/fired")
def the_playbook_ran_when_the_fault_was_gone(history: History) -> None:
    late = history.one("fault.gone").at - history.one("playbook.started", playbook=MOVES).at + 0.2
    for one in of_playbook(history, MOVES):
        history.move(one, late)


@mutation(BAD, f"playbook/{MOVES}/fired", steps=True)
def a_step_failed_and_the_playbook_called_it_a_success(history: History) -> None:
    history.set(history.one("playbook.step", playbook=MOVES, step="move-critical"), ok=False)


@mutation(BAD, f"playbook/{MOVES}/fired", steps=True)
def a_step_was_rolled_back(history: History) -> None:
    step = history.one("playbook.step", playbook=MOVES, step="move-standard")
    history.add(step.at + 0.01, step.kind, step.source, **{**step.data, "rollback": True})


@mutation(BAD, f"playbook/{MOVES}/attempts", steps=True)
def the_first_attempt_failed(history: History) -> None:
    step = history.one("playbook.step_started", playbook=MOVES, step="move-critical")
    history.add(step.at - 0.01, step.kind, step.source, **deepcopy(step.data))
    history.add(step.at - 0.005, "playbook.step", step.source, **{**deepcopy(step.data), "ok": False})
    for one in of_playbook(history, MOVES):
        if one.kind.startswith("playbook.step") and one.at >= step.at:
            history.set(one, attempt=2)


@mutation(BAD, f"playbook/{MOVES}/escalation")
def help_was_called_and_nobody_came(history: History) -> None:
    about = {"playbook": MOVES, "target": "node-2", "reason": "no room", "tier": "critical"}
    history.add(history.one("playbook.finished", playbook=MOVES).at, "playbook.escalated", "remediation", **about)


@mutation(BAD, f"playbook/{MOVES}/effect", steps=True)
def the_replicas_were_never_ready_again(history: History) -> None:
    for one in history.of("lab.state"):
        for replica in one.data["replicas"]:
            if replica["name"] == "assistant-1" and replica["node"] != "node-2":
                replica["ready"] = False


@mutation(BAD, f"playbook/{SHEDS}/effect", steps=True)
def nobody_was_shed(history: History) -> None:
    for row in history.rows:
        if row["reason"] == "shed":
            row.update(outcome="ok", reason=None, status=200, latency=0.04)


@mutation(BAD, f"playbook/{SHEDS}/effect", steps=True)
def another_tier_was_to_be_shed(history: History) -> None:
    history.set(
        history.one("playbook.step_started", playbook=SHEDS, phase="act"),
        arguments={"tier": "standard", "fraction": 0.5},
    )


# What changes nothing that is judged.


@mutation(GOOD)
def nothing(history: History) -> None:
    pass


@mutation(GOOD)
def samples_come_in_any_order(history: History) -> None:
    random.Random(3).shuffle(history.rows)


@mutation(GOOD)
def a_request_of_each_tier_fails(history: History) -> None:
    for tier in ("critical", "standard", "best-effort"):
        turn(history.some(tier, 4, 9)[:1], "error")


@mutation(GOOD)
def one_shed_took_long(history: History) -> None:
    turn(history.some("best-effort", 4, 9)[:1], "rejected", 0.4, "shed")


@mutation(GOOD)
def one_critical_request_was_turned_away(history: History) -> None:
    turn(history.some("critical", 4, 9)[:1], "rejected", reason="queue-full")


@mutation(GOOD)
def best_effort_is_shed_by_choice(history: History) -> None:
    turn(history.some("best-effort", 5, 12, nth=2), "rejected", 0.01, "shed", 429)


@mutation(GOOD)
def a_few_best_effort_samples_are_lost(history: History) -> None:
    lost = {id(row) for row in history.some("best-effort", 0, 28)[:4]}
    history.rows = [row for row in history.rows if id(row) not in lost]


@mutation(GOOD)
def a_few_best_effort_arrivals_were_dropped(history: History) -> None:
    turn(history.some("best-effort", 3, 28)[:4], "dropped", 0.0, "saturated", -1)


@mutation(GOOD)
def requests_of_warm_up_failed(history: History) -> None:
    turn(history.some("critical", -20, -12, nth=3), "error")


@mutation(GOOD)
def a_gateway_dies_of_the_fault_and_nobody_notices(history: History) -> None:
    history.add(history.effect + 1, "process.exited", "lab", name="gateway-a", exit_code=-6, expected=False)


@mutation(GOOD)
def the_machine_is_the_slower(history: History) -> None:
    for row in history.rows:
        row["latency"] *= 1.5


@mutation(GOOD)
def somebody_takes_a_note(history: History) -> None:
    history.add(history.effect + 1, "run.note", "runner", text="a colleague asked what goes on")


@cache
def bases() -> dict[str, tuple[Event, ...]]:
    """The histories that are altered."""
    lines = REAL.read_text(encoding="utf-8").splitlines()
    return {
        "real": tuple(unpacked(Event.from_line(line)) for line in lines),
        "built": tuple(Run().events(shipped())),
    }


def unpacked(event: Event) -> Event:
    """With columns written out that the file says shortly: one value for all, or values and which of them at a time."""
    if event.kind != "load.samples":
        return event
    columns = event.data["columns"]
    rows = len(columns["due"])

    def whole(column: Any) -> list[Any]:
        if isinstance(column, dict):
            return [column["of"][place] for place in column["at"]]
        return column if isinstance(column, list) else [column] * rows

    full = {name: whole(column) for name, column in columns.items()}
    return replace(event, data={"columns": {**full, "sequence": list(range(rows))}})


def verdict_on(base: str, alter: Alter) -> Verdict:
    history = History(bases()[base])
    alter(history)
    return judge(history.whole())


def test_there_are_sixty_kinds_of_mutation() -> None:
    assert len({one.name for one in FOUND}) == len(FOUND) >= 60


CASES = [(kind, base) for kind in FOUND for base in ("real", "built") if base == "real" or not kind.steps]


@pytest.mark.parametrize(("kind", "base"), CASES, ids=lambda one: getattr(one, "name", one))
def test_a_meaning_that_was_altered_is_judged_as_what_it_is(kind: Mutation, base: str) -> None:
    found = verdict_on(base, kind.alter)
    assert found.status in kind.may, (found.status, found.reasons, found.summary)
    if kind.check:
        check = found.check(kind.check)
        assert check is not None and check.status is not PASSED, [one.id for one in found.checks]
        assert kind.check in found.reasons, found.reasons
    else:
        json.loads(found.to_json())
