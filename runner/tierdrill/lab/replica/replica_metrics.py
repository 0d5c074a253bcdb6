"""What a replica publishes: vLLM's metric names, so that the rules and dashboards written for vLLM apply."""

import asyncio

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from tierdrill.lab.replica.replica_api import Ask

_LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0)
_TOKEN_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
_LABELS = ("model_name", "replica")
_TURN_S, _LATE_MOST_S = 0.05, 0.5


class ReplicaMetrics:
    def __init__(self, model: str, replica: str) -> None:
        self._registry = CollectorRegistry()
        labels = (model, replica)
        registry = self._registry

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(name, text, _LABELS, registry=registry).labels(*labels)

        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(name, text, _LABELS, registry=registry, buckets=buckets).labels(*labels)

        self._running = gauge("vllm:num_requests_running", "Requests being served.")
        self._waiting = gauge("vllm:num_requests_waiting", "Requests waiting for a slot.")
        self._cache = gauge("vllm:kv_cache_usage_perc", "Used part of the KV cache, 1 is full; here by slots.")
        self._first_token = histogram("vllm:time_to_first_token_seconds", "Time to first token.", _LATENCY_BUCKETS)
        self._per_token = histogram(
            "vllm:request_time_per_output_token_seconds", "Mean time per output token of a request.", _TOKEN_BUCKETS
        )
        self._token_gap = histogram("vllm:inter_token_latency_seconds", "Time between two tokens.", _TOKEN_BUCKETS)
        self._token_gap_before = histogram(
            "vllm:time_per_output_token_seconds",
            "As vllm:inter_token_latency_seconds, which is its name since vLLM 0.11.",
            _TOKEN_BUCKETS,
        )
        self._latency = histogram("vllm:e2e_request_latency_seconds", "End to end latency.", _LATENCY_BUCKETS)
        success = Counter(
            "vllm:request_success", "Requests answered.", (*_LABELS, "finished_reason"), registry=registry
        )
        self._success = success.labels(*labels, "length")
        self._aborted = success.labels(*labels, "abort")
        preemptions = Counter("vllm:num_preemptions", "Requests put back to wait.", _LABELS, registry=registry)
        self._preemptions = preemptions.labels(*labels)
        errors = Counter("tierdrill_replica_errors", "Requests failed, by kind.", (*_LABELS, "kind"), registry=registry)
        self._cuda_errors = errors.labels(*labels, "cuda_error")

    async def watch_lateness(self, node: str, replica: str) -> None:
        """Counts, for as long as it runs, how late timers of this process fire: the time in which it wanted to run and
        was not let, as by a CPU quota or a neighbour. One long standstill counts for no more than half a second: that
        is a process that hung, and no want of CPU.
        """
        told = "Seconds by which timers of the replica came late"
        late = Counter("tierdrill_replica_late_seconds", told, ("node", "replica"), registry=self._registry)
        series, clock = late.labels(node, replica), asyncio.get_running_loop().time
        while True:
            due = clock() + _TURN_S
            await asyncio.sleep(_TURN_S)
            series.inc(min(max(0.0, clock() - due), _LATE_MOST_S))

    def has_gpu(self, node: str, gpu: int, tier: str, rank: int) -> None:
        """What the lab's controller tells of a GPU, and on a cluster only who was given it."""
        told = "Rank of a tier that has a replica on this GPU; 1 is the most important."
        placed = Gauge("tierdrill_gpu_tier_rank", told, ("node", "gpu", "tier"), registry=self._registry)
        placed.labels(node, str(gpu), tier).set(rank)

    def occupancy(self, running: int, waiting: int, cache_used: float) -> None:
        self._running.set(running)
        self._waiting.set(waiting)
        self._cache.set(cache_used)

    def preempted(self) -> None:
        """A request that ran waits again."""
        self._preemptions.inc()

    def first_token(self, seconds: float) -> None:
        self._first_token.observe(seconds)

    def tokens(self, count: int, seconds: float) -> None:
        """Further tokens came, each that long after the one before."""
        for _ in range(count):
            self._token_gap.observe(seconds)
            self._token_gap_before.observe(seconds)

    def done(self, ask: Ask, arrived: float, first_at: float, now: float) -> None:
        self._latency.observe(now - arrived)
        if ask.max_tokens > 1:
            self._per_token.observe((now - first_at) / (ask.max_tokens - 1))
        self._success.inc()

    def aborted(self) -> None:
        """The client went away before the answer was complete."""
        self._aborted.inc()

    def cuda_error(self) -> None:
        self._cuda_errors.inc()

    def render(self) -> bytes:
        return generate_latest(self._registry)
