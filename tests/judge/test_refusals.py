"""Who is turned away before whom, what a refusal and a retry cost, and how long those wait who never get out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.judge.build import Run, shipped
from tierdrill.documents.models.drill import Invariants
from tierdrill.documents.models.tiers import RETRY_BURST
from tierdrill.judge.checks.invariants import judge_invariants
from tierdrill.judge.checks.refusal_order import judge_refusal_order
from tierdrill.judge.checks.slo_checks import judge_retries
from tierdrill.judge.judge import judge
from tierdrill.judge.sample_columns import JUDGED
from tierdrill.judge.samples import TierSamples
from tierdrill.judge.timeline import read_timeline
from tierdrill.judge.verdict import Status
from tierdrill.lab.lab_config import TierConfig

SETTING = shipped()
TIERS = SETTING.tiers
STANDARD = TIERS.by_name("standard")
USUAL = {"outcome": "ok", "latency": 0.04, "queue_wait": 0.0, "model": "summarizer", "stream": "s", "gateway": 0}


def samples(rows: Iterable[dict[str, Any]]) -> TierSamples:
    ordered = sorted(rows, key=lambda row: row["due"])
    names = (*JUDGED, "gateway")
    return TierSamples({name: [{**USUAL, **row}.get(name) for row in ordered] for name in names})


def served(times: Iterable[float], **changes: Any) -> list[dict[str, Any]]:
    return [{"due": at, **changes} for at in times]


def refused(times: Iterable[float], reason: str, latency: float = 0.003, **changes: Any) -> list[dict[str, Any]]:
    gone = {"outcome": "rejected", "reason": reason, "latency": latency, "model": None, "queue_wait": 0.0}
    return [{"due": at, **gone, **changes} for at in times]


def ticks(begin: float, end: float, step: float) -> list[float]:
    return [begin + number * step for number in range(int((end - begin) / step))]


EARLIER = served(ticks(0, 5, 0.05))


def order(upper: Sequence[dict[str, Any]], lower: Sequence[dict[str, Any]]) -> Status:
    parts = {"standard": samples([*EARLIER, *upper]), "best-effort": samples([*lower])}
    return judge_refusal_order(TIERS, parts, ()).status


def test_rank_2_turned_away_at_the_door_while_rank_3_is_served() -> None:
    upper = refused(ticks(10, 12, 0.05), "queue-full")
    assert order(upper, served(ticks(10.02, 12, 0.1))) is Status.FAILED
    assert order(upper, served(ticks(12.1, 14, 0.1))) is Status.PASSED
    assert order(upper, served(ticks(10.02, 12, 0.1), queue_wait=2.5)) is Status.PASSED  # it waited until all was over


def test_rank_2_waits_in_vain_while_rank_3_is_served() -> None:
    upper = refused(ticks(10, 12, 0.05), "queue-timeout", latency=1.0, queue_wait=1.0)
    assert order(upper, served(ticks(10.2, 12, 0.1))) is Status.FAILED
    assert order(upper, served(ticks(13.1, 15, 0.1))) is Status.PASSED


def test_of_rejections_that_do_not_say_why_no_order_is_told() -> None:
    lower = served(ticks(10.02, 12, 0.1))
    assert order(refused(ticks(10, 12, 0.05), "too-many-requests"), lower) is Status.INCONCLUSIVE
    assert order(refused([10.5, 11.5], "too-many-requests"), lower) is Status.PASSED
    both = [*refused(ticks(10, 12, 0.05), "queue-full"), *refused(ticks(10, 12, 0.5), "too-many-requests")]
    assert order(both, lower) is Status.FAILED


@pytest.mark.parametrize("elsewhere", [{"model": "draft"}, {"gateway": 1}])
def test_another_model_or_gateway_has_slots_of_its_own(elsewhere: dict[str, Any]) -> None:
    assert order(refused(ticks(10, 12, 0.05), "shed"), served(ticks(10.02, 12, 0.1), **elsewhere)) is Status.PASSED


def test_no_order_is_seen_where_both_are_turned_away_or_few_are_served() -> None:
    upper = refused(ticks(10, 12, 0.05), "shed")
    assert order(upper, [*served(ticks(10.02, 12, 0.1)), *refused(ticks(10.03, 12, 0.1), "shed")]) is Status.PASSED
    assert order(upper, served([10.52, 11.02])) is Status.PASSED


def test_it_is_one_of_the_invariants_and_old_documents_go_without() -> None:
    verdict = judge(Run().events(SETTING))
    assert verdict.check("invariant/refusal-order") is not None
    expect = SETTING.drill.expect
    names = tuple(name for name in Invariants().check if name != "refusal-order")
    before = expect.model_copy(update={"invariants": Invariants(check=names)})
    setting = replace(SETTING, drill=SETTING.drill.model_copy(update={"expect": before}))
    assert judge(Run().events(setting)).check("invariant/refusal-order") is None


def cheap(rows: list[dict[str, Any]], tier: str = "standard") -> Status:
    run = Run()
    timeline = read_timeline(run.events(SETTING))
    begin = timeline.phases["fault"][0]
    part = samples({**row, "due": begin + row["due"]} for row in rows)
    [check] = judge_invariants(Invariants(check=("rejections-cheap",)), TIERS, {tier: part}, timeline, ())
    return check.status


def test_a_queue_timeout_costs_what_comes_on_top_of_its_wait() -> None:
    wait = STANDARD.queue.wait
    assert cheap(refused(ticks(0, 5, 0.1), "queue-timeout", latency=wait + 0.02)) is Status.PASSED
    assert cheap(refused(ticks(0, 5, 0.1), "queue-timeout", latency=wait + 0.5)) is Status.FAILED
    critical = TIERS.by_name("critical")
    assert critical.fallback_model is not None
    twice = refused(ticks(0, 5, 0.1), "queue-timeout", latency=2 * critical.queue.wait - 1.0)
    assert cheap(twice, "critical") is Status.PASSED  # it waited for the other model too


def attempts(counts: Sequence[int | None]) -> TierSamples:
    return samples({"due": float(number), "attempts": count} for number, count in enumerate(counts))


def test_more_retries_than_the_budget_are_told() -> None:
    many = attempts([1] * 800 + [2] * 400)
    [check] = judge_retries(STANDARD, many, 2, "fault", ())
    assert check.status is Status.FAILED and check.samples == 1200
    within = attempts([1] * 990 + [2] * 210)  # a fifth, and a burst at each gateway
    assert [one.status for one in judge_retries(STANDARD, within, 2, "fault", ())] == [Status.PASSED]
    assert [one.status for one in judge_retries(STANDARD, attempts([3] * 20), 2, "fault", ())] == [Status.FAILED]
    assert judge_retries(STANDARD, attempts([None] * 10), 2, "fault", ()) == []


def test_the_burst_is_the_gateways() -> None:
    assert TierConfig("t", 1).retry_burst == RETRY_BURST


def test_who_never_gets_out_of_the_queue_has_waited_for_ever() -> None:
    part = samples(
        [
            {"due": 1.0, "queue_wait": 0.2},
            {"due": 2.0, "queue_wait": 0.3, "outcome": "error"},
            *refused([3.0], "queue-timeout", queue_wait=1.0),
            *refused([4.0, 4.1], "shed"),
            *refused([5.0], "preempted", queue_wait=0.1),
            {"due": 6.0, "outcome": "timeout", "reason": "deadline", "queue_wait": 0.9, "attempts": 0},
            {"due": 7.0, "outcome": "timeout", "reason": "deadline", "queue_wait": 0.4, "attempts": 1},
            {"due": 8.0, "outcome": "timeout", "reason": "client-timeout", "queue_wait": None},
            {"due": 9.0, "outcome": "unfinished", "queue_wait": None},
            {"due": 9.5, "outcome": "error", "reason": "connect-refused", "queue_wait": None},
        ]
    )
    assert part.queue_waits() == [0.1, 0.2, 0.3, 0.4, math.inf, math.inf]
    assert part.waits_unknown == 2


def test_waits_that_nobody_told_of_are_judged_at_both_extremes() -> None:
    def silent(share: float) -> Status:
        events = Run().events(SETTING)
        effect = next(event.data["effective_at"] for event in events if event.kind == "fault.landed")
        for event in events:
            if event.kind != "load.samples":
                continue
            columns = event.data["columns"]
            for place, (tier, due) in enumerate(zip(columns["tier"], columns["due"], strict=True)):
                if tier == "critical" and due > effect and place % 100 < share * 100:
                    columns["outcome"][place], columns["queue_wait"][place] = "timeout", None
        check = judge(events).check("slo/critical/queue_wait-p99")
        assert check is not None
        return check.status

    assert silent(0.0) is Status.PASSED
    assert silent(0.3) is Status.INCONCLUSIVE


def test_a_stall_is_the_longest_of_each_streamed_answer() -> None:
    part = samples(
        [
            {"due": 1.0, "ttft": 0.1, "stall": 0.02},
            {"due": 2.0, "ttft": 0.1, "stall": None},
            {"due": 3.0, "ttft": 0.1, "stall": 0.8, "outcome": "error"},
            {"due": 4.0, "ttft": None, "stall": None},
        ]
    )
    assert part.stalls() == [0.0, 0.02, math.inf]
    assert samples([{"due": 1.0, "ttft": 0.1}]).stalls() == []  # a history of before: not told


def test_a_stall_is_judged_where_it_is_promised() -> None:
    critical = TIERS.by_name("critical")
    promising = critical.objectives.model_copy(update={"stall": {"p95": 0.25}})
    stalled = critical.model_copy(update={"objectives": promising})
    tiers = TIERS.model_copy(update={"tiers": (stalled, *(tier for tier in TIERS.tiers if tier is not critical))})
    expected, *others = SETTING.drill.expect.tiers
    asked = expected.model_copy(update={"objectives": ("stall",)})
    expect = SETTING.drill.expect.model_copy(update={"tiers": (asked, *others)})
    setting = replace(SETTING, tiers=tiers, drill=SETTING.drill.model_copy(update={"expect": expect}))

    def status(stall: float) -> Status:
        events = Run().events(setting)
        for event in events:
            if event.kind == "load.samples":
                columns = event.data["columns"]
                columns["stall"] = [None if first is None else stall for first in columns["ttft"]]
        check = judge(events).check("slo/critical/stall-p95")
        assert check is not None
        return check.status

    assert (status(0.02), status(0.7)) == (Status.PASSED, Status.FAILED)
