"""What a trainee can look at: what production would show, and nothing else. Each look is recorded under its word."""

from __future__ import annotations

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
from tierdrill.training.ops.alert_subjects import alert_target
from tierdrill.training.ops.manual_playbooks import PlaybookHand
from tierdrill.training.ops.telemetry import Telemetry, of_gateways
from tierdrill.training.ops.tier_health import Pulse
from tierdrill.training.ops.tier_rules import Situation
from tierdrill.training.ops.trainee_pager import PageBook
from tierdrill.training.protocol import BAD_INPUT, REFUSED, Answer, answer

LINES_MAX = 500
SAMPLES_MAX = 60


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

    async def look(self, do: str, said: Mapping[str, Any]) -> Answer:
        """One look of COMMANDS."""
        what = {"query": "metrics", "gateways": "links"}.get(do, do)
        subject = str(said.get("what") or said.get("promql") or "")
        more: dict[str, Any] = {"subject": subject} if subject else {}
        self._emit(event(TraineeLooked(what=what, **more), "trainee"))
        try:
            shown: Answer = await getattr(self, f"show_{do}")(said)
            return shown
        except TargetError as error:
            return answer(f"the platform is not responding: {error}", code=REFUSED)

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
        """Drop the connections."""
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
