"""The looks that are answered from metrics: GPUs, paths between gateways and nodes, the gateways themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from tierdrill.monitoring.query import NoData, Prometheus, Sample
from tierdrill.targets.base import Session, TargetError
from tierdrill.training.columns import Cells, listing, milliseconds
from tierdrill.training.ops.tier_rules import Situation
from tierdrill.training.protocol import Answer

TELEMETRY = {
    "temperature_c": "DCGM_FI_DEV_GPU_TEMP",
    "clock_mhz": "DCGM_FI_DEV_SM_CLOCK",
    "utilization": "DCGM_FI_DEV_GPU_UTIL",
}


class Telemetry:
    """Answers from Prometheus, and from the gateways where those answer."""

    def __init__(
        self,
        platform: Session,
        prometheus: Prometheus,
        situation: Callable[[], Situation],
    ) -> None:
        self._platform, self._prometheus, self._situation = platform, prometheus, situation

    async def show_gpus(self, said: Mapping[str, Any]) -> Answer:
        readings = await asyncio.gather(*(self._prometheus.instant(name) for name in TELEMETRY.values()))
        by_gpu = {
            word: {} if isinstance(found, NoData) else {_gpu_of(one): one.value for one in found}
            for word, found in zip(TELEMETRY, readings, strict=True)
        }
        data = []
        for node in self._platform.state["nodes"]:
            for gpu in node.get("gpus") or []:
                name = f"{node['name']}/{gpu['index']}"
                state = gpu.get("state") if node["ready"] else "unknown"
                seen = {word: values.get(name) for word, values in by_gpu.items()}
                data.append(
                    {"name": name, "state": state, "last_xid": gpu.get("xid"), "cordoned": gpu.get("cordoned"), **seen}
                )
        return listing(
            data,
            {
                "gpu": "name", "state": "state", "last xid": "last_xid", "cordoned": "cordoned",
                "temp C": lambda one: _whole(one["temperature_c"]), "clock MHz": lambda one: _whole(one["clock_mhz"]),
                "util %": lambda one: _whole(one["utilization"]),
            },
        )  # fmt: skip

    async def show_links(self, said: Mapping[str, Any]) -> Answer:
        probes, ups, weights = await asyncio.gather(
            self._prometheus.instant("min by (gateway, node) (tierdrill_upstream_probe_seconds)"),
            self._prometheus.instant("max by (gateway, node) (tierdrill_upstream_up)"),
            self._platform.settings("weights"),
        )
        now = self._situation()
        seconds, up = _by_link(probes), _by_link(ups)
        data: list[dict[str, Any]] = [
            {
                "name": f"{gateway}>{node.name}",
                "up": None if (value := up.get((gateway, node.name))) is None else value > 0,
                "probe_s": seconds.get((gateway, node.name)),
                "weight": float(weights.get(gateway, {}).get(node.name, 1.0)),
            }
            for gateway in now.inventory.gateways
            for node in now.inventory.nodes
        ]
        probe: Cells = {"fastest probe": lambda one: milliseconds(one["probe_s"])}
        return listing(data, {"link": "name", "up": "up", **probe, "weight": "weight"})

    async def show_gateways(self, said: Mapping[str, Any]) -> Answer:
        names = self._situation().inventory.gateways
        pickers, rates, flags = await asyncio.gather(
            self._prometheus.instant("tierdrill_picker_up"),
            self._prometheus.instant("sum by (gateway, outcome) (rate(tierdrill_requests_total[10s]))"),
            of_gateways(self._platform, "flags"),
        )
        picker = {} if isinstance(pickers, NoData) else {one.labels.get("gateway", ""): one.value for one in pickers}
        data = []
        for name in names:
            by_outcome = {
                one.labels.get("outcome", ""): round(one.value, 1)
                for one in ([] if isinstance(rates, NoData) else rates)
                if one.labels.get("gateway") == name and one.value > 0
            }
            switched_off = sorted(flag for flag, on in flags.get(name, {}).items() if not on and flag != "fail_open")
            data.append(
                {
                    "name": name,
                    "picker": None if name not in picker else bool(picker[name]),
                    "rates": by_outcome,
                    "flags": flags.get(name, {}),
                    "switched_off": switched_off,
                }
            )
        return listing(
            data,
            {
                "gateway": "name",
                "endpoint picker": lambda one: {True: "there", False: "LOST", None: "unknown"}[one["picker"]],
                "requests": lambda one: " ".join(f"{what} {rate:g}/s" for what, rate in sorted(one["rates"].items())),
                "switched off": lambda one: " ".join(one["switched_off"]),
            },
        )


async def of_gateways(platform: Session, what: str) -> Mapping[str, Any]:
    """A setting of each gateway; nothing where one does not answer, which must not hide all the rest."""
    try:
        return await platform.settings(what)
    except TargetError:
        return {}


def _gpu_of(sample: Sample) -> str:
    return f"{sample.labels.get('hostname', '')}/{sample.labels.get('gpu', '')}"


def _by_link(found: list[Sample] | NoData) -> dict[tuple[str, str], float]:
    if isinstance(found, NoData):
        return {}
    return {(one.labels.get("gateway", ""), one.labels.get("node", "")): one.value for one in found}


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
