"""TEST DATA, made up: the history of a node-loss drill that never ran, 52 s at 110 requests a second over three tiers.

`drill()` passes; `sabotage()` is the same run with its playbook disabled, and fails for it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tierdrill.documents.catalogue import DrillSetting
from tierdrill.documents.models.drill import Drill
from tierdrill.documents.models.environment import Environment
from tierdrill.documents.models.playbook import Playbook
from tierdrill.documents.models.tiers import Tiers
from tierdrill.documents.models.workloads import Workloads
from tierdrill.history.events import Event
from tierdrill.judge.verdict import Check, Status, Times, Verdict

FAULT_ID = "20260921-161320-node-loss-7f3a/node-power-loss/node-2"
ZERO = 1_790_000_000.25
WARM_UP, BASELINE, FAULT, RECOVERY = 12.0, 8.0, 20.0, 12.0
EFFECT = ZERO + WARM_UP + BASELINE + 0.06
END = ZERO + WARM_UP + BASELINE + FAULT + RECOVERY
API = "tierdrill/v1"
RATES = {"critical": 70, "standard": 28, "best-effort": 12}
MODELS = {"critical": "assistant", "standard": "summarizer", "best-effort": "draft"}


@dataclass(frozen=True)
class Made:
    """One made-up run."""

    setting: DrillSetting
    events: tuple[Event, ...]
    verdict: Verdict


def setting() -> DrillSetting:
    """The documents of the made-up drill."""
    return DrillSetting(
        drill=Drill.model_validate(_drill()),
        experiment={"title": "A node loses power", "method": []},
        environment=Environment.model_validate(
            {
                "apiVersion": API,
                "kind": "Environment",
                "metadata": {"name": "lab"},
                "target": "lab",
                "tiers": "serving",
                "workloads": "serving",
            }
        ),
        tiers=Tiers.model_validate(_tiers()),
        workloads=Workloads.model_validate(_workloads()),
        playbooks=tuple(
            Playbook.model_validate(
                {
                    "apiVersion": API,
                    "kind": "Playbook",
                    "metadata": {"name": name},
                    "match": {"alert": alert},
                    "target": "${labels.node}",
                    "target_kind": "node",
                }
            )
            for name, alert in (("reschedule-critical", "NodeNotReady"), ("drain-and-reboot-gpu-node", "GpuXid"))
        ),
    )


def drill() -> Made:
    """The run that passes."""
    return _made("drill", healed_by_playbook=True)


def sabotage() -> Made:
    """The run whose playbook was disabled."""
    return _made("sabotage:playbook-disabled", healed_by_playbook=False)


def without_samples(made: Made) -> Made:
    """The same run as if the load generator had died at once."""
    events = tuple(event for event in made.events if event.kind != "load.samples")
    status = Status.INCONCLUSIVE
    verdict = replace(
        made.verdict, status=status, summary="No samples: nothing can be said.", reasons=("load/samples",)
    )
    return Made(made.setting, events, verdict)


def _tiers() -> dict[str, Any]:
    def tier(name: str, rank: int, objectives: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {
            "name": name,
            "rank": rank,
            "owner": f"{name}-team",
            "rationale": "made up",
            "escalation": [{"contact": f"{name}-on-call", "acknowledge_within": "5m"}],
            "objectives": objectives,
            "shed_order": 4 - rank,
            **more,
        }

    return {
        "apiVersion": API,
        "kind": "Tiers",
        "metadata": {"name": "serving"},
        "tiers": [
            tier(
                "critical",
                1,
                {
                    "availability": "99%",
                    "error_ceiling": "1%",
                    "latency": {"p95": "300ms", "p99": "800ms"},
                    "time_to_first_token": {"p95": "200ms"},
                    "mttr": "8s",
                    "integrity": "100%",
                },
                reserved_slots=4,
                may_preempt=["best-effort"],
            ),
            tier("standard", 2, {"availability": "95%", "latency": {"p95": "1s"}, "mttr": "15s"}),
            tier("best-effort", 3, {"error_ceiling": "5%", "rejections_count": False}),
        ],
    }


def _workloads() -> dict[str, Any]:
    return {
        "apiVersion": API,
        "kind": "Workloads",
        "metadata": {"name": "serving"},
        "tiers": "serving",
        "models": [
            {
                "name": model,
                "tier": tier,
                "risk": "high",
                "impact": "high",
                "frequency": "constant",
                "rationale": "made up",
                "replicas": 4 if tier == "best-effort" else 3,
                "memory_gib": 40,
                "service": {"prefill_per_token": "1ms", "decode_per_token": "4ms"},
            }
            for tier, model in MODELS.items()
        ],
        "routes": [{"model": model, "tier": tier} for tier, model in MODELS.items()],
    }


def _drill() -> dict[str, Any]:
    return {
        "apiVersion": API,
        "kind": "Drill",
        "metadata": {"name": "node-loss", "title": "A node with two GPUs loses power", "owner": "platform"},
        "description": "Power to one node fails without warning. Tier 1 must not notice.",
        "experiment": "node/power-loss",
        "environment": "lab",
        "load": {
            "streams": [
                {"name": tier, "tier": tier, "model": MODELS[tier], "rate": f"{rate}/s"} for tier, rate in RATES.items()
            ]
        },
        "phases": {"warm_up": "12s", "baseline": "8s", "fault": "20s", "recovery": "12s"},
        "expect": {
            "tiers": [{"tier": "critical"}, {"tier": "standard"}, {"tier": "best-effort"}],
            "alerts": {
                "must_fire": [
                    {"alert": "NodeNotReady", "labels": {"node": "node-2"}, "within": "6s", "resolves": True},
                ],
                "must_not_fire": [{"alert": "GpuXid"}, {"alert": "CriticalTierFastBurn"}],
            },
            "playbooks": {
                "must_fire": [{"playbook": "reschedule-critical", "target": "node-2", "within": "8s"}],
                "must_not_fire": ["drain-and-reboot-gpu-node"],
            },
        },
        "guardrails": [{"tier": "critical", "availability_below": "80%"}],
        "blip": {"fault": "1s"},
        "sabotages": [
            {
                "name": "playbook-disabled",
                "why": "Nobody moves the work",
                "do": {"disable_playbook": "reschedule-critical"},
                "fails": ["playbook/reschedule-critical/fired"],
            }
        ],
    }


def _made(variant: str, healed_by_playbook: bool) -> Made:
    documents = setting()
    raw = [
        *_story(variant, documents, healed_by_playbook),
        *_samples(healed_by_playbook),
    ]
    ordered = sorted(raw, key=lambda event: event.at)
    events = tuple(replace(event, sequence=index) for index, event in enumerate(ordered, 1))
    return Made(documents, events, _verdict(variant, events, healed_by_playbook))


def _story(variant: str, documents: DrillSetting, healed: bool) -> list[Event]:
    def at(offset: float, kind: str, source: str, /, **data: Any) -> Event:
        return Event(ZERO + offset, kind, source, data)

    def after(offset: float, kind: str, source: str, /, **data: Any) -> Event:
        return Event(EFFECT + offset, kind, source, data)

    events = [
        at(
            -1.4,
            "run.started",
            "conductor",
            run="20260921-161320-node-loss-7f3a",
            drill="node-loss",
            variant=variant,
            setting=documents.to_json(),
            mechanisms={"node-power-loss": "process-group-kill+proxy", "link-latency": "tcp-proxy"},
            environment="lab",
            machine={"system": "Linux 6.1", "cpus": 2},
            seed=17,
            versions={"tierdrill": "0.1.0", "chaostoolkit-lib": "1.44.0", "locust": "2.47.0", "prometheus": "2.42.0"},
            git={"commit": "3f9d2c1", "changed": False},
            argv=["tierdrill", "run", "node-loss"],
        ),
        at(-1.35, "phase.started", "conductor", phase="preflight", planned_at=ZERO - 1.35),
        at(-1.1, "preflight.check", "conductor", name="every replica is ready", ok=True, seen="10 of 10"),
        at(-1.0, "preflight.check", "conductor", name="nothing is firing", ok=True, seen="0 alerts"),
        at(-0.9, "preflight.check", "conductor", name="nothing is left over", ok=True, seen="the ledger is empty"),
        at(-0.1, "phase.ended", "conductor", phase="preflight"),
        at(-0.05, "load.started", "load", schedule_zero=ZERO, planned={t: {"rate": r} for t, r in RATES.items()}),
        at(0, "phase.started", "conductor", phase="warm-up", planned_at=ZERO),
        at(12, "phase.ended", "conductor", phase="warm-up"),
        at(12, "phase.started", "conductor", phase="baseline", planned_at=ZERO + 12),
        at(20, "phase.ended", "conductor", phase="baseline"),
        at(20, "phase.started", "conductor", phase="fault", planned_at=ZERO + 20),
        at(40, "phase.ended", "conductor", phase="fault"),
        at(40, "phase.started", "conductor", phase="recovery", planned_at=ZERO + 40),
        at(52, "phase.ended", "conductor", phase="recovery"),
        at(52.02, "phase.started", "conductor", phase="clean-up", planned_at=ZERO + 52),
        at(53.1, "phase.ended", "conductor", phase="clean-up"),
        at(
            19.4,
            "fault.intended",
            "chaos",
            fault=FAULT_ID,
            kind="node-power-loss",
            target="node-2",
            target_kind="node",
            parameters={"seconds": 20},
            mechanism="process-group-kill+proxy",
            undo={"power": "on"},
            lease_s=5.0,
            planned_at=ZERO + 20,
            emulated=True,
        ),
        at(20.03, "fault.injected", "chaos", fault=FAULT_ID),
        after(
            0.31,
            "fault.landed",
            "chaos",
            fault=FAULT_ID,
            effective_at=EFFECT,
            witness="controller",
            seen="no heartbeat from node-2, agent port closed",
        ),
        at(40.01, "fault.reverting", "chaos", fault=FAULT_ID, by="schedule"),
        at(
            41.3,
            "fault.gone",
            "chaos",
            fault=FAULT_ID,
            gone_at=ZERO + 41.22,
            witness="controller",
            seen="node-2 ready with a new boot id",
        ),
        at(52.6, "load.ended", "load", exit_code=0, sent=5720),
        at(53.15, "ledger.open", "conductor", faults=[]),
        at(53.2, "run.ended", "conductor", outcome="completed", reason=""),
    ]
    node = {"node": "node-2"}
    for offset, state, via in (
        (2.9, "pending", "prometheus"),
        (3.9, "firing", "prometheus"),
        (4.1, "firing", "alertmanager"),
        (4.15, "firing", "webhook"),
        (23.2, "resolved", "prometheus"),
        (24.1, "resolved", "alertmanager"),
        (24.15, "resolved", "webhook"),
    ):
        events.append(
            after(
                offset,
                "alert.state",
                via,
                alert="NodeNotReady",
                state=state,
                labels=node,
                severity="critical",
                via=via,
                starts_at=EFFECT + 3.9,
            )
        )
    for offset, state in ((1.9, "pending"), (2.9, "firing"), *(((6.9, "resolved"),) if healed else ())):
        events.append(
            after(
                offset,
                "alert.state",
                "prometheus",
                alert="ReplicaNotReady",
                state=state,
                labels={"model": "assistant", "tier": "critical"},
                severity="warning",
                via="prometheus",
                starts_at=None,
            )
        )
    homes = _homes()
    events += [
        at(-1.2, "platform.state", "controller", **_lab(homes, down=False)),
        after(2.1, "platform.state", "controller", **_lab(homes, down=True)),
    ]
    if healed:
        moved = {**homes, "assistant-1": ("node-3", 1), "summarizer-1": ("node-1", 1), "draft-1": ("", None)}
        run = {"playbook": "reschedule-critical", "execution": "reschedule-critical#1"}
        events += [
            after(4.2, "playbook.started", "engine", **run, target="node-2", alert="NodeNotReady", attempt=1),
            after(
                4.4,
                "playbook.step",
                "engine",
                **run,
                step="cordon",
                action="cordon",
                ok=True,
                seen="cordoned",
                seconds=0.1,
            ),
            after(
                5.6,
                "playbook.step",
                "engine",
                **run,
                step="move-critical",
                action="reschedule",
                ok=True,
                seen="assistant-1 ready on node-3",
                seconds=1.2,
            ),
            after(5.0, "platform.state", "controller", **_lab(moved, down=True, cordoned=True)),
            after(
                5.7,
                "playbook.finished",
                "engine",
                **run,
                target="node-2",
                ok=True,
                reason="",
                seconds=1.5,
                phase="act",
            ),
            after(
                24.9,
                "playbook.step",
                "engine",
                **run,
                step="uncordon",
                action="uncordon",
                phase="resolve",
                ok=True,
                seen="node-2 takes work",
                seconds=0.2,
            ),
            after(
                26.0,
                "playbook.step",
                "engine",
                **run,
                step="rebalance",
                action="rebalance",
                phase="resolve",
                ok=True,
                seen="10 of 10 at home",
                seconds=1.0,
            ),
            after(26.0, "platform.state", "controller", **_lab(homes, down=False)),
            after(
                26.1,
                "playbook.finished",
                "engine",
                **run,
                target="node-2",
                ok=True,
                reason="",
                seconds=1.3,
                phase="resolve",
            ),
        ]
    else:
        events += [
            after(
                4.2, "playbook.skipped", "engine", playbook="reschedule-critical", target="node-2", reason="disabled"
            ),
            after(
                4.3,
                "page.sent",
                "pager",
                contact="critical-on-call",
                level="1",
                tier="critical",
                dedup_key="node-2",
                action="trigger",
                summary="node-2 is not ready and nothing was done",
            ),
            after(12.0, "page.acknowledged", "pager", dedup_key="node-2", by="critical-on-call"),
            after(21.4, "platform.state", "controller", **_lab(homes, down=False)),
        ]
        for offset, state in ((7.0, "pending"), (9.0, "firing"), (25.0, "resolved")):
            events.append(
                after(
                    offset,
                    "alert.state",
                    "prometheus",
                    alert="CriticalTierFastBurn",
                    state=state,
                    labels={"tier": "critical"},
                    severity="critical",
                    via="prometheus",
                    starts_at=None,
                )
            )
    events += [
        at(
            second,
            "load.health",
            "load",
            lag_p99_s=0.004,
            dropped=0,
            cpu=0.22,
            machine_idle=0.41,
            loop_lag_s=0.002,
            stalled=False,
        )
        for second in range(2, 52, 2)
    ]
    return events


def _homes() -> dict[str, tuple[str, int | None]]:
    names = [(model, count) for model, count in (("assistant", 3), ("summarizer", 3), ("draft", 4))]
    return {
        f"{model}-{index}": (f"node-{index % 3 + 1}", 0 if model == "assistant" else 1)
        for model, count in names
        for index in range(count)
    }


def _lab(places: dict[str, tuple[str, int | None]], down: bool, cordoned: bool = False) -> dict[str, Any]:
    tier_of = {model: tier for tier, model in MODELS.items()}
    rank = {"critical": 1, "standard": 2, "best-effort": 3}
    replicas = []
    for name, (node, gpu) in places.items():
        model = name.rsplit("-", 1)[0]
        tier = tier_of[model]
        ready = bool(node) and not (down and node == "node-2")
        replicas.append(
            {
                "name": name,
                "model": model,
                "tier": tier,
                "rank": rank[tier],
                "node": node or None,
                "gpu": gpu,
                "ready": ready,
                "state": "ready" if ready else "starting",
            }
        )
    nodes = [{"name": f"node-{n}", "ready": not (down and n == 2), "cordoned": cordoned and n == 2} for n in (1, 2, 3)]
    return {"nodes": nodes, "replicas": replicas}


def _samples(healed: bool) -> list[Event]:
    source = random.Random(7)
    events = []
    for second in range(52):
        columns: dict[str, list[Any]] = {
            name: []
            for name in (
                *("tier", "stream", "due", "lag", "latency", "ttft", "status"),
                *("outcome", "reason", "replica", "gateway", "integrity", "queue_wait"),
            )
        }
        for tier, rate in RATES.items():
            for index in range(rate):
                due = ZERO + second + (index + source.random()) / rate
                latency, outcome, reason = _answer(source, tier, due - EFFECT, healed)
                row = {
                    "tier": tier,
                    "stream": tier,
                    "due": due,
                    "lag": abs(source.gauss(0, 0.001)),
                    "latency": latency,
                    "ttft": latency * 0.4 if outcome == "ok" and index % 3 == 0 else None,
                    "status": {"ok": 200, "rejected": 429, "timeout": 504}.get(outcome, 502),
                    "outcome": outcome,
                    "reason": reason,
                    "replica": f"{MODELS[tier]}-{index % 3}" if outcome == "ok" else "",
                    "gateway": f"gateway-{'ab'[index % 2]}",
                    "integrity": True if outcome == "ok" and index % 10 == 0 else None,
                    "queue_wait": source.random() * 0.01 if outcome == "ok" else None,
                }
                for name, value in row.items():
                    columns[name].append(value)
        events.append(Event(ZERO + second + 1.05, "load.samples", "load", {"columns": columns}))
    return events


def _answer(source: random.Random, tier: str, since: float, healed: bool) -> tuple[float, str, str]:
    usual = {"critical": 0.055, "standard": 0.11, "best-effort": 0.16}[tier] * source.lognormvariate(0, 0.25)
    lost = 0 <= since < 21.2
    chance = source.random()
    if tier == "critical":
        if 0 <= since < 1.4 and chance < 0.3:
            return usual + 0.4 + source.random() * 0.3, "ok", ""
        if lost and not healed and since > 4 and chance < 0.16:
            return 5.0, "timeout", "deadline"
        if lost and since < 1.0 and chance < 0.03:
            return 1.0, "error", "upstream"
        return usual * (1.6 if lost and not healed else 1.15 if lost else 1), "ok", ""
    if tier == "standard":
        if 0 <= since < 1.6 and chance < 0.1:
            return 1.0, "error", "upstream"
        return usual * (1.9 if lost else 1), "ok", ""
    if lost and since > 0.4 and chance < 0.55:
        return 0.003 + source.random() * 0.004, "rejected", "shed"
    return usual * (2.4 if lost else 1), "ok", ""


def _numbers(events: Sequence[Event], *kinds: str) -> tuple[int, ...]:
    return tuple(event.sequence for event in events if event.kind in kinds)


def _verdict(variant: str, events: Sequence[Event], healed: bool) -> Verdict:
    samples = _numbers(events, "load.samples")
    passed, failed = Status.PASSED, Status.FAILED
    bad = passed if healed else failed

    def slo(tier: str, aspect: str, status: Status, value: float, low: float, high: float, limit: float) -> Check:
        return Check(
            f"slo/{tier}/{aspect}",
            "slo",
            status,
            f"{tier}: {aspect.replace('_', ' ')} in fault+recovery",
            "as promised",
            f"{value} (95%: {low} to {high})",
            samples[20:],
            value,
            low,
            high,
            limit,
            RATES[tier] * 32,
        )

    mttr = Check(
        *("slo/critical/mttr", "slo", bad, "critical: time to recover"),
        *("in target again within 8s of the fault's effect", "back in target 2.0s after the fault's effect"),
        *(samples[20:], 2.0 if healed else 21.0, None, None, 8.0, 2240),
    )
    landed, gone = _numbers(events, "fault.landed"), _numbers(events, "fault.gone")
    alerts = tuple(e.sequence for e in events if e.kind == "alert.state" and e.data["alert"] == "NodeNotReady")
    burn = tuple(e.sequence for e in events if e.kind == "alert.state" and e.data["alert"] == "CriticalTierFastBurn")
    books = _numbers(events, "playbook.started", "playbook.finished", "playbook.skipped")
    checks = (
        Check(
            "run/preflight",
            "run",
            passed,
            "preflight",
            "every check ok",
            "3 of 3 ok",
            _numbers(events, "preflight.check"),
        ),
        Check(
            "run/completed",
            "run",
            passed,
            "run went through every phase",
            "6 phases",
            "6 phases",
            (events[-1].sequence,),
        ),
        Check("run/monitoring", "run", passed, "monitoring answered", "no gap", "no gap"),
        Check(
            *("load/lag", "load", passed, "generator on time", "p99 lag at most 50ms", "4 ms"),
            *(_numbers(events, "load.health")[:6], 0.004, None, None, 0.05, 5720),
        ),
        Check("load/dropped", "load", passed, "arrivals dropped", "at most 0%", "0 of 5720", ()),
        Check(
            "fault/node-power-loss/landed",
            "fault",
            passed,
            "power-loss landed",
            "seen by a witness",
            "controller: no heartbeat",
            landed,
        ),
        Check(
            "fault/node-power-loss/gone",
            "fault",
            passed,
            "power-loss gone",
            "seen gone",
            "controller: new boot id",
            gone,
        ),
        slo("critical", "availability", bad, *((0.9982, 0.9955, 0.9993) if healed else (0.9143, 0.902, 0.925)), 0.99),
        slo("critical", "error_ceiling", bad, *((0.0018, 0.0007, 0.0045) if healed else (0.0857, 0.075, 0.098)), 0.01),
        slo("critical", "latency-p95", passed, 0.098, 0.095, 0.102, 0.3),
        slo("critical", "latency-p99", bad, *((0.512, 0.43, 0.58) if healed else (5.0, 5.0, 5.0)), 0.8),
        slo("critical", "time_to_first_token-p95", passed, 0.041, 0.039, 0.044, 0.2),
        mttr,
        slo("critical", "integrity", passed, 1.0, 0.98, 1.0, 1.0),
        slo("standard", "availability", passed, 0.9933, 0.985, 0.997, 0.95),
        slo("standard", "latency-p95", passed, 0.31, 0.29, 0.34, 1.0),
        slo("best-effort", "error_ceiling", passed, 0.0, 0.0, 0.017, 0.05),
        Check(
            "invariant/tier-order",
            "invariant",
            passed,
            "no tier-1 rejection while best effort is admitted",
            "0",
            "0",
            samples[20:],
        ),
        Check(
            "invariant/best-effort-returns",
            "invariant",
            passed,
            "best effort returns",
            "at least 80%",
            "98%",
            samples[-8:],
        ),
        Check(
            "alert/NodeNotReady/fired",
            "alert",
            passed,
            "NodeNotReady fires",
            "firing within 6s",
            "3.9s after the effect",
            alerts,
        ),
        Check(
            "alert/NodeNotReady/resolved",
            "alert",
            passed,
            "NodeNotReady resolves",
            "resolved",
            "23.2s after the effect",
            alerts,
        ),
        Check("alert/GpuXid/silent", "alert", passed, "GpuXid stays silent", "never firing", "never firing"),
        Check(
            *("alert/CriticalTierFastBurn/silent", "alert", bad, "CriticalTierFastBurn stays silent", "never firing"),
            *("never firing" if healed else "firing 9.0s after the effect", burn),
        ),
        Check(
            *("playbook/reschedule-critical/fired", "playbook", bad, "reschedule-critical runs", "1 run to success"),
            *("1 run to success" if healed else "no run; skipped: disabled", books),
        ),
        Check(
            *(
                "playbook/reschedule-critical/deadline",
                "playbook",
                bad,
                "reschedule-critical in time",
                "done within 8s",
            ),
            *("5.7s after the effect" if healed else "never done", books),
        ),
        Check(
            "playbook/drain-and-reboot-gpu-node/silent", "playbook", passed, "drain does not run", "no run", "no run"
        ),
    )
    reasons = tuple(check.id for check in checks if check.status is failed)
    order = sorted(reasons, key=lambda name: not name.startswith("playbook"))
    return Verdict(
        run="20260921-161320-node-loss-7f3a",
        drill="node-loss",
        variant=variant,
        status=bad,
        summary=(
            "Every promise held while node-2 was without power, and reschedule-critical moved the work in time."
            if healed
            else "reschedule-critical never ran: the critical tier lost 8.6% of its requests for 17 seconds."
        ),
        reasons=tuple(order),
        checks=checks,
        times=Times(mttd=3.9, mtta=None, mitigate=2.0, mttr=21.2) if healed else Times(3.9, 12.0, 22.0, 25.0),
        mechanisms={"power-loss": "process-group-kill+proxy"},
    )
