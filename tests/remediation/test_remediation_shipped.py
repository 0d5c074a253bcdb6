"""The shipped playbooks on a small model of the deployment: what each does, and what each must leave alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from remediation_support import EPOCH, TIERS, FakePort, clock, run
from tests.shipped import shipped_documents

from tierdrill.history.events import Event
from tierdrill.remediation.engine_journal import unfinished
from tierdrill.remediation.incident_book import AlertNotice, fingerprint_of
from tierdrill.remediation.playbook_engine import PlaybookEngine
from tierdrill.targets.base import RemedyResult

Facts = dict[tuple[str, str], Any]
CATALOGUE = shipped_documents()
PLAYBOOKS = [CATALOGUE.playbooks[name] for name in sorted(CATALOGUE.playbooks)]
NODE_2 = {"node": "node-2"}
MODEL = {"model": "assistant", "tier": "critical"}
REPLICA = {"replica": "assistant-1", "node": "node-2", "model": "assistant", "tier": "critical"}
GPU = {"node": "node-2", "gpu": "0", "UUID": "GPU-1"}
SILENT = {"source": "node-2"}
UNSEEN: Facts = {("exporter.lost", "node-2"): True}
STORE = {"store": "state-store"}
MEMBER = {"store": "state-store", "member": "state-store-2"}
AWAY: Facts = {("store.whole", "state-store-2"): False}
LEADERLESS: Facts = {("store.quorum", "state-store"): False}
FULL: Facts = {("node.disk_full", "node-2"): True}
SKEWED: Facts = {("node.clock_off", "node-2"): True}
HELD: Facts = {("gpu.memory_held", "node-2/0"): True}
ROUTER = {"gateway": "gateway-a"}
TIER = {"tier": "critical"}
CLOSED: Facts = {("gateway.router", "gateway-a"): "fails-closed", ("gateway.serves", "gateway-a"): False}
LINK = {"node": "node-2", "gateway": "gateway-a"}


class Platform(FakePort):
    """Three nodes; each remedy changes the facts as the lab's does."""

    def __init__(self, broken: Facts) -> None:
        super().__init__(nodes=3)
        self.facts = {
            ("node.ready", "node-2"): True,
            ("node.cordoned", "node-2"): False,
            ("node.disk_full", "node-2"): False,
            ("node.clock_off", "node-2"): False,
            ("nodes.ready_share", ""): 1.0,
            ("replica.ready", "assistant-1"): True,
            ("replica.state", "assistant-1"): "ready",
            ("replica.answers", "assistant-1"): "right",
            ("gpu.state", "node-2/0"): "healthy",
            ("tier.ready_share", "critical"): 1.0,
            ("tier.ready_share", "standard"): 1.0,
            ("tier.shed", "best-effort"): 0.0,
            ("link.weight", "gateway-a>node-2"): 1.0,
            ("gpu.weight", "node-2/0"): 1.0,
            ("gpu.memory_held", "node-2/0"): False,
            ("gateway.router", "gateway-a"): "picking",
            ("gateway.serves", "gateway-a"): True,
            ("exporter.lost", "node-2"): False,
            ("exporter.lost", "gateway-a"): False,
            ("store.quorum", "state-store"): True,
            ("store.whole", "state-store-2"): True,
            ("store.quorum", "state-store-2"): True,
            **broken,
        }

    async def remedy(self, action: str, arguments: dict[str, Any]) -> RemedyResult:
        self.calls.append((action, arguments))
        await asyncio.sleep(0.2)
        self.facts.update(_effects(action, arguments))
        return RemedyResult(True, "done")


def _effects(action: str, arguments: dict[str, Any]) -> Facts:
    effects: dict[str, Callable[[], Facts]] = {
        "restart-replica": lambda: {("replica.ready", arguments["replica"]): True},
        "replace-replica": lambda: {
            ("replica.ready", arguments["replica"]): True,
            ("replica.answers", arguments["replica"]): "right",
        },
        "reschedule": lambda: {("tier.ready_share", tier): 1.0 for tier in arguments["tiers"]},
        "cordon": lambda: {} if "gpu" in arguments else {("node.cordoned", arguments["node"]): True},
        "uncordon": lambda: {("node.cordoned", arguments["node"]): False},
        "end-memory-hog": lambda: {("gpu.memory_held", "node-2/0"): False},
        "free-disk": lambda: {("node.disk_full", arguments["node"]): False},
        "sync-clock": lambda: {("node.clock_off", arguments["node"]): False},
        "drain": lambda: {("tier.ready_share", "critical"): 1.0},
        "power-cycle": lambda: {("gpu.state", f"{arguments['node']}/0"): "healthy"},
        "rebalance": dict,
        "notify": dict,
        "set-weight": lambda: {
            ("gpu.weight", f"{arguments['node']}/{arguments['gpu']}")
            if "gpu" in arguments
            else ("link.weight", f"{arguments['gateway']}>{arguments['node']}"): arguments["weight"]
        },
        "set-flag": lambda: {("gateway.serves", arguments["gateway"]): True},
        "restart-exporter": lambda: {("exporter.lost", arguments["node"]): False},
        "restart-gateway": lambda: {("gateway.router", arguments["gateway"]): "picking"},
        "restart-members": lambda: {(f"store.{fact}", arguments["store"]): True for fact in ("quorum", "whole")},
        "set-retry-budget": dict,
        "restart-monitoring": dict,
        "load-from-mirror": lambda: {("replica.ready", arguments["replica"]): True},
        "roll-back-model": lambda: {("model.answers", arguments["model"]): "right"},
        "revert-policy": lambda: {("tier.policy", "critical"): "as-configured"},
        "shed": lambda: {("tier.shed", arguments["tier"]): arguments["fraction"]},
    }
    return effects[action]()


def _notice(alert: str, labels: dict[str, str], *, resolved: bool = False) -> AlertNotice:
    full = {"alertname": alert, "severity": "page", **labels}
    return AlertNotice(alert, "resolved" if resolved else "firing", full, fingerprint_of(full), EPOCH)


def _play(broken: Facts, *alerts: tuple[str, dict[str, str]]) -> tuple[Platform, list[Event], list[str]]:
    async def scene() -> tuple[Platform, list[Event], list[str]]:
        port, events, pages = Platform(broken), list[Event](), list[str]()

        async def pager(contact: str, *_: object) -> None:
            pages.append(contact)

        engine = PlaybookEngine(
            port=port, emit=events.append, pager=pager, playbooks=PLAYBOOKS, tiers=TIERS, clock=clock
        )
        for alert, labels in alerts:
            engine.notify(_notice(alert, labels))
        await asyncio.sleep(60)
        for alert, labels in alerts:
            engine.notify(_notice(alert, labels, resolved=True))
        await asyncio.sleep(10)
        await engine.stop()
        return port, events, pages

    result: tuple[Platform, list[Event], list[str]] = run(scene())
    return result


def test_retries_are_held_and_stay_held_while_the_alert_fires() -> None:
    port, events, _ = _play({}, ("RetryAmplification", {"tier": "standard"}))
    assert port.calls[0] == ("set-retry-budget", {"tier": "standard", "ratio": 0.05})
    # In this platform nothing ends the alert, so both attempts fail and somebody is called.
    assert port.actions() == ["set-retry-budget"] * 2 and unfinished(events) == []
    assert [event.kind for event in events][-1] == "playbook.escalated"


def test_monitoring_is_started_twice_at_most_and_then_somebody_is_called() -> None:
    port, events, pages = _play({}, ("WatchdogMissing", {}))
    # In this platform nothing ends the alert.
    assert port.actions() == ["restart-monitoring"] * 2 and unfinished(events) == [] and pages


def _executions(events: list[Event]) -> list[tuple[str, str, bool]]:
    finished = [event.data for event in events if event.kind == "playbook.finished" and event.data["phase"] == "act"]
    return [(data["playbook"], data["target"], data["ok"]) for data in finished]


def test_they_are_valid_with_the_alerts_we_raise() -> None:
    assert [playbook.metadata.name for playbook in PLAYBOOKS] == [
        "cordon-starved-node",
        "deweight-gpu",
        "drain-and-reboot-gpu-node",
        "drain-and-reset-gpu",
        "end-memory-hog",
        "evict-stranded",
        "free-disk",
        "kill-and-replace",
        "load-from-mirror",
        "quarantine-replica",
        "reopen-router",
        "reschedule-critical",
        "restart-exporter",
        "restart-monitoring",
        "restart-replica",
        "restart-router",
        "restart-stale-exporter",
        "restart-state-member",
        "restart-state-store",
        "retire-gpu",
        "revert-config",
        "roll-back-model",
        "shed-best-effort",
        "shift-traffic",
        "suspect-nvlink",
        "sync-clock",
        "tighten-retry-budget",
    ]


CRASHED = {("replica.state", "assistant-1"): "exited", ("replica.ready", "assistant-1"): False}
HUNG = {("replica.state", "assistant-1"): "unresponsive", ("replica.ready", "assistant-1"): False}
BLOCKED: Facts = {("replica.state", "assistant-1"): "blocked", ("replica.ready", "assistant-1"): False}
DRIFTED: Facts = {("model.revision", "assistant"): "other", ("model.answers", "assistant"): "wrong"}
WRONG = {("replica.answers", "assistant-1"): "wrong"}
DOWN: Facts = {("gateway.router", "gateway-a"): "down"}
TURNED: Facts = {("tier.policy", "critical"): "changed"}
LOST = {("node.ready", "node-2"): False, ("nodes.ready_share", ""): 0.67, ("tier.ready_share", "critical"): 0.67}
FAILING = {("gpu.state", "node-2/0"): "ecc_uncorrectable", ("tier.ready_share", "critical"): 0.67}
OFF_BUS = {("gpu.state", "node-2/0"): "fallen_off_bus", ("tier.ready_share", "critical"): 0.67}


@pytest.mark.parametrize(
    ("alert", "labels", "broken", "execution", "actions"),
    [
        ("ReplicaDown", REPLICA, CRASHED, ("restart-replica", "assistant-1"), ["restart-replica"]),
        ("StalledReplica", REPLICA, HUNG, ("kill-and-replace", "assistant-1"), ["replace-replica"]),
        ("ReplicaAnswersWrong", REPLICA, WRONG, ("quarantine-replica", "assistant-1"), ["replace-replica"]),
        ("ColdStartBlocked", REPLICA, BLOCKED, ("load-from-mirror", "assistant-1"), ["load-from-mirror"]),
        ("ModelAnswersDrifted", MODEL, DRIFTED, ("roll-back-model", "critical"), ["roll-back-model"]),
        ("NodeNotReady", NODE_2, LOST, ("reschedule-critical", "node-2"), ["reschedule", "reschedule"]),
        (
            "GpuFallenOffBus",
            GPU,
            OFF_BUS,
            ("drain-and-reboot-gpu-node", "node-2/0"),
            ["cordon", "drain", "power-cycle", "uncordon", "rebalance"],
        ),
        (
            "GpuUnhealthy",
            GPU,
            FAILING,
            ("drain-and-reset-gpu", "node-2/0"),
            ["cordon", "drain", "power-cycle", "uncordon", "rebalance"],
        ),
        ("RowRemapFailed", GPU, FAILING, ("retire-gpu", "node-2/0"), ["drain", "notify"]),
        ("GpuAllocatableDrop", GPU, {}, ("evict-stranded", "node-2/0"), ["drain", "notify"]),
        ("NodeDiskFull", NODE_2, FULL, ("free-disk", "node-2"), ["free-disk"]),
        ("NodeClockSkew", NODE_2, SKEWED, ("sync-clock", "node-2"), ["sync-clock"]),
        ("NodeStarved", NODE_2, {}, ("cordon-starved-node", "node-2"), ["cordon", "uncordon"]),
        ("KvCachePressure", GPU, HELD, ("end-memory-hog", "node-2/0"), ["end-memory-hog"]),
        ("NvlinkErrors", GPU, {}, ("suspect-nvlink", "node-2/0"), ["cordon", "notify"]),
        ("GpuThermalThrottle", GPU, {}, ("deweight-gpu", "node-2/0"), ["set-weight", "set-weight"]),
        ("NetworkDegraded", LINK, {}, ("shift-traffic", "gateway-a>node-2"), ["set-weight", "set-weight"]),
        ("RouterFailsClosed", ROUTER, CLOSED, ("reopen-router", "gateway-a"), ["set-flag", "restart-gateway"]),
        ("RouterDown", ROUTER, DOWN, ("restart-router", "gateway-a"), ["restart-gateway"]),
        ("TelemetryAbsent", SILENT, UNSEEN, ("restart-exporter", "node-2"), ["restart-exporter"]),
        ("StateQuorumLost", STORE, LEADERLESS, ("restart-state-store", "state-store"), ["restart-members"]),
        ("StateMemberDown", MEMBER, AWAY, ("restart-state-member", "state-store-2"), ["restart-members"]),
        ("TelemetryStale", SILENT, UNSEEN, ("restart-stale-exporter", "node-2"), ["restart-exporter"]),
        ("TierInversion", TIER, TURNED, ("revert-config", "critical"), ["revert-policy"]),
        ("ServingCapacityLow", {}, {}, ("shed-best-effort", "best-effort"), ["shed", "shed"]),
    ],
)
def test_each_does_its_work_and_leaves_nothing_behind(
    alert: str, labels: dict[str, str], broken: Facts, execution: tuple[str, str], actions: list[str]
) -> None:
    port, events, pages = _play(broken, (alert, labels))
    assert _executions(events) == [(*execution, True)]
    assert port.actions() == actions and pages == [] and unfinished(events) == []
    assert port.facts[("node.cordoned", "node-2")] is False
    assert port.facts[("link.weight", "gateway-a>node-2")] == 1
    assert port.facts[("gpu.weight", "node-2/0")] == 1
    assert port.facts[("tier.shed", "best-effort")] == 0


def test_critical_is_moved_before_standard() -> None:
    port, _, _ = _play(LOST, ("NodeNotReady", NODE_2))
    assert [arguments["tiers"] for _, arguments in port.calls] == [["critical"], ["standard"]]


@pytest.mark.parametrize(
    ("alert", "labels", "broken"),
    [
        ("ReplicaDown", REPLICA, {**CRASHED, **LOST}),
        ("ReplicaDown", REPLICA, HUNG),
        ("ReplicaDown", {"replica": "assistant-1", "model": "assistant", "tier": "critical"}, HUNG),
        ("StalledReplica", REPLICA, {}),
        ("StalledReplica", REPLICA, CRASHED),
        ("StalledReplica", REPLICA, {**HUNG, **LOST}),
        ("ReplicaAnswersWrong", REPLICA, {}),
        ("ReplicaAnswersWrong", REPLICA, {("replica.answers", "assistant-1"): "unknown"}),
        ("NodeNotReady", NODE_2, {}),
        ("NodeNotReady", NODE_2, {**LOST, ("node.cordoned", "node-2"): True}),
        ("GpuFallenOffBus", GPU, {}),
        ("GpuFallenOffBus", GPU, {**OFF_BUS, ("nodes.ready_share", ""): 0.67}),
        ("GpuUnhealthy", GPU, {}),
        ("KvCachePressure", GPU, {}),
        ("NodeDiskFull", NODE_2, {}),
        ("NodeClockSkew", NODE_2, {}),
        ("NodeDiskFull", NODE_2, {**FULL, **LOST}),
        ("NodeStarved", NODE_2, LOST),
        ("NodeStarved", NODE_2, {("node.cordoned", "node-2"): True}),
        ("GpuUnhealthy", GPU, {**FAILING, ("nodes.ready_share", ""): 0.67}),
        ("NetworkDegraded", LINK, LOST),
        ("GpuThermalThrottle", GPU, LOST),
        ("RowRemapFailed", GPU, LOST),
        ("RouterFailsClosed", ROUTER, {}),
        ("RouterDown", ROUTER, {}),
        ("RouterDown", ROUTER, CLOSED),
        ("TelemetryAbsent", SILENT, {}),
        ("StateQuorumLost", STORE, {}),
        ("StateMemberDown", MEMBER, {}),
        ("StateMemberDown", MEMBER, {**AWAY, ("store.quorum", "state-store-2"): False}),
        ("TelemetryStale", SILENT, {}),
        ("TelemetryAbsent", {"source": "gateway-a"}, UNSEEN),
        ("RouterFailsClosed", ROUTER, {**CLOSED, **DOWN}),
    ],
)
def test_each_leaves_alone_what_is_not_its_own(alert: str, labels: dict[str, str], broken: Facts) -> None:
    port, events, pages = _play(broken, (alert, labels))
    assert port.calls == [] and pages == [] and {event.kind for event in events} == {"playbook.skipped"}


def test_a_gpu_off_the_bus_is_not_taken_for_a_hung_replica() -> None:
    port, events, _ = _play({**OFF_BUS, **HUNG}, ("GpuFallenOffBus", GPU), ("StalledReplica", REPLICA))
    assert [name for name, _, _ in _executions(events)] == ["drain-and-reboot-gpu-node"]
    assert "replace-replica" not in port.actions()


def test_a_reboot_that_does_not_help_ends_with_a_page_and_the_node_uncordoned() -> None:
    class Dead(Platform):
        pass

    async def scene() -> tuple[Platform, list[Event], list[str]]:
        port, events, pages = Dead(OFF_BUS), list[Event](), list[str]()
        real = port.remedy

        async def remedy(action: str, arguments: dict[str, Any]) -> RemedyResult:
            if action == "power-cycle":
                port.calls.append((action, arguments))
                return RemedyResult(True, "cycled, and still off the bus")
            return await real(action, arguments)

        port.remedy = remedy  # type: ignore[method-assign]

        async def pager(contact: str, *_: object) -> None:
            pages.append(contact)

        engine = PlaybookEngine(
            port=port, emit=events.append, pager=pager, playbooks=PLAYBOOKS, tiers=TIERS, clock=clock
        )
        engine.notify(_notice("GpuFallenOffBus", GPU))
        await asyncio.sleep(50)
        await engine.stop()
        return port, events, pages

    port, events, pages = run(scene())
    assert port.actions().count("power-cycle") == 2, "gpud's rule: two reboots, then a person"
    assert port.actions()[-1] == "uncordon" and port.facts[("node.cordoned", "node-2")] is False
    assert pages == ["first"] and _executions(events) == [("drain-and-reboot-gpu-node", "node-2/0", False)]
