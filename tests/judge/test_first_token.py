"""Time to first token is that of requests that stream, and of no others."""

from __future__ import annotations

import math

import pytest

from tests.judge.build import Run, parts_of, shipped
from tierdrill.documents.catalogue import DrillSetting
from tierdrill.documents.models.drill import Stream
from tierdrill.judge.checks.slo_checks import streamed_parts
from tierdrill.judge.judge import judge
from tierdrill.judge.samples import TierSamples
from tierdrill.judge.verdict import Check, Status

CHECK = "slo/critical/time_to_first_token-p95"


@pytest.fixture(scope="module")
def setting() -> DrillSetting:
    return shipped()


def with_streaming(setting: DrillSetting, **shares: float) -> DrillSetting:
    """The drill with other shares of streamed answers; 0 for streams not named."""

    def changed(stream: Stream) -> Stream:
        return stream.model_copy(update={"streaming": shares.get(stream.name.replace("-", "_"), 0.0)})

    load = setting.drill.load
    drill = setting.drill.model_copy(
        update={"load": load.model_copy(update={"streams": tuple(map(changed, load.streams))})}
    )
    return DrillSetting.from_json({**setting.to_json(), "drill": drill.model_dump(mode="json")})


def first_token(setting: DrillSetting, run: Run) -> Check:
    check = judge(run.events(setting)).check(CHECK)
    assert check is not None
    return check


def test_failures_of_requests_that_do_not_stream_are_not_counted(setting: DrillSetting) -> None:
    plain = [name for name, streaming, _ in parts_of(setting, "critical") if not streaming]
    assert plain == ["enterprise", "enterprise-reasoning"]
    events = Run().events(setting)
    for event in events:
        if event.kind == "load.samples":
            columns = event.data["columns"]
            columns["outcome"] = [
                "error" if stream in plain else outcome
                for stream, outcome in zip(columns["stream"], columns["outcome"], strict=True)
            ]
    check = judge(events).check(CHECK)
    assert check is not None and check.status is Status.PASSED, check.seen
    assert check.samples is not None and 400 < check.samples < 560


def test_failures_of_requests_that_stream_are(setting: DrillSetting) -> None:
    def bad(tier: str, since: float) -> tuple[str, float, str | None]:
        return ("timeout", 3.0, None) if tier == "critical" and 0 < since < 5 else ("ok", 0.04, None)

    assert first_token(setting, Run(outcome=bad)).status is Status.FAILED


def test_of_a_stream_in_two_parts_only_the_streamed_one_counts(setting: DrillSetting) -> None:
    both = with_streaming(setting, enterprise=0.5)
    assert streamed_parts(both.drill.load) == {"enterprise-streamed"}
    check = first_token(both, Run())
    assert check.status is Status.PASSED and check.samples is not None and 500 < check.samples < 760


def test_without_a_stream_of_streamed_answers_nothing_is_known(setting: DrillSetting) -> None:
    none = with_streaming(setting)
    assert streamed_parts(none.drill.load) == frozenset()
    assert judge(Run().events(none)).check("slo/critical/time_to_first_token-p95").status is Status.INCONCLUSIVE


def test_an_answer_without_a_first_tokens_time_is_as_late_as_its_end() -> None:
    one = TierSamples(
        {
            "due": [1.0, 2.0, 3.0, 4.0, 5.0],
            "latency": [0.5, 0.6, 0.1, 0.1, 0.1],
            "outcome": ["ok", "ok", "error", "rejected", "dropped"],
            "ttft": [0.1, None, 0.05, None, None],
            "stream": ["s"] * 5,
        }
    )
    assert one.first_token_times({"s"}, True) == [0.1, 0.6, math.inf, math.inf]
    assert one.first_token_times({"s"}, False) == [0.1, 0.6, math.inf]
    assert one.first_token_times({"t"}, True) == []
