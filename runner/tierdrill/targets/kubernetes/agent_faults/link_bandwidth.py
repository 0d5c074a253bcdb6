"""A link that carries only so much: what takes a second over it, takes no time over one that is well."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tierdrill.targets.kubernetes.kubernetes_fault import Parameters
from tierdrill.targets.kubernetes.pod_links import PROBES, Results, connected, link_fault

TAKES_S, PAD_MAX = 1.0, 32_000
LATE, WELL = 0.6, 0.3
"""Shares of the time that the link must take: the last answer is later than the one, or earlier than the other."""


def _request(p: Parameters) -> Mapping[str, Any]:
    return {"path": "/", "pad": min(PAD_MAX, int(p["bandwidth_kbps"] * 1000 / 8 * TAKES_S / PROBES))}


def _last(results: Results, p: Parameters) -> float:
    """When the last one was answered, as a share of the time that the link must take for all of them."""
    must_ms = PROBES * int(_request(p)["pad"]) * 8 / float(p["bandwidth_kbps"])
    return max((float(one.get("answer_ms", 2 * must_ms)) for one in results), default=0.0) / must_ms


FAULT = link_fault(
    "tc, or a queue where the kernel cannot, on what leaves the pods' networks at one end",
    "shape",
    lambda p, outward: {"rate_kbit": p["bandwidth_kbps"]},
    faulty=lambda results, p: _last(results, p) >= LATE,
    well=lambda results, p: connected(results, p) and _last(results, p) <= WELL,
    within_s=lambda p: 3 * TAKES_S,
    request=_request,
)
