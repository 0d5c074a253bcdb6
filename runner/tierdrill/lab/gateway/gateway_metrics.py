"""The gateway's metrics. Every label set of every tier exists from the start: rate() cannot see a series being born."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from tierdrill.lab.lab_config import TierConfig

BUCKETS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075),
    *(0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0),
)
REASONS = ("shed", "capped", "queue-full", "queue-timeout", "preempted", "no-endpoint", "circuit-open", "deadline")
RETRY_REASONS = ("connect", "reset", "timeout", "5xx", "truncated", "unhealthy")
FAILURE_KINDS = ("connect", "reset", "timeout", "5xx", "truncated")
OUTCOMES = (
    ("ok", "200"),
    ("error", "500"),
    ("error", "502"),
    ("rejected", "429"),
    ("rejected", "503"),
    ("timeout", "504"),
    ("cancelled", "499"),  # the client went away; neither a success nor our failure
)


class TierMetrics:
    """The series of one tier, looked up once."""

    def __init__(self, metrics: GatewayMetrics, gateway: str, tier: str) -> None:
        self._requests = metrics.requests
        self._labels = (gateway, tier)
        self._outcomes = {
            (outcome, code): metrics.requests.labels(gateway, tier, outcome, code) for outcome, code in OUTCOMES
        }
        self.rejections = {reason: metrics.rejections.labels(gateway, tier, reason) for reason in REASONS}
        self.duration = metrics.duration.labels(gateway, tier)
        self.first_token = metrics.first_token.labels(gateway, tier)
        self.queue_wait = metrics.queue_wait.labels(gateway, tier)
        self.inflight = metrics.inflight.labels(gateway, tier)
        self.retries = {reason: metrics.retries.labels(gateway, tier, reason) for reason in RETRY_REASONS}
        self.budget_exhausted = metrics.budget_exhausted.labels(gateway, tier)
        self.preemptions = metrics.preemptions.labels(gateway, tier)
        self.shed_fraction = metrics.shed_fraction.labels(gateway, tier)
        self.fallbacks = metrics.fallbacks.labels(gateway, tier)

    def count(self, outcome: str, code: int) -> None:
        series = self._outcomes.get((outcome, str(code)))
        (series or self._requests.labels(*self._labels, outcome, str(code))).inc()


class GatewayMetrics:
    """The registry and all families."""

    def __init__(self, gateway: str, tiers: Iterable[TierConfig]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._gateway = gateway
        tier = ("gateway", "tier")
        upstream = ("gateway", "node", "replica")
        reg = self.registry
        self.requests = Counter(
            "tierdrill_requests", "Requests by how they ended", (*tier, "outcome", "code"), registry=reg
        )
        self.rejections = Counter("tierdrill_rejections", "Requests turned away", (*tier, "reason"), registry=reg)
        self.duration = Histogram(
            "tierdrill_request_duration_seconds",
            "Arrival to last byte; rejected and cancelled requests are not in it",
            tier,
            buckets=BUCKETS,
            registry=reg,
        )
        self.first_token = Histogram(
            "tierdrill_time_to_first_token_seconds",
            "Arrival to the first body byte from a replica",
            tier,
            buckets=BUCKETS,
            registry=reg,
        )
        self.queue_wait = Histogram(
            "tierdrill_queue_wait_seconds", "Waiting for a slot", tier, buckets=BUCKETS, registry=reg
        )
        self.queue_depth = Gauge("tierdrill_queue_depth", "Requests waiting now", (*tier, "model"), registry=reg)
        self.inflight = Gauge("tierdrill_inflight", "Requests holding a slot now", tier, registry=reg)
        self.retries = Counter("tierdrill_retries", "Further attempts", (*tier, "reason"), registry=reg)
        self.budget_exhausted = Counter(
            "tierdrill_retry_budget_exhausted", "Retries refused by the budget", tier, registry=reg
        )
        self.preemptions = Counter(
            "tierdrill_preemptions", "Requests of this tier that lost their slot", tier, registry=reg
        )
        self.fallbacks = Counter("tierdrill_fallbacks", "Requests sent to the smaller model", tier, registry=reg)
        self.shed_fraction = Gauge("tierdrill_shed_fraction", "Fraction rejected by order", tier, registry=reg)
        self.picker = Gauge(
            "tierdrill_picker_up", "The endpoint picker is there (1) or lost (0)", ("gateway",), registry=reg
        )
        self.circuit = Gauge(
            "tierdrill_circuit_open",
            "Nearly all attempts on the model failed, and requests for it get nothing but trials (1)",
            ("gateway", "model"),
            registry=reg,
        )
        self.flag = Gauge("tierdrill_flag", "Mechanism on (1) or off (0)", ("gateway", "flag"), registry=reg)
        self.probe = Gauge("tierdrill_upstream_probe_seconds", "Last health probe's round trip", upstream, registry=reg)
        self.up = Gauge("tierdrill_upstream_up", "Last health probe answered ready", upstream, registry=reg)
        self.ejected = Gauge("tierdrill_upstream_ejected", "Gets no requests after failures", upstream, registry=reg)
        self.failures = Counter("tierdrill_upstream_failures", "Failed attempts", (*upstream, "kind"), registry=reg)
        self.untrusted = Counter(
            "tierdrill_untrusted_customer_class",
            "Requests whose customer class was passed over: the caller is not trusted to say",
            ("gateway",),
            registry=reg,
        ).labels(gateway)
        self._tiers = {policy.name: TierMetrics(self, gateway, policy.name) for policy in tiers}

    def tier(self, name: str) -> TierMetrics:
        return self._tiers[name]

    def count_unclassified(self, code: int) -> None:
        """A request so broken that it has no tier."""
        self.requests.labels(self._gateway, "unclassified", "error", str(code)).inc()

    def add_model(self, model: str) -> None:
        """A model exists: its queues have a depth."""
        for tier in self._tiers:
            self.queue_depth.labels(self._gateway, tier, model)

    def add_replica(self, node: str, replica: str) -> None:
        """A replica is listed: its failures start at zero."""
        for kind in FAILURE_KINDS:
            self.failures.labels(self._gateway, node, replica, kind)

    def remove_replica(self, node: str, replica: str) -> None:
        """A withdrawn replica has no state to show; its failure counts stay, counters must not vanish."""
        for gauge in (self.probe, self.up, self.ejected):
            gauge.remove_by_labels({"gateway": self._gateway, "node": node, "replica": replica})

    def upstream_failed(self, node: str, replica: str, kind: str) -> None:
        self.failures.labels(self._gateway, node, replica, kind).inc()

    def probed(self, node: str, replica: str, *, up: bool, rtt_s: float) -> None:
        self.probe.labels(self._gateway, node, replica).set(rtt_s)
        self.up.labels(self._gateway, node, replica).set(1 if up else 0)

    def show(
        self,
        *,
        waiting: Mapping[tuple[str, str], int],
        running: Mapping[str, int],
        ejected: Mapping[tuple[str, str], bool],
        circuits: Mapping[str, bool],
        shed: Mapping[str, float],
        flags: Mapping[str, bool],
        picker_up: bool,
    ) -> bytes:
        """The exposition text. What is a state, not an event, is given here and costs nothing between scrapes."""
        for (tier, model), depth in waiting.items():
            self.queue_depth.labels(self._gateway, tier, model).set(depth)
        for (node, replica), out in ejected.items():
            self.ejected.labels(self._gateway, node, replica).set(1 if out else 0)
        for model, is_open in circuits.items():
            self.circuit.labels(self._gateway, model).set(1 if is_open else 0)
        for name, tier_metrics in self._tiers.items():
            tier_metrics.inflight.set(running.get(name, 0))
            tier_metrics.shed_fraction.set(shed.get(name, 0.0))
        self.picker.labels(self._gateway).set(1 if picker_up else 0)
        for flag, on in flags.items():
            self.flag.labels(self._gateway, flag).set(1 if on else 0)
        return generate_latest(self.registry)
