"""A platform that cannot keep its own rules is refused, at the place that says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.documents.support import DRILL, ENVIRONMENT, TIERS, WORKLOADS, changed, good_catalogue, lines
from tierdrill.documents.catalogue_reader import load_catalogue
from tierdrill.documents.models.workloads import Route
from tierdrill.documents.request_rules import RequestFacts, matches

TOO_LONG = "attempt of tier critical ends after"


def test_the_longest_request_of_a_route_fits_into_an_attempt(tmp_path: Path) -> None:
    root = good_catalogue(tmp_path)
    changed(root, TIERS, ("    retry_budget:", "    attempt_timeout: 200ms\n    retry_budget:"))
    assert lines(root) == [
        "drills/workloads.yaml:36:5: 64 tokens after a prompt of 512 take assistant 230ms; an attempt of tier critical "
        "ends after 200ms; attempt_timeout of critical above it, or fewer tokens (prompt_tokens_at_most, "
        "max_tokens_at_most)"
    ]
    changed(root, WORKLOADS, ("max_tokens_at_most: 64", "prompt_tokens_at_most: 256, max_tokens_at_most: 64"))
    assert lines(root) == []


def test_the_models_own_bound_holds_where_the_route_has_none(tmp_path: Path) -> None:
    root = good_catalogue(tmp_path)
    changed(root, TIERS, ("    retry_budget:", "    attempt_timeout: 200ms\n    retry_budget:"))
    changed(root, WORKLOADS, ("    slots: 8\n", "    slots: 8\n    prompt_tokens_at_most: 256\n"))
    assert lines(root) == []


def test_the_fallback_model_must_be_quick_enough_too(tmp_path: Path) -> None:
    root = good_catalogue(tmp_path)
    changed(root, TIERS, ("    retry_budget:", "    fallback_model: summarizer\n    retry_budget:"))
    assert any("critical falls back on summarizer without a limit" in line for line in lines(root))
    changed(root, TIERS, ("      integrity: 100%\n", "      integrity: 100%\n      fallback_at_most: 5%\n"))
    assert lines(root) == []
    changed(root, WORKLOADS, ("&usual {prefill_per_token: 0.2ms", "&usual {prefill_per_token: 2ms"))
    assert any("take summarizer 1.152s; an attempt of tier critical ends after 1s" in line for line in lines(root))


def test_what_no_route_matches_is_the_last_tiers(tmp_path: Path) -> None:
    root = good_catalogue(tmp_path)
    changed(root, WORKLOADS, ("  - {tier: best-effort}\n", ""))
    changed(root, TIERS, ("    shed_order: 1\n", "    shed_order: 1\n    attempt_timeout: 500ms\n"))
    assert any("drills/workloads.yaml:34:1" in line and "tier best-effort" in line for line in lines(root))


def test_the_queue_and_all_attempts_fit_into_the_deadline(tmp_path: Path) -> None:
    root = good_catalogue(tmp_path)
    changed(root, TIERS, ("    retry_budget:", "    deadline: 2s\n    retry_budget:"))
    assert any("3 attempts of 1s beyond the deadline" in line for line in lines(root))
    root = good_catalogue(tmp_path / "other")
    changed(root, TIERS, ("    retry_budget: {attempts: 3", "    deadline: 1.2s\n    retry_budget: {attempts: 1"))
    assert any("after up to 1s in the queue; the deadline of tier critical is 1.2s" in line for line in lines(root))


def test_every_gateway_has_slots_and_not_all_of_them_are_reserved(tmp_path: Path) -> None:
    root = good_catalogue(tmp_path)
    changed(root, WORKLOADS, ("    slots: 8\n", "    slots: 1\n"))
    assert any("2 gateways for 1 slots of a replica of assistant" in line for line in lines(root))
    root = good_catalogue(tmp_path / "other")
    changed(root, TIERS, ("reserved_slots: 4", "reserved_slots: 9"))
    assert any(
        line.startswith("drills/environment.yaml:") and "9 slots of assistant reserved by critical" in line
        for line in lines(root)
    )


@pytest.mark.parametrize(
    ("new", "said"),
    [
        ("rate: 900/s", "slots of assistant busy; at most 16: what 2 of its 3 replicas have"),
        ("rate: 20/s, max_tokens: 300", "300 max_tokens for assistant; at most 256"),
        ("rate: 20/s, timeout: 10ms", "a timeout of 10ms, and assistant takes"),
    ],
)
def test_the_load_is_one_that_the_platform_can_serve(tmp_path: Path, new: str, said: str) -> None:
    root = good_catalogue(tmp_path)
    changed(root, DRILL, ("rate: 20/s", new))
    assert any(said in line and line.startswith(DRILL) for line in lines(root)), lines(root)


def test_a_latency_that_no_replica_can_keep_is_told(tmp_path: Path) -> None:
    root = good_catalogue(tmp_path)
    changed(root, TIERS, ("latency: {p99: 500ms}", "latency: {p50: 10ms, p99: 500ms}"))
    assert any("critical promises p50 of 10ms, and a healthy replica takes" in line for line in lines(root))


def test_routes_regard_the_prompt_and_not_the_case_of_a_class(tmp_path: Path) -> None:
    root = good_catalogue(tmp_path)
    changed(root, WORKLOADS, ("customer_class: batch", "customer_class: Batch"))
    changed(root, WORKLOADS, ("max_tokens_at_most: 64", "prompt_tokens_at_most: 99, max_tokens_at_most: 64"))
    workloads = load_catalogue(root)[0].workloads["default"]
    assert workloads.tier_of("assistant", "BATCH", 10, 10) == "best-effort"
    assert workloads.tier_of("assistant", "other", 99, 10) == "critical"
    assert workloads.tier_of("assistant", None, 100, 10) == "best-effort"
    again = "  - {model: assistant, customer_class: BATCH, tier: standard}\n"
    changed(root, WORKLOADS, ("  - {model: assistant, prompt", again + "  - {model: assistant, prompt"))
    assert any("route 2 is never reached" in line for line in lines(root))


def test_a_route_takes_what_is_within_all_its_bounds() -> None:
    route = Route(tier="t", prompt_tokens_at_least=2, prompt_tokens_at_most=4, max_tokens_at_least=3)
    sizes = [RequestFacts("any", None, prompt, 3) for prompt in (1, 2, 4, 5)]
    assert [matches(route, one) for one in sizes] == [False, True, True, False]
    assert not matches(route, RequestFacts("any", None, 3, 2))


def test_trusted_callers_are_addresses_or_networks(tmp_path: Path) -> None:
    root = good_catalogue(tmp_path)
    changed(root, ENVIRONMENT, ("lab: {", "lab: {trusted_callers: [10.0.0.0/8, front-door], "))
    said = "lab.trusted_callers[1]: got 'front-door', expected an address or a network"
    assert any(said in line for line in lines(root))
