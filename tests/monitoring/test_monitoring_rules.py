"""The generated rules: well-formed for promtool and amtool, deterministic, and complete."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from monitoring_support import binaries, environment, tier, tiers, workloads, write_rules

from tierdrill.history.kinds.response_kinds import WATCHDOG_MISSING
from tierdrill.monitoring.alert_names import KNOWN_ALERTS
from tierdrill.monitoring.alertmanager_config import (
    TOKEN_PLACEHOLDER,
    URL_PLACEHOLDER,
    alertmanager_config,
    filled_in,
)
from tierdrill.monitoring.infrastructure_alerts import HOLD_S
from tierdrill.monitoring.prometheus_rules import prometheus_rules


def _rules(texts: dict[str, str]) -> list[dict[str, object]]:
    return [rule for text in texts.values() for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


@pytest.mark.parametrize(
    "clock",
    [
        {},
        {"window_scale": 1.0, "scrape_interval": 15.0, "evaluation_interval": 15.0},
        {"window_scale": 5000.0, "window_floor": 0.25, "scrape_interval": 0.25, "evaluation_interval": 0.25},
    ],
)
def test_promtool_accepts_the_rules(tmp_path: Path, clock: dict[str, float]) -> None:
    paths = write_rules(tmp_path, environment(**clock))
    done = subprocess.run(
        [binaries().promtool, "check", "rules", "--lint-fatal", *paths], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_amtool_accepts_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "alertmanager.yml"
    file.write_text(filled_in(alertmanager_config(), "http://127.0.0.1:9/x", "it's a 'token'"), encoding="utf-8")
    done = subprocess.run([binaries().amtool, "check-config", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    receiver = yaml.safe_load(file.read_text(encoding="utf-8"))["receivers"][0]["webhook_configs"][0]
    assert receiver["http_config"]["authorization"]["credentials"] == "it's a 'token'"
    assert receiver["send_resolved"] is True


@given(token=st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1))
def test_no_token_changes_the_structure_of_the_configuration(token: str) -> None:
    if URL_PLACEHOLDER in token or TOKEN_PLACEHOLDER in token:
        return
    plain = yaml.safe_load(filled_in(alertmanager_config(), "http://127.0.0.1:1/", "TOKEN"))
    odd = yaml.safe_load(filled_in(alertmanager_config(), "http://127.0.0.1:1/", token))
    credentials = odd["receivers"][0]["webhook_configs"][0]["http_config"]["authorization"]
    assert credentials["credentials"] == token
    credentials["credentials"] = "TOKEN"
    assert odd == plain


def test_a_token_with_a_line_break_is_refused() -> None:
    with pytest.raises(ValueError, match="printable"):
        filled_in(alertmanager_config(), "http://127.0.0.1:1/", "a\nb")


def test_rules_are_the_same_bytes_each_time() -> None:
    first = prometheus_rules(tiers(), workloads(), environment())
    assert first == prometheus_rules(tiers(), workloads(), environment())


def test_every_alert_is_known_and_every_known_alert_exists() -> None:
    alerts = [rule for rule in _rules(prometheus_rules(tiers(), workloads(), environment())) if "alert" in rule]
    assert {rule["alert"] for rule in alerts} == set(KNOWN_ALERTS) - {WATCHDOG_MISSING}
    for rule in alerts:
        labels, annotations = rule["labels"], rule["annotations"]
        assert isinstance(labels, dict) and isinstance(annotations, dict)
        assert labels["severity"] in ("page", "ticket", "info", "none")
        assert set(labels) <= set(KNOWN_ALERTS[str(rule["alert"])])
        assert "\n" not in annotations["summary"] and len(annotations["description"]) > 60


def test_every_infrastructure_alert_has_its_holding_time() -> None:
    alerts = {
        rule["alert"]: rule for rule in _rules(prometheus_rules(tiers(), workloads(), environment())) if "alert" in rule
    }
    for name, seconds in HOLD_S.items():
        assert ("for" in alerts[name]) == (seconds > 0)


def test_an_alert_that_could_never_fire_is_left_out() -> None:
    only = tiers(tier("loose", 1, availability=0.9))
    factors = [
        rule["labels"]["window"]  # type: ignore[index]
        for rule in _rules(prometheus_rules(only, workloads(), environment()))
        if rule.get("alert") == "TierErrorBudgetBurn"
    ]
    assert factors == ["6h", "1d", "3d"]  # 14.4 x 10% is over 100%


def test_a_tier_without_promises_has_no_rules() -> None:
    texts = prometheus_rules(tiers(tier("free", 1)), workloads(), environment())
    assert yaml.safe_load(texts["tierdrill-slo.yaml"]) == {"groups": []}


def test_rejections_count_where_the_tier_says_so() -> None:
    rules = _rules(prometheus_rules(tiers(), workloads(), environment()))
    recorded = {rule["labels"]["tier"]: str(rule["expr"]) for rule in rules if "record" in rule}  # type: ignore[index]
    assert "rejected" in recorded["critical"]
    assert "rejected" not in recorded["best-effort"]
    assert not any("cancelled" in expression for expression in recorded.values())


@settings(max_examples=30, deadline=None)
@given(
    availability=st.floats(0.5, 0.99999),
    scale=st.floats(1.0, 4000.0),
    scrape=st.floats(0.1, 30.0),
    counts=st.booleans(),
)
def test_any_documents_give_rules_that_parse(availability: float, scale: float, scrape: float, counts: bool) -> None:
    of = tiers(tier("one", 1, availability=availability, rejections_count=counts, latency={"p99": 0.25}))
    env = environment(window_scale=scale, scrape_interval=scrape, evaluation_interval=scrape)
    for rule in _rules(prometheus_rules(of, workloads(), env)):
        assert not re.search(r"[ \[](nan|inf|-)", str(rule["expr"]))
