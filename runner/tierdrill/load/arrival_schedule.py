"""When each request is due: open-loop arrival schedules, pure and the same for the same seed.

An open loop sends when the schedule says so, whatever became of the requests before; only then does a stalled server
show in the latencies. Arrivals are a Poisson process per stream (its rate may move with a shape) or a recording, merged
lazily into one sequence. The sequence number is the arrival's place in the merged schedule, so that every worker of a
distributed run computes the same numbers and takes its own share of them.
"""

import heapq
import math
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, repeat
from typing import Literal

ShapeKind = Literal["steady", "step", "ramp", "spike", "replay"]
SHAPE_KINDS: tuple[ShapeKind, ...] = ("steady", "step", "ramp", "spike", "replay")
ARRIVALS_MAX = 20_000_000


@dataclass(frozen=True, slots=True)
class Shape:
    """How a stream's rate moves; `factor` multiplies the stream's rate, times count from schedule zero.

    steady: the rate, times `factor`, throughout. step: `factor` from `at_s` on. spike: `factor` from `at_s` for
    `lasts_s`, then back. ramp: from 1 to `factor` over `lasts_s` beginning at `at_s`, then stays. replay: the recording
    in `file`, the rate is not used.
    """

    kind: ShapeKind = "steady"
    factor: float = 1.0
    at_s: float = 0.0
    lasts_s: float | None = None
    file: str | None = None

    def factor_at(self, at_s: float) -> float:
        """What the stream's rate is multiplied by at this moment."""
        if self.kind == "steady":
            return self.factor
        if self.kind == "replay" or at_s < self.at_s:
            return 1.0
        elapsed_s = at_s - self.at_s
        if self.kind == "ramp":
            if not self.lasts_s or elapsed_s >= self.lasts_s:
                return self.factor
            return 1.0 + (self.factor - 1.0) * elapsed_s / self.lasts_s
        if self.lasts_s is not None and elapsed_s >= self.lasts_s:
            return 1.0
        return self.factor

    @property
    def factor_max(self) -> float:
        """An upper bound of `factor_at`."""
        return self.factor if self.kind == "steady" else max(1.0, self.factor)


STEADY = Shape()


@dataclass(frozen=True, slots=True)
class StreamRate:
    """What the schedule needs to know of a stream; `recorded_s` are its due times where the shape is a replay."""

    name: str
    rate_rps: float
    shape: Shape = STEADY
    recorded_s: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request that is due `at_s` seconds after schedule zero.

    `sequence` counts all streams' arrivals from 0, `turn` those of its stream.
    """

    at_s: float
    stream: str
    sequence: int
    turn: int


@dataclass(frozen=True, slots=True)
class Recorded:
    """One line of a recording: when, and which stream (or, where none is named, which tier)."""

    at_s: float
    stream: str | None
    tier: str | None


def stream_times(stream: StreamRate, duration_s: float, seed: int) -> Iterator[float]:
    """Due times of one stream, ascending, within [0, duration_s)."""
    if stream.shape.kind == "replay":
        yield from (at_s for at_s in sorted(stream.recorded_s) if 0.0 <= at_s < duration_s)
        return
    rate_max_rps = stream.rate_rps * stream.shape.factor_max
    if rate_max_rps <= 0.0:
        return
    if not math.isfinite(rate_max_rps) or rate_max_rps * duration_s > ARRIVALS_MAX:
        raise ValueError(f"stream {stream.name}: {rate_max_rps} rps for {duration_s} s is over {ARRIVALS_MAX} arrivals")
    # Seeding by text keeps one stream's times the same whatever other streams the plan has.
    source = random.Random(f"{seed}/{stream.name}")  # noqa: S311 a schedule, not a secret
    at_s = 0.0
    while True:
        at_s += source.expovariate(rate_max_rps)
        if at_s >= duration_s:
            return
        # Thinning: candidates come at the highest rate, each is kept with the share of it that holds at its moment.
        if source.random() * stream.shape.factor_max < stream.shape.factor_at(at_s):
            yield at_s


def surge_times(stream: StreamRate, factor: float, from_s: float, until_s: float, seed: str) -> Iterator[float]:
    """Due times of what comes on top of a stream's own arrivals while its rate is `factor` times what it would be.

    Ascending, within [from_s, until_s); none for a replay, which has no rate.
    """
    extra_max_rps = (factor - 1.0) * stream.rate_rps * stream.shape.factor_max
    if extra_max_rps <= 0.0 or stream.shape.kind == "replay":
        return
    source = random.Random(f"{seed}/{stream.name}/surge/{from_s:.6f}")  # noqa: S311 a schedule, not a secret
    at_s = from_s
    while True:
        at_s += source.expovariate(extra_max_rps)
        if at_s >= until_s:
            return
        if source.random() * stream.shape.factor_max < stream.shape.factor_at(at_s):
            yield at_s


def arrivals(streams: Sequence[StreamRate], duration_s: float, seed: int) -> Iterator[Arrival]:
    """All streams' arrivals merged in order of time, lazily."""
    timed = [zip(stream_times(stream, duration_s, seed), repeat(stream.name), count()) for stream in streams]
    for sequence, (at_s, name, turn) in enumerate(heapq.merge(*timed)):
        yield Arrival(at_s, name, sequence, turn)


def share(schedule: Iterable[Arrival], index: int, count: int) -> Iterator[Arrival]:
    """The arrivals that worker `index` of `count` takes; the shares of all workers cover each arrival once."""
    if not 0 <= index < count:
        raise ValueError(f"worker {index} of {count}: expected 0 <= index < count")
    return (arrival for arrival in schedule if arrival.sequence % count == index)


def planned(schedule: Iterable[Arrival], from_s: float = 0.0, until_s: float = math.inf) -> dict[str, int]:
    """How many arrivals each stream has due within [from_s, until_s)."""
    counts: dict[str, int] = {}
    for arrival in schedule:
        if arrival.at_s >= until_s:
            break
        if arrival.at_s >= from_s:
            counts[arrival.stream] = counts.get(arrival.stream, 0) + 1
    return counts


class Rota:
    """Whose turn it is: every `size` turns in a row take each of `size` things once, in an order that changes.

    A fixed order could keep step with the gateways and replicas that are taken in turn too, and one of them would see
    some of the things only.
    """

    def __init__(self, seed: int, stream: str, size: int) -> None:
        self._name, self._size = f"{seed}:{stream}", size
        self._round, self._order = -1, list(range(size))

    def at(self, turn: int) -> int:
        """The thing of that turn, 0 to `size` - 1; the same in every process."""
        number, place = divmod(turn, self._size)
        if number != self._round:
            chooser = random.Random(f"{self._name}:{number}")  # noqa: S311
            self._round, self._order = number, chooser.sample(range(self._size), self._size)
        return self._order[place]


def recorded_for(recording: Sequence[Recorded], name: str, tier: str, *, takes_tier: bool) -> tuple[float, ...]:
    """A stream's due times in a recording: lines that name it; if it `takes_tier`, also those with only its tier."""
    return tuple(
        line.at_s
        for line in recording
        if line.stream == name or (takes_tier and line.stream is None and line.tier == tier)
    )
