"""Load that surges, wherever it goes: the generator beside the run sends more, and the gateways count what arrives.

A count over a moment proves nothing by itself, for arrivals scatter. It is taken until it is a thousand times likelier
at the one rate than at the other (Wald's sequential test), which is sooner the more the rates differ.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tierdrill.home import run_folder
from tierdrill.load.child_line import CONTROL_FILE, LineError, LoadLine
from tierdrill.process.identity import here
from tierdrill.targets.base import Mechanism, Proof, TargetError

MECHANISM = Mechanism("more requests from the load generator, on a schedule of their own")
WITNESS = "the gateways' counts of arrivals"
SURE = math.log(1000.0)
LOOK_S = 3.0
POLL_S = 0.1
# What has arrived has ended, holds a slot, or waits for one.
ARRIVED = ("tierdrill_requests_total", "tierdrill_inflight", "tierdrill_queue_depth")

Parameters = dict[str, Any]
Count = Callable[[str], Sequence[float | None]]
"""How many requests of a tier have come to each gateway; None for one that does not answer."""


def likelihood(count: float, seconds: float, own_rps: float, surged_rps: float) -> float:
    """The log of how many times likelier so many arrivals are at the surged rate than at the stream's own."""
    return count * math.log(surged_rps / own_rps) - (surged_rps - own_rps) * seconds


def bind(home: Path, p: Parameters) -> Parameters:
    """What the others need to know of the run's load generator, which is reached through a file of the run."""
    control = str(run_folder(home, str(p["fault"]).partition("/")[0]) / CONTROL_FILE)
    line = _line({"control": control})
    try:
        rates = line.ask(p["stream"])
    except LineError as error:
        raise TargetError(str(error)) from error
    if rates.stream_rps <= 0:
        raise TargetError(f"stream {p['stream']} has no rate that could grow")
    surged_rps = rates.tier_rps + (p["rate_percent"] / 100 - rates.factor) * rates.stream_rps
    return {
        "control": control,
        "tier": rates.tier,
        "own_rps": rates.tier_rps,
        "surged_rps": surged_rps,
        "pid": line.pid,
        "ticks": line.ticks,
    }


def begin(p: Parameters) -> object:
    return _order(p, p["rate_percent"] / 100)


def end(p: Parameters) -> object:
    """A load that has ended took its surge along."""
    return _order(p, 1.0) if lives(p) else None


def poison(p: Mapping[str, Any], percent: int, prompt: str) -> object:
    """Have so many of a hundred of the stream's requests ask that prompt; 0: those that are planned."""
    try:
        return _line(p).ask(p["stream"], poison_percent=percent, poison_prompt=prompt)
    except LineError as error:
        raise TargetError(str(error)) from error


def lives(p: Mapping[str, Any]) -> bool:
    """Whether the load generator that was meant is there."""
    return here(int(p["pid"]), int(p["ticks"])).lives()


def ended(p: Mapping[str, Any], kernel: str) -> Proof:
    """The kernel has no such generator any more."""
    return Proof(True, time.time(), kernel, f"process {p['pid']}, the load generator, has ended")


def counted(arrivals: Count, p: Parameters, *, surging: bool) -> Proof:
    """Whether the gateways count as many requests as there are with the surge, or without it."""
    began, clock = time.time(), time.monotonic()
    first = arrivals(p["tier"])
    while True:
        time.sleep(POLL_S)
        seconds = time.monotonic() - clock
        now = arrivals(p["tier"])
        # A gateway that is down serves nobody: its customers are at the others.
        counts = [
            later - before for before, later in zip(first, now, strict=True) if before is not None and later is not None
        ]
        if not counts or min(counts) < 0:
            return Proof(False, time.time(), WITNESS, "no gateway answers, or one was started again")
        count = sum(counts)
        ratio = likelihood(count, seconds, p["own_rps"], p["surged_rps"])
        if abs(ratio) < SURE and seconds < LOOK_S:
            continue
        detail = f"{count / seconds:.0f} {p['tier']} requests a second, {p['own_rps']:.0f} without the surge"
        # The rate was that from the moment counting began.
        return Proof(ratio >= SURE if surging else ratio <= -SURE, began, WITNESS, detail)


def arrived(text: str, tier: str) -> float:
    """How many requests of a tier have come to a gateway, by its metrics."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name in ARRIVED and sample.labels.get("tier") == tier
    )


def _line(p: Mapping[str, Any]) -> LoadLine:
    try:
        return LoadLine.read(Path(p["control"]))
    except LineError as error:
        raise TargetError(str(error)) from error


def _order(p: Parameters, factor: float) -> object:
    try:
        return _line(p).ask(p["stream"], factor)
    except LineError as error:
        raise TargetError(str(error)) from error
