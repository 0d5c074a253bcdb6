"""The infrastructure alerts: nodes, replicas, GPUs, links, capacity, shedding, and monitoring itself.

Names and labels are those of kube-state-metrics, dcgm-exporter and our gateways, so that the rules tried in the lab
are the rules of production.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tierdrill.documents.models.environment import Clock
from tierdrill.documents.models.error_budget import scaled
from tierdrill.documents.models.units import promql_duration
from tierdrill.monitoring.gpu_alerts import gpu_alerts
from tierdrill.monitoring.link_alerts import NODE_READY, link_alerts
from tierdrill.monitoring.name_alerts import NAME_ALERTS
from tierdrill.monitoring.node_alerts import node_alerts
from tierdrill.monitoring.silent_sources import absent_sources, silent_gateways, stale_sources
from tierdrill.monitoring.state_alerts import state_alerts

HOLD_S: Mapping[str, float] = {
    "NodeNotReady": 2.0,
    "DeviceTainted": 3.0,
    "NodeDiskFull": 3.0,
    "NodeClockSkew": 3.0,
    "NodeStarved": 3.0,
    "ReplicaDown": 3.0,
    "StalledReplica": 3.0,
    "ReplicaAnswersWrong": 4.0,
    "ModelAnswersDrifted": 4.0,
    "TierAnswersWrong": 6.0,
    "ColdStartBlocked": 3.0,
    "ReplicaEjected": 5.0,
    "CircuitOpen": 3.0,
    "GpuFallenOffBus": 3.0,
    "GpuUnhealthy": 3.0,
    "GpuPowerCap": 3.0,
    "GpuThermalThrottle": 3.0,
    "PcieReplayHigh": 6.0,
    "NvlinkErrors": 6.0,
    "RowRemapFailed": 3.0,
    "RowRemapPending": 3.0,
    "KvCachePressure": 5.0,
    "GpuAllocatableDrop": 3.0,
    "NetworkDegraded": 3.5,
    "EndpointUnreachable": 3.5,
    "EndpointMisdirected": 3.5,
    "ResolverFailing": 3.5,
    "RouterDown": 4.0,
    "RouterFailsClosed": 3.0,
    "RouterFailsOpen": 3.0,
    "HandshakesSlow": 5.0,
    "LinkFlapping": 0.0,
    "StateQuorumLost": 4.0,
    "StateMemberDown": 4.0,
    "StateMemberSlow": 6.0,
    "ServingCapacityLow": 2.0,
    "TierShedding": 0.0,
    "TelemetryAbsent": 5.0,
    "TelemetryStale": 3.0,
    "Watchdog": 0.0,
}
"""`for:` of each alert, in seconds: how long it must hold before anybody is told.

Blip twins last 1 to 2 s, a node boots in about 1 s, and nothing may fire then. A condition that is true for D seconds
is seen true for at most D plus one scrape, so `for` must exceed that:

- ReplicaDown, StalledReplica, ColdStartBlocked, CircuitOpen, DeviceTainted, NodeDiskFull, NodeClockSkew, those of GPUs,
  RouterFailsClosed, RouterFailsOpen: a blip of 1.5 s, 0.4 s to take it back and report it, a scrape: under 3 s.
- ReplicaAnswersWrong, ModelAnswersDrifted: the same and one round of golden prompts (1 s), for it shows in them only.
- TierAnswersWrong: the same and a round of golden requests through the gateways (2 s, and 2 s for a late answer).
- ReplicaEjected: the first ejection lasts 2 s, its trial ends it or begins one of 4 s; SCRAPES_BETWEEN_EJECTIONS come
  on top.
- PcieReplayHigh, NvlinkErrors, KvCachePressure, StateMemberSlow: the same and the window they look at (3 s in the lab).
- NodeStarved: a blip is half of the window it looks at (3 s in the lab), too little of it to be late for long.
- NodeNotReady, ServingCapacityLow: 2 s suffice, as the control plane's own grace (2 s without a heartbeat) has passed
  before. Both have the same value on purpose: a node's loss is both, and the playbook that the first one starts ends
  the second.
- RouterDown: a blip of 1.5 s and a start of 1 to 2 s until its metrics are scraped again.
- StateQuorumLost, StateMemberDown: a blip of 1.5 s, a start of the members, and an election of one to two seconds.
- TelemetryAbsent: a restart of an exporter and two missed scrapes are no news, nor is a lost node's silence until the
  control plane's grace is over. That Prometheus itself has just started is kept out by PROMETHEUS_SETTLES.
- HandshakesSlow: the same, and two seconds until a replica is next asked on a new connection.
- LinkFlapping: it counts how often the link went down; a blip is once.
- TelemetryStale: the window in which its time must not have changed (3 s in the lab) outlasts any blip by itself.
- TierShedding: information, nobody is told; Watchdog: always.
"""

KEEP_S: Mapping[str, float] = {
    "ServingCapacityLow": 3.0,
    "GpuThermalThrottle": 3.0,
    "NetworkDegraded": 2.0,
    "EndpointUnreachable": 2.0,
    "LinkFlapping": 2.0,
}
"""`keep_firing_for:` of an alert, in seconds: how long it is kept once its condition is over.

- ServingCapacityLow: capacity counts as on its way while replicas start. Where they do and it is still too little, the
  alert would resolve for as long as a start takes (on a cluster longer), and what is shed be let in again meanwhile.
- GpuThermalThrottle: a GPU that has only just cooled, without work, is hot again as soon as it has some.
- NetworkDegraded, EndpointUnreachable: a link that was well for one probe only does not get its traffic back.
- LinkFlapping: what it counts in its window may be one fewer for a moment.
"""

CAPACITY_LOW = 0.75
STARTING_MAX = "15s"
"""How long a starting replica counts as capacity on its way. One that takes longer is not coming."""

SCRAPES_BETWEEN_EJECTIONS = 3
"""Scrapes within which a replica counts as ejected still: between two ejections it has the one request of its trial."""

_WRONG = "count by (model, tier) (tierdrill_replica_answers_right == 0)"
# All of them, more than one, and alike. One by itself, or several that differ, are damaged.
_DRIFTED = (
    f"({_WRONG} > 1 and {_WRONG} == count by (model, tier) (tierdrill_replica_answers_right)"
    " and count by (model, tier) (count by (model, tier, answers) (tierdrill_replica_answers_right)) == 1)"
)
_PICKER_LOST = "min by (gateway) (tierdrill_picker_up) == 0"
_FAILS_OPEN = 'max by (gateway) (tierdrill_flag{flag="fail_open"}) == 1'


def infrastructure_alerts(clock: Clock, slower_s: float = 0.0) -> list[dict[str, Any]]:
    """All infrastructure alert rules, in a fixed order; `slower_s` is how much slower than the lab's nodes are seen."""
    return [
        *(_alert(*rule) for rule in node_alerts(clock)),
        _alert(
            "ReplicaDown",
            _replica_in_state("exited"),
            "ticket",
            "Replica {{ $labels.replica }} has died on {{ $labels.node }}",
            "The process of the replica (model {{ $labels.model }}, tier {{ $labels.tier }}) is gone while its node is"
            " well. The agent holds a crashed replica back; restart it. If it dies again, look at its log and at the"
            " kernel log of the node before a third try.",
        ),
        _alert(
            "StalledReplica",
            _replica_in_state("unresponsive"),
            "ticket",
            "Replica {{ $labels.replica }} on {{ $labels.node }} is not responding",
            "The process of the replica (model {{ $labels.model }}, tier {{ $labels.tier }}) is alive, its port is"
            " open, and it is not ready any more. It will not end by itself: kill and replace it. Adding replicas"
            " beside it does not help.",
        ),
        _alert(
            "ReplicaAnswersWrong",
            "max by (replica, node, model, tier) (tierdrill_replica_answers_right) == 0"
            f" unless on (model, tier) {_DRIFTED}",
            "page",
            "Replica {{ $labels.replica }} on {{ $labels.node }} gives wrong answers",
            "The replica (model {{ $labels.model }}, tier {{ $labels.tier }}) answers the golden prompts wrongly: its"
            " weights have changed in its GPU's memory, and no error says so. Take it out of service and place a new"
            " one on another GPU; then have the memory of this one tested.",
        ),
        _alert(
            "ModelAnswersDrifted",
            _DRIFTED,
            "page",
            "All replicas of model {{ $labels.model }} give the same other answers than were reviewed",
            "Every replica of the model (tier {{ $labels.tier }}) answers the golden prompts wrongly, and all of them"
            " alike: no memory is bad, other weights are loaded than those that were reviewed. Roll back what was"
            " released last (a tag that moved, a quantization, an adapter). To replace replicas would load the same"
            " weights again.",
        ),
        _alert(
            "TierAnswersWrong",
            f"max by (tier, model) (tierdrill_golden_answer_right == bool 0) == 1 unless on (model, tier) {_WRONG}",
            "page",
            "Customers of tier {{ $labels.tier }} are answered wrongly by model {{ $labels.model }}",
            "Golden requests through the gateways are answered otherwise than reviewed, though every replica is right."
            " Compare the gateways (tierdrill_golden_answer_right), and roll back what was released to them last.",
        ),
        _alert(
            "ColdStartBlocked",
            "max by (replica, node, model, tier, store, reason) (tierdrill_replica_weights_missing) == 1"
            ' and on (replica) max by (replica) (tierdrill_replica_state{state="blocked"}) == 1',
            "page",
            "Replica {{ $labels.replica }} cannot start on {{ $labels.node }}: {{ $labels.store }} is"
            " {{ $labels.reason }}",
            "The weights of model {{ $labels.model }} are not on the node, and the model store does not answer or gives"
            " damaged ones. What runs serves on, and what ends does not come back: restart and roll out nothing."
            " Get the weights from a mirror, then mend the store.",
        ),
        _alert(
            "ReplicaEjected",
            _ejected_though_ready(clock),
            "ticket",
            "All gateways have ejected replica {{ $labels.replica }} on {{ $labels.node }}, which calls itself ready",
            "The replica (model {{ $labels.model }}, tier {{ $labels.tier }}) fails what it is asked, and neither its"
            " readiness nor its metrics say so: see which kind grows in tierdrill_upstream_failures_total. It gets no"
            " requests but single trials, so customers do not feel it while the others have room. Read its log, then"
            " place a new one.",
        ),
        _alert(
            "CircuitOpen",
            "max by (model) (tierdrill_circuit_open) == 1"
            ' and on (model) count by (model) (kube_pod_status_ready{condition="true"} == 1)',
            "ticket",
            "Nearly every request for model {{ $labels.model }} fails though a replica is ready",
            "A gateway sends nothing but trials to the model any more; tiers that have a fallback model are answered by"
            " it, the others are refused. What fails is what all its replicas share: the model or adapter that was"
            " rolled out last, a credential, something they depend on. Roll it back; if it has one replica only,"
            " replace that.",
        ),
        *(_alert(*rule) for rule in gpu_alerts(clock)),
        *(_alert(*rule) for rule in (*link_alerts(clock), *NAME_ALERTS)),
        _alert(
            "RouterDown",
            silent_gateways(),
            "page",
            "{{ $labels.gateway }} gives no metrics any more: it is down, or cut off",
            "The gateway was there and does not answer a scrape. Clients go to the others, which have only their own"
            " share of every replica's slots: what is left is less than the tiers need at their peak. Restart it; if it"
            " dies again, look at its log and its memory before a third try.",
            slower_s,
        ),
        _alert(
            "RouterFailsClosed",
            f"{_PICKER_LOST} unless on (gateway) {_FAILS_OPEN}",
            "page",
            "{{ $labels.gateway }} refuses every request of every tier",
            "The gateway has lost its endpoint picker and fails closed: all it is sent ends in an error, though"
            " replicas are ready. This is an outage and no shedding. Let it fail open (flag fail_open) to serve at"
            " once, without order between the tiers, then restart it; or stop it, and clients go to the others.",
        ),
        _alert(
            "RouterFailsOpen",
            f"{_PICKER_LOST} and on (gateway) {_FAILS_OPEN}",
            "ticket",
            "{{ $labels.gateway }} serves without order between the tiers",
            "The gateway has lost its endpoint picker and fails open: requests are served in turn, with no priority, no"
            " reserved slots and no shedding. Under load the important tiers are not protected: restart it.",
        ),
        *(_alert(*rule) for rule in state_alerts(clock)),
        _alert(
            "ServingCapacityLow",
            'sum(tierdrill_serving_slots{state="ready"}) / (sum(tierdrill_serving_slots{state="desired"}) > 0)'
            f' < {CAPACITY_LOW:g} unless on () (count((max by (replica) (tierdrill_replica_state{{state="starting"}})'
            " == 1) and on (replica)"
            f' (min by (replica) (min_over_time(tierdrill_replica_state{{state="starting"}}[{STARTING_MAX}])) == 0))'
            " > 0)",
            "ticket",
            "Less than 75% of the serving slots are ready",
            "{{ $value | humanizePercentage }} of the desired serving slots are ready and none is on its way. What is"
            " left must go to the important tiers: shed best effort until capacity is back, and look for the node, GPU"
            " or replica alert that explains the loss.",
            slower_s,
        ),
        _alert(
            "TierShedding",
            "max by (tier) (tierdrill_shed_fraction) > 0 or"
            " sum by (tier)"
            f' (rate(tierdrill_rejections_total{{reason="shed"}}[{promql_duration(scaled("5m", clock))}])) > 0',
            "info",
            "Tier {{ $labels.tier }} is being shed",
            "Requests of this tier are turned away on purpose to protect more important tiers. Nothing to do but to see"
            " why capacity is short.",
        ),
        _alert(
            "TelemetryAbsent",
            absent_sources(),
            "ticket",
            "No metrics from {{ $labels.source }}",
            "Metrics that were there are gone: alerts that need them cannot fire, which is not the same as all being"
            " well. Restart the exporter or fix its scrape. Never drain a node because of missing data.",
            slower_s,
        ),
        _alert(
            "TelemetryStale",
            stale_sources(promql_duration(scaled("5m", clock))),
            "ticket",
            "The metrics of {{ $labels.source }} are old ones",
            "The exporter answers every scrape, and its own time stands still: it repeats what was true when it last"
            " collected anything. No alert that needs its metrics can begin or end. Restart it. Never drain a node"
            " because of what such an exporter says, and do not trust that all is well there either.",
        ),
        _alert(
            "Watchdog",
            "vector(1)",
            "none",
            "The alerting pipeline is alive",
            "Always firing. Its absence at the receiver means that Prometheus, Alertmanager or the way to the receiver"
            " is broken.",
        ),
    ]


def _alert(name: str, expr: str, severity: str, summary: str, text: str, longer_s: float = 0.0) -> dict[str, Any]:
    rule: dict[str, Any] = {"alert": name, "expr": expr}
    if hold_s := HOLD_S[name] + longer_s * (name not in KEEP_S):
        rule["for"] = promql_duration(hold_s)
    if name in KEEP_S:
        rule["keep_firing_for"] = promql_duration(KEEP_S[name] + longer_s)
    rule["labels"] = {"severity": severity}
    rule["annotations"] = {"summary": summary, "description": text}
    return rule


def _replica_in_state(state: str) -> str:
    """Replicas that are not ready, in this state, on a node that is well; labelled with where and what they are."""
    pods = 'label_replace(kube_pod_status_ready{condition="true"} == 0, "replica", "$1", "pod", "(.+)")'
    return (
        f"max by (replica, node, model, tier) ({pods})"
        f' and on (replica) max by (replica) (tierdrill_replica_state{{state="{state}"}}) == 1'
        f" and on (node) {NODE_READY}"
    )


def _ejected_though_ready(clock: Clock) -> str:
    """Ready replicas that every gateway keeps off: where only one does, it is the path that is at fault."""
    pods = 'label_replace(kube_pod_status_ready{condition="true"} == 1, "replica", "$1", "pod", "(.+)")'
    lately = promql_duration(SCRAPES_BETWEEN_EJECTIONS * clock.scrape_interval)
    return (
        f"max by (replica, node, model, tier) ({pods})"
        f" and on (replica) min by (replica) (max_over_time(tierdrill_upstream_ejected[{lately}])) == 1"
        f" and on (node) {NODE_READY}"
    )
