"""Dashboards for Grafana: whole, and on metrics that something of ours publishes."""

from __future__ import annotations

import json
import re
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from tests.cli.support import tierdrill
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
