"""OpenSLO v1 and Sloth v1 documents as a Tiers document: a tier for each service. Pure.

What has no place in a Tiers document is named; so is what it must have and the other did not say. The service with the
strictest target gets rank 1, and so on down: the owner must look at that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from tierdrill.documents.models.tiers import Quantile, quantile_share
from tierdrill.documents.models.units import NAME_PATTERN, show_duration, show_ratio
from tierdrill.documents.problems import Problem, shown
from tierdrill.documents.reading.yaml_positions import Key, Source
from tierdrill.text import either
from tierdrill.tier_policy.promise_rules import TO_BE_DECIDED

QUANTILES: tuple[str, ...] = get_args(Quantile)
_BUCKET = re.compile(r'\ble="([0-9]+(?:\.[0-9]+)?)"')
_OPENSLO_KINDS = ("SLO", "SLI", "Service", "DataSource", "AlertPolicy", "AlertCondition", "AlertNotificationTarget")


@dataclass
class _Service:
    """What was found about one service."""

    name: str
    owner: str = ""
    text: str = ""
    availability: float | None = None
    latency: dict[str, float] = field(default_factory=dict)
    rejections_count: bool = True


@dataclass
class Imported:
    """A Tiers document as plain data, what could not be carried over, and what was made up."""

    document: dict[str, Any] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    made_up: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def import_slos(sources: list[Source], name: str) -> Imported:
    """A Tiers document of that name; with `problems` where a file is no such document or a broken one."""
    out, services = Imported(), dict[str, _Service]()
    for source in sources:
        data = source.data
        if str(data.get("version", "")).startswith("prometheus/"):
            _sloth(_Found(source, out, services), data)
        elif data.get("apiVersion") == "sloth.slok.dev/v1" and isinstance(data.get("spec"), dict):
            _sloth(_Found(source, out, services, ("spec",)), data["spec"])
        elif str(data.get("apiVersion", "")).startswith("openslo/"):
            _openslo(_Found(source, out, services), data)
        else:
            _Found(source, out, services).wrong(
                (), "neither OpenSLO nor Sloth", "apiVersion: openslo/v1, or version: prometheus/v1", key=True
            )
    promising = [one for one in services.values() if one.availability is not None or one.latency]
    if not promising and not out.problems:
        _Found(sources[0], out, services).wrong((), "no promise to carry over", "an SLO with a target", key=True)
    if not out.problems:
        out.document = _document(promising, name, out)
    return out


@dataclass
class _Found:
    """Where in a source something was found, and where to tell of it."""

    source: Source
    out: Imported
    services: dict[str, _Service]
    base: tuple[Key, ...] = ()

    def wrong(self, path: tuple[Key, ...], found: str, allowed: str, *, key: bool = False) -> None:
        self.out.problems.append(self.source.problem((*self.base, *path), found, allowed, key=key))

    def lose(self, what: str) -> None:
        if what not in self.out.lost:
            self.out.lost.append(what)

    def service(self, name: str) -> _Service:
        return self.services.setdefault(name, _Service(name))

    def text(self, data: Mapping[str, Any], name: str, path: tuple[Key, ...] = ()) -> str | None:
        """A text that must be there."""
        value = data.get(name)
        if isinstance(value, str) and value.strip():
            return value
        self.wrong((*path, name) if name in data else path, f"{name}: got {shown(value)}", "expected a text")
        return None

    def share(self, value: object, most: float, path: tuple[Key, ...]) -> float | None:
        """A target between 0 and `most`, as a share of 1."""
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < most:
            return round(value / most, 9)
        self.wrong(path, f"{path[-1]}: got {shown(value)}", f"expected a number above 0 and below {most:g}")
        return None

    def promise(self, service: _Service, slo: str, share: float, limit: float | None) -> None:
        """A share of good requests, or of those that take no longer than `limit` seconds."""
        if limit is None:
            if service.availability is not None and service.availability != share:
                self.lose(f"{slo}: a second target {show_ratio(share)} for {service.name}; the stricter is kept")
            service.availability = max(share, service.availability or 0.0)
            return
        quantile = next((name for name in QUANTILES if abs(quantile_share(name) - share) < 1e-9), None)
        if quantile is None:
            self.lose(f"{slo}: {show_ratio(share)} within {show_duration(limit)}, which is none of {either(QUANTILES)}")
        else:
            service.latency[quantile] = min(limit, service.latency.get(quantile, limit))


def _sloth(found: _Found, data: Mapping[str, Any]) -> None:
    name = found.text(data, "service")
    slos = data.get("slos")
    if not isinstance(slos, list) or not slos:
        found.wrong(("slos",) if "slos" in data else (), f"slos: got {shown(slos)}", "expected a list of SLOs")
        return
    if name is None:
        return
    service = found.service(name)
    labels = data.get("labels")
    service.owner = _owner(labels) or service.owner
    for number, slo in enumerate(slos):
        path: tuple[Key, ...] = ("slos", number)
        if not isinstance(slo, dict):
            found.wrong(path, f"got {shown(slo)}", "expected a mapping")
            continue
        called = found.text(slo, "name", path)
        share = found.share(slo.get("objective"), 100.0, (*path, "objective"))
        if called is None or share is None:
            continue
        service.text = service.text or str(slo.get("description") or "")
        events = _inner(slo, "sli", "events")
        query = str(events.get("error_query", ""))
        bucket = _BUCKET.search(query)
        if bucket is None and query and "429" not in query:
            service.rejections_count = False
        found.promise(service, f"{name}/{called}", share, float(bucket[1]) if bucket else None)
        for what in ("sli", "alerting", "labels"):
            if slo.get(what):
                told = {"sli": "its queries", "alerting": "its alerts' names and labels", "labels": "its labels"}[what]
                found.lose(f"{name}/{called}: {what}: {told}")


def _openslo(found: _Found, data: Mapping[str, Any]) -> None:
    if data.get("apiVersion") != "openslo/v1":
        found.wrong(("apiVersion",), f"apiVersion: got {shown(data.get('apiVersion'))}", "expected openslo/v1")
        return
    kind = data.get("kind")
    if kind not in _OPENSLO_KINDS:
        found.wrong(
            ("kind",) if "kind" in data else (), f"kind: got {shown(kind)}", f"expected {either(_OPENSLO_KINDS)}"
        )
        return
    name = found.text(_inner(data, "metadata"), "name", ("metadata",) if "metadata" in data else ())
    if name is None:
        return
    spec, labels = _inner(data, "spec"), _inner(data, "metadata").get("labels")
    if kind == "Service":
        service = found.service(name)
        service.owner = _owner(labels) or service.owner
        service.text = str(spec.get("description") or "") or service.text
    elif kind == "SLO":
        _openslo_slo(found, name, spec, _owner(labels))
    else:
        found.lose(f"{kind} {name}: the whole document")


def _openslo_slo(found: _Found, name: str, spec: Mapping[str, Any], owner: str) -> None:
    called = found.text(spec, "service", ("spec",))
    objectives = spec.get("objectives")
    if not isinstance(objectives, list) or not objectives:
        path: tuple[Key, ...] = ("spec", "objectives") if "objectives" in spec else ("spec",)
        found.wrong(path, f"objectives: got {shown(objectives)}", "expected a list of objectives")
        return
    if called is None:
        return
    service = found.service(called)
    service.owner = service.owner or owner
    service.text = service.text or str(spec.get("description") or "")
    if spec.get("budgetingMethod", "Occurrences") != "Occurrences":
        found.lose(f"{name}: budgetingMethod: {spec['budgetingMethod']}; requests are counted here")
    told = {"timeWindow": "how long a budget lasts", "indicator": "its queries", "indicatorRef": "its queries",
            "alertPolicies": "its alerts"}  # fmt: skip
    for what, meaning in told.items():
        if spec.get(what):
            found.lose(f"{name}: {what}: {meaning}")
    indicator = _inner(spec, "indicator", "spec")
    threshold = bool(indicator.get("thresholdMetric"))
    within = _BUCKET.search(str(_inner(indicator, "ratioMetric", "good", "metricSource", "spec").get("query", "")))
    for number, one in enumerate(objectives):
        place: tuple[Key, ...] = ("spec", "objectives", number)
        if not isinstance(one, dict):
            found.wrong(place, f"got {shown(one)}", "expected a mapping")
            continue
        percent = "target" not in one and "targetPercent" in one
        key = "targetPercent" if percent else "target"
        share = found.share(one.get(key), 100.0 if percent else 1.0, (*place, key))
        if share is None:
            continue
        limit = one.get("value")
        if not threshold and limit is None:
            found.promise(service, name, share, float(within[1]) if within else None)
        elif one.get("op") in ("lte", "lt") and isinstance(limit, int | float) and limit > 0:
            found.promise(service, name, share, float(limit))
            note = f"{name}: value {limit:g} is taken for seconds of latency"
            found.out.made_up += [] if note in found.out.made_up else [note]
        else:
            found.lose(f"{name}: objective {number + 1}: {one.get('op')} {shown(limit)}")


def _inner(data: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    for name in names:
        value = data.get(name)
        data = value if isinstance(value, dict) else {}
    return data


def _owner(labels: object) -> str:
    told = labels if isinstance(labels, dict) else {}
    for name in ("owner", "team"):
        value = told.get(name)
        if value:
            return str(value[0] if isinstance(value, list) else value)
    return ""


def _document(services: list[_Service], name: str, out: Imported) -> dict[str, Any]:
    strictest = sorted(services, key=lambda one: (-(one.availability or 0.0), one.name))
    out.made_up.append("rank and shed_order: by target, the strictest first")
    tiers = []
    for rank, service in enumerate(strictest, start=1):
        objectives: dict[str, Any] = {}
        if service.availability is not None:
            objectives["availability"] = show_ratio(service.availability)
        if service.latency:
            order = sorted(service.latency.items(), key=lambda item: quantile_share(item[0]))
            objectives["latency"] = {quantile: show_duration(limit) for quantile, limit in order}
        if not service.rejections_count and rank > 1:
            objectives["rejections_count"] = False
        slowest = max(service.latency.values(), default=0.0)
        owner = service.owner or TO_BE_DECIDED
        tier: dict[str, Any] = {
            "name": _as_name(service.name),
            "rank": rank,
            "owner": owner,
            "rationale": " ".join(service.text.split()) or TO_BE_DECIDED,
            "escalation": [{"contact": f"pager:{owner.replace(' ', '-')}", "acknowledge_within": "5m"}],
            "objectives": objectives,
            "shed_order": len(strictest) - rank + 1,
            "rights": {"override": [owner]},
        }
        if slowest > 1.0:
            tier["deadline"] = show_duration(round(3 * (slowest + 1.0), 3))
        else:
            tier["deadline"] = "5s"
        tiers.append(tier)
        out.made_up.append(f"{tier['name']}: escalation, rights.override and deadline")
        if not service.owner:
            out.made_up.append(f"{tier['name']}: owner")
    owners = list(dict.fromkeys(str(tier["owner"]) for tier in tiers))
    return {
        "apiVersion": "tierdrill/v1",
        "kind": "Tiers",
        "metadata": {
            "name": name,
            "title": f"Imported: {', '.join(one.name for one in strictest)}",
            "owner": owners[0],
        },
        "tiers": tiers,
    }


def _as_name(word: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", word.lower()).strip("-")[:63].strip("-")
    return name if re.match(NAME_PATTERN, name) else "tier"
