"""Other tools' documents in, and ours out: what is carried over is the same, what is not is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.support import ROOT
from tests.tier_policy.support import Tierdrill
from tierdrill.documents.catalogue_reader import read_files
from tierdrill.documents.models.tiers import Tiers
from tierdrill.documents.reading.yaml_positions import read_text
from tierdrill.monitoring.prometheus_rules import slo_series
from tierdrill.tier_policy import priority_export, slo_export
from tierdrill.tier_policy.slo_import import Imported, import_slos

HERE = Path(__file__).parent / "imported"
CATALOGUE = read_files(sorted((ROOT / "drills/platform").glob("*.yaml")), ROOT).catalogue
TIERS, MODELS = CATALOGUE.tiers["serving"], CATALOGUE.workloads["models"]
RANKED = [tier.name for tier in TIERS.by_rank()]


def imported(text: str | Path) -> Imported:
    raw = text.read_bytes() if isinstance(text, Path) else text.encode()
    sources, problems = read_text("slo.yaml", raw)
    assert not problems
    return import_slos(sources, "imported")


def as_tiers(out: Imported) -> Tiers:
    assert out.problems == []
    return Tiers.model_validate(out.document, context={"written": True})


def test_openslo_becomes_a_tier_for_each_service() -> None:
    out = imported(HERE / "openslo.yaml")
    tiers = as_tiers(out)
    chat, batch = tiers.by_rank()
    assert (chat.name, chat.owner, chat.objectives.availability) == ("chat-completions", "conversational", 0.999)
    assert chat.objectives.latency == {"p50": 0.4, "p99": 2.0}
    assert (batch.name, batch.objectives.availability, batch.rank) == ("nightly-embeddings", 0.95, 2)
    lost = "\n".join(out.lost)
    for what in (
        "DataSource metrics", "AlertPolicy fast-burn", "chat-availability: alertPolicies", "timeWindow",
        "chat-latency: budgetingMethod: Timeslices", "chat-latency: 97% within 1s", "chat-latency: indicator",
    ):  # fmt: skip
        assert what in lost
    assert "nightly-embeddings: owner" in out.made_up


def test_sloth_becomes_a_tier_with_its_availability_and_latency() -> None:
    out = imported(HERE / "sloth.yaml")
    (tier,) = as_tiers(out).tiers
    assert (tier.name, tier.owner) == ("checkout-assistant", "shop-ml")
    assert (tier.objectives.availability, tier.objectives.latency) == (0.999, {"p99": 0.5})
    assert tier.objectives.rejections_count
    assert "checkout-assistant/requests-availability: alerting: its alerts' names and labels" in out.lost


def test_what_is_exported_to_sloth_and_openslo_comes_back() -> None:
    for export in (slo_export.sloth, slo_export.openslo):
        text = yaml.safe_dump_all(export(TIERS, slo_series).documents)
        back = {tier.name: tier.objectives for tier in as_tiers(imported(text)).tiers}
        for tier in TIERS.tiers:
            came = back[f"serving-{tier.name}"]
            assert came.availability == tier.objectives.availability
            assert came.latency == tier.objectives.latency


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1", "slo.yaml:1:1: neither OpenSLO nor Sloth"),
        (
            "apiVersion: openslo/v1alpha\nkind: SLO",
            "slo.yaml:1:13: apiVersion: got 'openslo/v1alpha', expected openslo/v1",
        ),
        ("apiVersion: openslo/v1\nkind: Slo", "slo.yaml:2:7: kind: got 'Slo', expected SLO, SLI"),
        ("apiVersion: openslo/v1\nkind: SLO\nmetadata: {name: x}\nspec: {service: y}", "objectives: got nothing"),
        (
            "apiVersion: openslo/v1\nkind: SLO\nmetadata: {name: x}\nspec: {service: y, objectives: [{target: 99}]}",
            "slo.yaml:4:42: target: got 99, expected a number above 0 and below 1",
        ),
        ("version: prometheus/v1\nservice: x\nslos: []", "slo.yaml:3:1: slos: got a list of 0"),
        ("version: prometheus/v1\nslos: [{name: a, objective: 99}]", "service: got nothing"),
        ("version: prometheus/v1\nservice: x\nslos: [{name: a, objective: 100}]", "below 100"),
        ("version: prometheus/v1\nservice: x\nslos: [nothing]", "slo.yaml:3:8: got 'nothing', expected a mapping"),
        ("apiVersion: openslo/v1\nkind: Service\nmetadata: {name: x}\nspec: {}", "no promise to carry over"),
    ],
)
def test_a_broken_document_is_told_with_its_place(text: str, said: str) -> None:
    assert said in "\n".join(map(str, imported(text).problems))


def test_pyrra_has_an_objective_for_each_promise() -> None:
    out = slo_export.pyrra(TIERS, slo_series)
    by_name = {one["metadata"]["name"]: one["spec"] for one in out.documents}
    assert by_name["serving-critical-availability"]["target"] == "99.5"
    slow = by_name["serving-critical-latency-p99"]["indicator"]["latency"]
    assert slow["success"]["metric"] == 'tierdrill_request_duration_seconds_bucket{le="0.5",tier="critical"}'
    # Best effort's rejections are no failures: they are not among what counts.
    flood = by_name["serving-best-effort-availability"]["indicator"]["ratio"]
    assert "rejected" not in flood["errors"]["metric"] + flood["total"]["metric"]
    assert "critical: objectives.time_to_mitigate" in out.lost
    assert "critical: reserved_slots" in out.lost


def priorities(documents: list[dict[str, Any]], value: str) -> dict[str, int]:
    """By tier, of the first document that names it."""
    found: dict[str, int] = {}
    for one in documents:
        tier = next(name for name in RANKED if name in one["metadata"]["name"])
        found.setdefault(tier, one[value] if value in one else one["spec"][value])
    return found


def test_the_direction_of_priority_is_each_systems_own() -> None:
    classes = priorities(priority_export.priority_classes(TIERS, MODELS).documents, "value")
    assert sorted(RANKED, key=lambda name: -classes[name]) == RANKED
    assert all(0 < value <= 1_000_000_000 for value in classes.values())
    objectives = priorities(priority_export.inference_objectives(TIERS, MODELS).documents, "priority")
    assert sorted(RANKED, key=lambda name: -objectives[name]) == RANKED
    # In llm-d only what is below 0 is shed: the tier whose rejections are no failures.
    assert [name for name in RANKED if objectives[name] < 0] == ["best-effort"]


def test_envoy_and_the_gateway_api_get_routes_and_say_what_they_cannot() -> None:
    out = priority_export.envoy(TIERS, MODELS)
    routes = out.documents[0]["virtual_hosts"][0]["routes"]
    assert [one["route"]["priority"] for one in routes] == [
        "HIGH" if route.tier == "critical" else "DEFAULT" for route in MODELS.routes
    ]
    assert any("two priorities; standard, best-effort are all DEFAULT" in line for line in out.lost)
    assert "route 2: max_tokens_at_most: 32" in out.lost
    gateway = priority_export.gateway_api(TIERS, MODELS)
    told = [
        one["requestHeaderModifier"]["set"][0]["value"]
        for route in gateway.documents
        for rule in route["spec"]["rules"]
        for one in rule["filters"]
    ]
    known = {one["metadata"]["name"] for one in priority_export.inference_objectives(TIERS, MODELS).documents}
    assert set(told) == known
    assert "route 2: prompt_tokens_at_most: 128" in gateway.lost


def test_import_and_export_from_the_command_line(tmp_path: Path, tierdrill: Tierdrill) -> None:
    made = tmp_path / "tiers.yaml"
    done = tierdrill("tiers", "import", HERE / "openslo.yaml", HERE / "sloth.yaml", "--output", made)
    assert done.code == 0
    assert "tierdrill: not carried over: AlertPolicy fast-burn" in done.err
    reading = read_files([made], tmp_path)
    assert reading.problems == []
    assert len(reading.catalogue.tiers["imported"].tiers) == 3
    # Nothing is wrong with what was made, but for the questions that are left in it.
    told = tierdrill("tiers", "lint", made).out.splitlines()
    assert told[:-1] and all("TP013 nothing-is-left-to-be-decided: " in line for line in told[:-1]), told
    for form in ("sloth", "pyrra", "openslo", "priority-classes", "inference-objectives", "envoy", "gateway-api"):
        done = tierdrill("tiers", "export", form)
        assert done.code == 0
        assert list(yaml.safe_load_all(done.out))
        assert "not carried over" in done.err
    made.write_text("kind: nothing\n")
    assert tierdrill("tiers", "import", made).code == 2
