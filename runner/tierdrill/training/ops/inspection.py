"""The looks that are answered from metrics: GPUs, paths between gateways and nodes, the gateways themselves."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tierdrill.history.events import Event, event
from tierdrill.history.kinds.exercise_kinds import TraineeLooked
from tierdrill.monitoring.alert_names import WATCHDOG
from tierdrill.monitoring.query import AlertmanagerClient, NoData, Prometheus, Sample
from tierdrill.targets.base import Session, TargetError
from tierdrill.training.columns import Cells, ago, columns, listing, milliseconds, percent
from tierdrill.training.ops.manual_playbooks import PlaybookHand
from tierdrill.training.ops.tier_health import Pulse
from tierdrill.training.ops.tier_rules import Situation, alert_target
from tierdrill.training.ops.trainee_pager import PageBook
from tierdrill.training.protocol import BAD_INPUT, REFUSED, Answer, answer

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


LINES_MAX = 500
SAMPLES_MAX = 60
GLANCED = (("id", "state", "level"), ("tier", "kept", "ready"))
"""What says something new about a page, and about a tier."""


class Inspection(Telemetry):
    """Answers every look from the running platform: `show_LOOK` for each of COMMANDS."""

    def __init__(
        self,
        *,
        platform: Session,
        prometheus: Prometheus,
        alertmanager: AlertmanagerClient,
        situation: Callable[[], Situation],
        pulse: Pulse,
        pages: PageBook,
        hand: PlaybookHand,
        emit: Callable[[Event], object],
    ) -> None:
        super().__init__(platform, prometheus, situation)
        self._alertmanager, self._pulse = alertmanager, pulse
        self._pages, self._hand, self._emit = pages, hand, emit
        self._glanced: dict[str, list[list[Any]]] = {}

    async def look(self, do: str, said: Mapping[str, Any]) -> Answer:
        what = {"query": "metrics", "gateways": "links"}.get(do, do)
        subject = str(said.get("what") or said.get("promql") or "")
        more: dict[str, Any] = {"subject": subject} if subject else {}
        self._emit(event(TraineeLooked(what=what, **more), "trainee"))
        try:
            shown: Answer = await getattr(self, f"show_{do}")(said)
            return shown
        except TargetError as error:
            return answer(f"the platform is not responding: {error}", code=REFUSED)

    async def glance(self) -> tuple[Answer, Answer]:
        """Pages and tiers for somebody who has them before their eyes: a look each time that they say something new."""
        shown = await self.show_pages({}), await self.show_tiers({})
        for what, keys, found in zip(("pages", "tiers"), GLANCED, shown, strict=True):
            seen = [[one[key] for key in keys] for one in found["data"]]
            if self._glanced.get(what) != seen:
                self._glanced[what] = seen
                self._emit(event(TraineeLooked(what=what), "trainee"))
        return shown

    async def show_pages(self, said: Mapping[str, Any]) -> Answer:
        rows, now = self._pages.to_json(), time.time()
        shown = listing(
            [one for one in rows if said.get("all") or one["state"] != "resolved"],
            {
                "page": "id", "tier": "tier", "state": "state", "with": lambda one: f"level {one['level']}",
                "age": lambda one: ago(now - one["triggered_at"]), "what": "summary",
            },
        )  # fmt: skip
        return {**shown, "data": rows}

    async def show_tiers(self, said: Mapping[str, Any]) -> Answer:
        now = self._situation()
        # How the tiers fare is known without the gateways; one that does not answer must not hide it.
        shed, caps = await asyncio.gather(of_gateways(self._platform, "shed"), of_gateways(self._platform, "caps"))
        data = []
        for fare in self._pulse.fares(time.time()):
            mine = [one for one in now.inventory.replicas if one.tier == fare.tier]
            rates = [float(one[fare.tier]) for one in caps.values() if fare.tier in one]
            data.append(
                {
                    **fare.to_json(),
                    "ready": sum(one.ready for one in mine),
                    "replicas": len(mine),
                    "shed": max((float(one.get(fare.tier, 0.0)) for one in shed.values()), default=0.0),
                    "cap_rps": sum(rates) if rates else None,
                    "promised": now.tiers.by_name(fare.tier).objectives.availability,
                }
            )
        return listing(
            data,
            {
                "rank": "rank", "tier": "tier",
                "promise": lambda one: {True: "kept", False: "MISSED", None: "no data"}[one["kept"]],
                "ready": lambda one: f"{one['ready']}/{one['replicas']}",
                "rate": lambda one: f"{one['rate_rps']:g}/s",
                "ok": lambda one: percent(one["availability"]), "promised": lambda one: percent(one["promised"]),
                "p50": lambda one: milliseconds(one["p50_s"]), "p99": lambda one: milliseconds(one["p99_s"]),
                "shed": lambda one: percent(one["shed"] or None),
                "cap": lambda one: "-" if one["cap_rps"] is None else f"{one['cap_rps']:g}/s",
                "what is missed": lambda one: "; ".join(one["missed"]),
            },
        )  # fmt: skip

    async def show_replicas(self, said: Mapping[str, Any]) -> Answer:
        keep = ("name", "model", "tier", "node", "gpu", "state", "ready", "restarts", "exit_code")
        data = [{key: one.get(key) for key in keep} for one in self._platform.state["replicas"]]
        data.sort(key=lambda one: str(one["name"]))
        return listing(data, dict(zip(keep, keep, strict=True)))

    async def show_nodes(self, said: Mapping[str, Any]) -> Answer:
        state = self._platform.state
        data = [
            {
                "name": node["name"],
                "ready": node["ready"],
                "cordoned": node["cordoned"],
                "heartbeat_age_s": node.get("last_heartbeat_age_s"),
                "replicas": sorted(one["name"] for one in state["replicas"] if one.get("node") == node["name"]),
            }
            for node in state["nodes"]
        ]
        replicas: Cells = {"replicas": lambda one: " ".join(one["replicas"])}
        return listing(data, {"node": "name", "ready": "ready", "cordoned": "cordoned", **replicas})

    async def show_alerts(self, said: Mapping[str, Any]) -> Answer:
        found = await self._alertmanager.alerts()
        if isinstance(found, NoData):
            return answer(f"Alertmanager is not responding: {found.reason}", code=REFUSED)
        data = [
            {
                "alert": one["labels"].get("alertname"),
                "severity": one["labels"].get("severity"),
                "about": alert_target(one["labels"]),
                "labels": one["labels"],
                "starts_at": one.get("startsAt"),
                "summary": one.get("annotations", {}).get("summary", ""),
                "description": one.get("annotations", {}).get("description", ""),
            }
            for one in found
            if one["labels"].get("alertname") != WATCHDOG
        ]
        shown = listing(data, {key: key for key in ("alert", "severity", "about", "summary")})
        if said.get("full"):
            shown["text"] += "".join(f"\n\n{one['alert']} ({one['about']}): {one['description']}" for one in data)
        return shown

    async def show_logs(self, said: Mapping[str, Any]) -> Answer:
        sources = self._platform.logs()
        what = str(said.get("what") or "")
        if what not in sources:
            return answer(f"no log {what!r}, expected one of: {', '.join(sorted(sources))}", code=BAD_INPUT)
        count = min(LINES_MAX, max(1, int(said.get("lines") or 20)))
        lines = await asyncio.to_thread(_tail, sources[what], count)
        return answer("\n".join(lines) or "no lines yet", {"log": what, "lines": lines})

    async def show_query(self, said: Mapping[str, Any]) -> Answer:
        found = await self._prometheus.instant(str(said.get("promql") or ""))
        if isinstance(found, NoData):
            wrong = "400" in found.reason or "parse error" in found.reason
            return answer(f"no data: {found.reason}", code=BAD_INPUT if wrong else 0)
        data = [{"labels": dict(one.labels), "value": one.value} for one in found]
        rows = [(_series(one), one.value) for one in found[:SAMPLES_MAX]]
        more = f"\n... and {len(found) - SAMPLES_MAX} more series" if len(found) > SAMPLES_MAX else ""
        return answer(columns(("series", "value"), rows) + more, data)

    async def show_playbooks(self, said: Mapping[str, Any]) -> Answer:
        fitting = self._hand.proposals()
        data = [
            {
                "name": name,
                "title": playbook.metadata.title,
                "alert": playbook.match.alert,
                "runs_on": playbook.target,
                "fits_now": [target for proposed, target in fitting if proposed == name],
            }
            for name, playbook in sorted(self._hand.playbooks.items())
        ]
        fits: Cells = {"applies to": lambda one: " ".join(one["fits_now"])}
        return listing(data, {"playbook": "name", "for alert": "alert", **fits, "what it does": "title"})

    def close(self) -> None:
        self._prometheus.close()


def _tail(path: Path, count: int) -> list[str]:
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 512 * count))
            return file.read().decode(errors="replace").splitlines()[-count:]
    except OSError:
        return []


def _series(sample: Sample) -> str:
    """As one would ask for it: `up{job="node"}`."""
    labels = sorted((key, value) for key, value in sample.labels.items() if key != "__name__")
    rest = ", ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in labels)
    return f"{sample.labels.get('__name__', '')}{{{rest}}}"


COMMANDS = tuple(name.removeprefix("show_") for name in dir(Inspection) if name.startswith("show_"))
