"""Routing rules as a table: the same rules as the gateways', coverage, and what holds of every request."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.support import ROOT, copied_catalogue
from tests.documents.support import changed
from tests.tier_policy.support import Tierdrill
from tierdrill.documents.catalogue_reader import read_files
from tierdrill.documents.models.tier_tests import TierCase
from tierdrill.documents.models.workloads import Route, Workloads
from tierdrill.documents.request_rules import MINUTES, RequestFacts, first_match, matches, minutes_of, within_hours
from tierdrill.lab.gateway.gateway_config import GatewayConfig
from tierdrill.lab.lab_plan import lab_config
from tierdrill.tier_policy.route_tests import decide, probes, run_table

CATALOGUE = read_files(sorted((ROOT / "drills/platform").glob("*.yaml")), ROOT).catalogue
TIERS, MODELS, TABLE = CATALOGUE.tiers["serving"], CATALOGUE.workloads["models"], CATALOGUE.tier_tests["routing"]
requests = st.builds(
    RequestFacts,
    model=st.sampled_from([model.name for model in MODELS.models]),
    customer_class=st.sampled_from([None, "batch", "Enterprise", "free"]),
    prompt_tokens=st.integers(1, 600),
    max_tokens=st.integers(1, 300),
    region=st.sampled_from([None, "eu", "us", "mars"]),
    transaction=st.none() | st.floats(0, 1e6),
    minute=st.none() | st.integers(0, MINUTES - 1),
)
routes = st.builds(
    Route,
    model=st.sampled_from([None, "assistant", "draft"]),
    customer_class=st.sampled_from([None, "batch", "enterprise"]),
    region=st.sampled_from([None, "eu"]),
    hours=st.sampled_from([None, "22:00-06:00", "08:00-18:00"]),
    prompt_tokens_at_most=st.none() | st.integers(1, 600),
    max_tokens_at_least=st.none() | st.integers(1, 128),
    transaction_at_least=st.none() | st.floats(1, 1000),
    tier=st.sampled_from(["critical", "standard"]),
)


def with_routes(*rules: Route) -> Workloads:
    return MODELS.model_copy(update={"routes": rules})


def test_the_shipped_table_holds_and_reaches_every_route() -> None:
    outcome = run_table(TABLE, TIERS, MODELS)
    assert outcome.ok
    assert outcome.unreached == ()
    assert {case.refused for case in TABLE.cases} >= {"residency", "no-such-model", "prompt-too-long"}


@given(requests)
def test_the_gateways_give_the_tier_that_the_table_is_tested_against(request: RequestFacts) -> None:
    lab = lab_config(
        "lab", CATALOGUE.environments["lab"], TIERS, MODELS,
        prometheus=None, alertmanager=None, rules={}, alertmanager_text="",
    )  # fmt: skip
    gateway = GatewayConfig("gateway-a", "controller", "token", lab.tiers, lab.routes)
    got = decide(TIERS, MODELS, request)
    if got.refused is None:
        assert gateway.classify(request).name == got.tier
    if got.refused == "residency":
        assert request.region not in gateway.classify(request).data_residency


@given(st.lists(routes, min_size=1, max_size=4), requests)
def test_no_rule_that_a_request_reaches_is_called_shadowed(rules: list[Route], request: RequestFacts) -> None:
    workloads = with_routes(*rules)
    used = {first_match(rules, probe) for probe in probes(workloads)}
    decides = first_match(rules, request)
    model = workloads.model(request.model)
    assert model is not None
    if request.prompt_tokens <= model.prompt_tokens_at_most and request.max_tokens <= model.max_tokens_at_most:
        assert decides in used


@given(st.integers(0, MINUTES - 1))
def test_hours_over_midnight_are_the_rest_of_the_day(minute: int) -> None:
    assert within_hours("22:00-06:00", minute) is not within_hours("06:00-22:00", minute)


def test_a_condition_is_met_only_by_what_is_known() -> None:
    night = Route(tier="t", hours="22:00-06:00", transaction_at_least=100.0, region="EU")
    asked = RequestFacts("any", region="eu", transaction=100.0, minute=0)
    assert matches(night, asked)
    for unknown in ("region", "transaction", "minute"):
        facts = {"region": "eu", "transaction": 100.0, "minute": 0, unknown: None}
        assert not matches(night, RequestFacts("any", **facts))  # type: ignore[arg-type]


@pytest.mark.parametrize("hours", ["8-18", "08:00-08:00", "24:00-06:00", "08:00 - 18:00", ""])
def test_hours_that_are_none_are_refused(hours: str) -> None:
    with pytest.raises(ValueError, match="expected hours"):
        minutes_of(hours)


def test_a_table_finds_wrong_tiers_shadowed_rules_and_requests_without_a_tier() -> None:
    shadowed = with_routes(
        Route(model="assistant", tier="standard"), Route(model="assistant", region="eu", tier="critical")
    )
    table = TABLE.model_copy(update={"cases": (TierCase(name="one", model="assistant", region="eu", tier="critical"),)})
    outcome = run_table(table, TIERS, shadowed)
    assert [(one.ok, str(one.got)) for one in outcome.results] == [(False, "standard by route 1")]
    assert (outcome.shadowed, outcome.unreached, outcome.coverage) == ((1,), (1,), 0.5)
    assert outcome.without_tier == ("draft", "reasoner", "summarizer")
    assert not outcome.ok


def test_the_command_tells_a_failed_case_by_its_exit_code(tmp_path: Path, tierdrill: Tierdrill) -> None:
    root = copied_catalogue(tmp_path / "mine")
    done = tierdrill("--catalogue", root, "tiers", "test")
    assert (done.code, done.out) == (0, "routing: 14 of 14 cases passed, 7 of 7 routes reached\n")
    table = "drills/platform/tier-tests.yaml"
    changed(root, table, ("max_tokens: 33, tier: standard", "max_tokens: 33, tier: critical"))
    done = tierdrill("--catalogue", root, "tiers", "test", root / table)
    assert done.code == 1
    assert "an answer too long for critical: expected critical, got standard by route 4" in done.out
    changed(root, table, ("tier: best-effort", "tier: bestest"))
    done = tierdrill("--catalogue", root, "tiers", "test")
    assert done.code == 2
    assert "tier-tests.yaml:10:" in done.err
