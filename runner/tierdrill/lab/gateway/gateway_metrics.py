"""The gateway's metrics. Every label set of every tier exists from the start: rate() cannot see a series being born."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from tierdrill.lab.lab_config import TierConfig

BUCKETS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075),
    *(0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0),
)
REASONS = (
    *("shed", "capped", "queue-full", "queue-timeout", "preempted", "no-endpoint", "circuit-open", "deadline"),
    "residency", "quarantined",
)
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
    def __init__(self, gateway: str, tiers: Iterable[TierConfig]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry = CollectorRegistry()
        self.gateway = gateway
        tier = ("gateway", "tier")
        upstream = ("gateway", "node", "replica")

        def counter(name: str, text: str, labels: Sequence[str] = tier) -> Counter:
            return Counter(f"tierdrill_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, labels: Sequence[str] = tier) -> Gauge:
            return Gauge(f"tierdrill_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str) -> Histogram:
            return Histogram(f"tierdrill_{name}", text, tier, buckets=BUCKETS, registry=registry)

        self.requests = counter("requests", "Requests by how they ended", (*tier, "outcome", "code"))
        self.rejections = counter("rejections", "Requests turned away", (*tier, "reason"))
        self.duration = histogram(
            "request_duration_seconds", "Arrival to last byte; rejected and cancelled requests are not in it"
        )
        self.first_token = histogram("time_to_first_token_seconds", "Arrival to the first body byte from a replica")
        self.queue_wait = histogram("queue_wait_seconds", "Waiting for a slot")
        self.queue_depth = gauge("queue_depth", "Requests waiting now", (*tier, "model"))
        self.inflight = gauge("inflight", "Requests holding a slot now")
        self.retries = counter("retries", "Further attempts", (*tier, "reason"))
        self.budget_exhausted = counter("retry_budget_exhausted", "Retries refused by the budget")
        self.preemptions = counter("preemptions", "Requests of this tier that lost their slot")
        self.fallbacks = counter("fallbacks", "Requests sent to the smaller model")
        self.shed_fraction = gauge("shed_fraction", "Fraction rejected by order")
        self.rank = gauge("tier_rank", "The tier's rank in the policy in force, 1 is served first")
        self.retry_ratio = gauge("retry_budget_ratio", "Retries that the budget allows, as a share of requests")
        self.retries_most = gauge("retries_most", "Further attempts that the policy in force allows one request")
        self.picker = gauge("picker_up", "The endpoint picker is there (1) or lost (0)", ("gateway",))
        self.circuit = gauge(
            "circuit_open",
            "Nearly all attempts on the model failed, and requests for it get nothing but trials (1)",
            ("gateway", "model"),
        )
        self.flag = gauge("flag", "Mechanism on (1) or off (0)", ("gateway", "flag"))
        self.store_age = gauge("state_store_age_seconds", "Since the state store was read", ("gateway",))
        held_off = gauge("prompts_quarantined", "Prompts that are sent to no replica", ("gateway",))
        self.held_off = held_off.labels(gateway)
        self.lifted = gauge("rule_lifted", "An override lifts this rule of the tier now (1)", (*tier, "rule"))
        self.probe = gauge("upstream_probe_seconds", "Last health probe's round trip", upstream)
        self.open = gauge("upstream_open_seconds", "Last health probe on a connection of its own", upstream)
        self.up = gauge("upstream_up", "Last health probe answered ready", upstream)
        self.misdirected = gauge("upstream_misdirected", "Somebody else answers at its address (1)", upstream)
        self.resolver = gauge("resolver_failing", "The resolver answers no question (1)", ("gateway",)).labels(gateway)
        self.ejected = gauge("upstream_ejected", "Gets no requests after failures", upstream)
        self.failures = counter("upstream_failures", "Failed attempts", (*upstream, "kind"))
        self.untrusted = counter(
            "untrusted_customer_class",
            "Requests whose customer class was passed over: the caller is not trusted to say",
            ("gateway",),
        ).labels(gateway)
        self._tiers = {policy.name: TierMetrics(self, gateway, policy.name) for policy in tiers}

    def tier(self, name: str) -> TierMetrics:
        return self._tiers[name]

    def show_lifted(self, seconds_left: Iterable[str]) -> None:
        """Only the rules (`TIER/RULE`) that are lifted now have a series."""
        self.lifted.clear()
        for tier, _, rule in (name.partition("/") for name in seconds_left):
            self.lifted.labels(self.gateway, tier, rule).set(1)

    def count_unclassified(self, code: int) -> None:
        """A request so broken that it has no tier."""
        self.requests.labels(self.gateway, "unclassified", "error", str(code)).inc()

    def add_model(self, model: str) -> None:
        """A model exists: its queues have a depth."""
        for tier in self._tiers:
            self.queue_depth.labels(self.gateway, tier, model)

    def add_replica(self, node: str, replica: str) -> None:
        """A replica is listed: its failures start at zero."""
        for kind in FAILURE_KINDS:
            self.failures.labels(self.gateway, node, replica, kind)

    def remove_replica(self, node: str, replica: str) -> None:
        """A withdrawn replica has no state to show; its failure counts stay, counters must not vanish."""
        for gauge in (self.probe, self.open, self.up, self.ejected, self.misdirected):
            gauge.remove_by_labels({"gateway": self.gateway, "node": node, "replica": replica})

    def upstream_failed(self, node: str, replica: str, kind: str) -> None:
        self.failures.labels(self.gateway, node, replica, kind).inc()

    def probed(self, node: str, replica: str, *, up: bool, rtt_s: float, misdirected: bool = False) -> None:
        self.misdirected.labels(self.gateway, node, replica).set(1 if misdirected else 0)
        self.probe.labels(self.gateway, node, replica).set(rtt_s)
        self.up.labels(self.gateway, node, replica).set(1 if up else 0)

    def opened(self, node: str, replica: str, took_s: float) -> None:
        self.open.labels(self.gateway, node, replica).set(took_s)
