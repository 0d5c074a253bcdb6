"""The load plan: everything the load child needs, as one JSON file.

Standard library only: the child reads it inside locust's patched interpreter, where pydantic and httpx must not be
imported. The documents have been validated before; what is checked here is that the file is what this version writes.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tierdrill.load.arrival_schedule import (
    SHAPE_KINDS,
    STEADY,
    Arrival,
    Recorded,
    Shape,
    StreamRate,
    arrivals,
    recorded_for,
)

PATHS = ("/v1/completions", "/v1/chat/completions")


LAB_HEADERS = {
    "tier": "x-tier",
    "model": "x-served-model",
    "replica": "x-replica",
    "queue_wait_ms": "x-queue-wait-ms",
    "attempts": "x-attempts",
    "rejected_reason": "x-rejected-reason",
    "error_reason": "x-error-reason",
}
"""By which response header the lab's gateways tell what."""


class PlanError(ValueError):
    """The plan, or a recording it names, is not usable."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One request's question; `expected` is the right answer's text of each model for which it is known.

    The answer is compared with that of the model which gave it.
    """

    prompt: str
    max_tokens: int
    expected: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """One kind of customer; its prompts are asked in turns, each as often as the others.

    `asks` is the platform's own name of the model, where that is another; `headers` go with every request.
    """

    name: str
    tier: str
    model: str
    rate_rps: float
    prompts: tuple[Prompt, ...]
    timeout_s: float
    customer_class: str | None = None
    path: str = "/v1/completions"
    stream: bool = False
    shape: Shape = STEADY
    deadline_ms: int | None = None
    asks: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """The whole load. `sample_path` and `status_path` are stems: each process writes `<stem>.<pid>.jsonl`.

    `start_at` (Unix time of schedule zero) is for runs by hand; a child that was given a ready descriptor waits
    for its go. `control_path` is where the child says how its streams can be made to surge; None: they cannot.
    `base_path` is put before each path in place of /v1. `connection` says how to log in (`credentials.ServerLogin`); it
    holds places of secrets only. `response_headers` names the header of each signal that there is, `rejected` which
    answers are rejections, and why (`status`, and a `header` and its `value` or None, `reason`). With `golden_s` the
    answers of the first so many seconds are the right ones, where a prompt was answered twice and alike. `jobs` names
    the run and the cluster (as its ledger does) whose Jobs send it in this process's place.
    """

    targets: tuple[str, ...]
    duration_s: float
    seed: int
    connections_max: int
    streams: tuple[StreamPlan, ...]
    sample_path: str
    status_path: str
    start_at: float | None = None
    connect_timeout_s: float = 1.0
    control_path: str | None = None
    base_path: str = "/v1"
    connection: Mapping[str, Any] | None = None
    response_headers: Mapping[str, str] = field(default_factory=lambda: dict(LAB_HEADERS))
    rejected: tuple[Mapping[str, Any], ...] = ()
    golden_s: float | None = None
    jobs: Mapping[str, Any] | None = None

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1, allow_nan=False), encoding="utf-8")

    def schedule(self) -> Iterator[Arrival]:
        """The plan's arrivals; reads the recordings that replayed streams name."""
        return arrivals(self._rates(), self.duration_s, self.seed)

    def _rates(self) -> list[StreamRate]:
        recordings: dict[str, tuple[Recorded, ...]] = {}
        tiers_taken: set[tuple[str, str]] = set()
        rates = []
        for stream in self.streams:
            recorded: tuple[float, ...] = ()
            if stream.shape.kind == "replay":
                file = stream.shape.file
                if file is None:
                    raise PlanError(f"stream {stream.name}: a replay needs a file")
                if file not in recordings:
                    recordings[file] = read_recording(Path(file))
                # Lines that name only a tier go to that tier's first replayed stream, not to each of them.
                takes_tier = (file, stream.tier) not in tiers_taken
                tiers_taken.add((file, stream.tier))
                recorded = recorded_for(recordings[file], stream.name, stream.tier, takes_tier=takes_tier)
            rates.append(StreamRate(stream.name, stream.rate_rps, stream.shape, recorded))
        return rates


def read_plan(path: Path) -> LoadPlan:
    """The plan in a file; raises PlanError with the reason."""
    try:
        return plan_of(json.loads(path.read_text(encoding="utf-8")))
    except json.JSONDecodeError as error:
        raise PlanError(f"{path}: not JSON: {error}") from error


def plan_of(data: Mapping[str, Any]) -> LoadPlan:
    """The plan in a decoded JSON object; raises PlanError with the reason."""
    try:
        streams = tuple(_stream_of(item) for item in data["streams"])
        lists = {name: tuple(data[name]) for name in ("targets", "rejected") if name in data}
        plan = LoadPlan(**{**data, **lists, "streams": streams})
    except (KeyError, TypeError) as error:
        raise PlanError(f"not a load plan: {error}") from error
    _check(plan)
    return plan


def _stream_of(data: Mapping[str, Any]) -> StreamPlan:
    prompts = tuple(Prompt(**prompt) for prompt in data["prompts"])
    shape = Shape(**(data.get("shape") or {}))
    return StreamPlan(**{**data, "prompts": prompts, "shape": shape})


def _check(plan: LoadPlan) -> None:
    problems = []
    for target in plan.targets:
        parts = urlsplit(target)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
            problems.append(f"target {target!r}: expected http://HOST:PORT, or https")
    if not plan.targets or not plan.streams:
        problems.append("expected at least one target and one stream")
    if len({stream.name for stream in plan.streams}) != len(plan.streams):
        problems.append("stream names must differ")
    if not (math.isfinite(plan.duration_s) and plan.duration_s > 0 and plan.connections_max >= 1):
        problems.append("expected duration_s > 0 and connections_max >= 1")
    for stream in plan.streams:
        if stream.path not in PATHS:
            problems.append(f"stream {stream.name}: path {stream.path!r}, expected one of: {', '.join(PATHS)}")
        if stream.shape.kind not in SHAPE_KINDS:
            known = ", ".join(SHAPE_KINDS)
            problems.append(f"stream {stream.name}: shape {stream.shape.kind!r}, expected one of: {known}")
        if not stream.prompts or stream.timeout_s <= 0 or stream.rate_rps < 0:
            problems.append(f"stream {stream.name}: expected prompts, timeout_s > 0 and rate_rps >= 0")
    if problems:
        raise PlanError("; ".join(problems))


def read_recording(path: Path) -> tuple[Recorded, ...]:
    """A recorded schedule, JSON lines of {"at": seconds, "stream" and/or "tier"}; times count from the earliest."""
    lines: list[Recorded] = []
    zero: float | None = None
    try:
        with path.open(encoding="utf-8") as file:
            for number, text in enumerate(file, 1):
                if not text.strip():
                    continue
                entry = json.loads(text)
                at, stream, tier = float(entry["at"]), entry.get("stream"), entry.get("tier")
                if not math.isfinite(at) or (stream is None and tier is None):
                    raise PlanError(f"{path}:{number}: expected a finite `at`, and `stream` or `tier`")
                zero = at if zero is None else min(zero, at)
                lines.append(Recorded(at, stream, tier))
    except OSError as error:
        raise PlanError(f"{path}: {error.strerror}") from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, PlanError):
            raise
        raise PlanError(f"{path}:{number}: not a recorded arrival: {error}") from error
    return tuple(Recorded(line.at_s - (zero or 0.0), line.stream, line.tier) for line in lines)
