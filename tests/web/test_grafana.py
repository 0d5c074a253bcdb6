"""Dashboards for Grafana: whole, and on metrics that something of ours publishes."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from pydantic import ValidationError

from tests.cli.support import tierdrill
from tests.schedule.test_metrics import promtool
from tests.web.grafana_schema import GrafanaDashboard
from tierdrill.lab.controller.cluster_metrics import ClusterCollector, Seen
from tierdrill.lab.gateway.gateway_metrics import GatewayMetrics
from tierdrill.lab.replica.replica_metrics import ReplicaMetrics
from tierdrill.schedule.metrics import Metrics
from tierdrill.web.grafana_dashboards import dashboards, expressions

WORDS = {"sum", "by", "le", "max", "min", "rate", "increase", "histogram_quantile", "time"}


class _Empty:
    def seen(self) -> Seen:
        return Seen((), (), {})


def published() -> set[str]:
    """The names of all that gateways, replicas, the control plane and the scheduler publish."""
    plane = CollectorRegistry()
    plane.register(ClusterCollector(_Empty()))
    texts = [generate_latest(registry) for registry in (GatewayMetrics("a", ()).registry, plane, Metrics().registry)]
    texts.append(ReplicaMetrics("m", "r").render())
    families = {line.split()[2] for text in texts for line in text.decode().splitlines() if line.startswith("# TYPE")}
    return families | {f"{name}_bucket" for name in families} | {f"{name}_total" for name in families}


def test_every_query_is_of_a_metric_that_something_publishes() -> None:
    known = published()
    for query in expressions():
        bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|by \([^)]*\)|[0-9.]+", " ", query)
        names = set(re.findall(r"[A-Za-z_]+:?[a-z_]*", bare)) - WORDS
        named = set(re.findall(r'__name__=~"([^"]+)"', query))
        assert names | named, query
        assert names - known - {"ALERTS"} <= set(), query
        assert query.count("(") == query.count(")"), query
        assert query.count("{") == query.count("}"), query


def test_grafanas_schema_takes_every_dashboard() -> None:
    for name, document in dashboards().items():
        read = GrafanaDashboard.model_validate(json.loads(json.dumps(document)))
        assert read.uid == name
        sources = {one.name for one in read.templating.list if one.type == "datasource"}
        references = [query.datasource.uid for panel in read.panels for query in panel.targets]
        references += [panel.datasource.uid for panel in read.panels]
        assert {reference.strip("${}") for reference in references} == sources == {"datasource"}
        assert all(len({query.refId for query in panel.targets}) == len(panel.targets) for panel in read.panels)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"panels": [{}]}, "panels.0.type"),
        ({"graphTooltip": 3}, "graphTooltip"),
        ({"colour": "red"}, "colour"),
        ({"schemaVersion": "39"}, "schemaVersion"),
    ],
)
def test_that_schema_refuses_what_grafana_does_not_know(change: dict[str, object], field: str) -> None:
    document = {**dashboards()["tierdrill-tiers"], **change}
    with pytest.raises(ValidationError) as error:
        GrafanaDashboard.model_validate(document)
    assert field in {".".join(map(str, one["loc"])) for one in error.value.errors()}


def test_prometheus_parses_every_query_and_every_alert(tmp_path: Path) -> None:
    alerts = [one["expr"] for document in dashboards().values() for one in document["annotations"]["list"]]
    rules = [
        {"record": f"query:{number}", "expr": as_grafana_sends_it(query)}
        for number, query in enumerate([*expressions(), *alerts])
    ]
    path = tmp_path / "rules.yaml"
    path.write_text(json.dumps({"groups": [{"name": "dashboards", "rules": rules}]}))
    done = subprocess.run([promtool(), "check", "rules", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{len(rules)} rules found" in done.stdout
    path.write_text(json.dumps({"groups": [{"name": "dashboards", "rules": [{"record": "a", "expr": "sum(rate(x)"}]}]}))
    assert subprocess.run([promtool(), "check", "rules", path], capture_output=True, check=False).returncode != 0


def as_grafana_sends_it(query: str) -> str:
    """With its variables filled in."""
    return query.replace("$__rate_interval", "1m").replace("$__range", "1h").replace("$tier", "critical|standard")


def test_panels_have_a_place_of_their_own_and_an_id() -> None:
    for name, document in dashboards().items():
        assert document["uid"] == name
        assert len(name) <= 40
        panels = document["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        cells = [
            (x, y)
            for panel in panels
            for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
            for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
        ]
        assert len(set(cells)) == len(cells)
        assert max(x for x, _ in cells) < 24
        variables = {one["name"] for one in document["templating"]["list"]}
        used = set(re.findall(r"\$\{?([a-z]+)", json.dumps(document))) - {"__rate", "__range"}
        assert used <= variables
        assert all(panel["targets"] for panel in panels)


def test_the_command_writes_them(tmp_path: Path) -> None:
    done = tierdrill(tmp_path / "home", "grafana", "--output", tmp_path / "out")
    assert done.code == 0, done.err
    written = [Path(line) for line in done.out.splitlines()]
    assert sorted(path.stem for path in written) == sorted(dashboards())
    assert all(json.loads(path.read_text()) for path in written)
