"""What the faults share that hold the clocks of a lab's GPU down: the overrides that the supervisor writes, and the
proofs.

Witnesses: the node's own agent, which reads the GPU and exports its telemetry, and the replicas on it, whose token rate
is measured.
"""

import math
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

from tierdrill.lab.client import LabClient, LabError
from tierdrill.lab.node.gpu_errors import THROTTLES
from tierdrill.targets.base import Mechanism, Proof
from tierdrill.targets.lab.lab_fault import LabFault, Parameters, State, bind_gpu, seen, without_power
from tierdrill.targets.lab.token_rate import Rate, measure

MEASURED_TIMES = 3


def _bind(client: LabClient, state: State, p: Parameters) -> Parameters:
    """How fast each model's replicas on the GPU are now, the median of a few times: what slow is measured against."""
    bound = bind_gpu(client, state, p)
    healthy: dict[str, float] = {}
    for model, address in _serving_on(state, p):
        rates = [rate for _ in range(MEASURED_TIMES) if (rate := measure(address, model)) is not None]
        if rates:
            healthy[model] = statistics.median(rate.seconds_per_token for rate in rates)
    return {**bound, "seconds_per_token": healthy}


def clocks_fault(mechanism: str, throttle: str, readings: Callable[[Parameters], Mapping[str, Any]]) -> LabFault:
    """A fault that leaves `clock_percent` of the clocks, for this reason, and lets the telemetry say these readings."""

    def inject(client: LabClient, p: Parameters) -> object:
        changes = {"throttle": throttle, "clock_factor": p["clock_percent"] / 100, **readings(p)}
        return client.change_gpu(p["node"], p["gpu"], changes)

    def revert(client: LabClient, p: Parameters) -> object:
        changes = dict.fromkeys(("throttle", "clock_factor", *readings(p)))
        return client.change_gpu(p["node"], p["gpu"], changes)

    def landed(client: LabClient, p: Parameters) -> Proof:
        return _slow(client, p, throttle)

    def gone(client: LabClient, p: Parameters) -> Proof:
        return _fast_again(client, p, throttle)

    text = f"emulated GPU: overrides file with clock factor, event reasons ({throttle}) and {mechanism}"
    return LabFault(Mechanism(text, emulated=True), _bind, inject, revert, landed, gone)


def _slow(client: LabClient, p: Parameters, throttle: str) -> Proof:
    """Held down by its telemetry, and slow where somebody serves on it."""
    witness = _witness(p)
    held, told = _telemetry(client, p, throttle)
    if not held:
        return seen(False, witness, told)
    there = _measured_before(client, p)
    if there is None:
        return seen(False, witness, f"{told}; no replica is known to serve on it")
    rates = []
    for model, address in there:
        if (rate := measure(address, model)) is None:
            continue
        if rate.seconds_per_token >= _half_way(p, model):
            # The first is enough: each further model that is slow takes a second or more to be measured.
            return seen(True, witness, f"{told}; {_rate_words(p, [(rate, model)])}", rate.at)
        rates.append((rate, model))
    if there and not rates:
        return seen(False, witness, f"{told}; its replicas do not answer")
    return seen(not there, witness, f"{told}; {_rate_words(p, rates)}", time.time())


def _fast_again(client: LabClient, p: Parameters, throttle: str) -> Proof:
    """Not held down by its telemetry, and as fast as before where somebody serves on it."""
    witness = _witness(p)
    if without_power(client, p["node"]):
        return seen(True, witness, f"{p['node']} has no power")
    held, told = _telemetry(client, p, throttle)
    if held is not False:
        return seen(False, witness, told)
    there = _measured_before(client, p)
    rates = [(rate, model) for model, address in there or () if (rate := measure(address, model)) is not None]
    if there is None or (there and not rates):
        return seen(True, witness, f"{told}; its replicas do not answer, for another reason")
    fast = [rate for rate, model in rates if rate.seconds_per_token < _half_way(p, model)]
    return seen(not rates or bool(fast), witness, f"{told}; {_rate_words(p, rates)}")


def _witness(p: Parameters) -> str:
    return f"the telemetry of {p['node']} and the token rate of the replicas on GPU {p['gpu']}"


def _telemetry(client: LabClient, p: Parameters, throttle: str) -> tuple[bool | None, str]:
    """Whether that holds the GPU down (None: nobody can tell), and its readings in words.

    A GPU that reports nothing, because it is off the bus as well, is held down no longer once its overrides do not say
    so.
    """
    try:
        gpus = client.agent(p["node"])["gpus"]
    except LabError as error:
        return None, str(error)
    gpu = next((one for one in gpus if one["index"] == p["gpu"]), None)
    if gpu is None:
        return None, "its agent does not know the GPU"
    reading = gpu["telemetry"]
    if reading is None:
        return (None if gpu["settings"]["throttle"] else False), "the GPU reports nothing"
    held = int(reading["event_reasons"]) & THROTTLES[throttle] == THROTTLES[throttle]
    told = f"{reading['temperature_c']:.0f} °C, {reading['power_w']:.0f} W, {reading['clock_mhz']:.0f} MHz"
    return held, f"{told}, {'' if held else 'not '}throttled"


def _measured_before(client: LabClient, p: Parameters) -> list[tuple[str, str]] | None:
    """Model and address of who serves on the GPU now and was measured before, the fastest first; None if nobody can
    tell.
    """
    before = p["seconds_per_token"]
    try:
        there = [one for one in _serving_on(client.state(), p) if one[0] in before]
    except LabError:
        return None
    return sorted(there, key=lambda one: float(before[one[0]]))


def _half_way(p: Parameters, model: str) -> float:
    """Seconds per token half way between those of full and of throttled clocks, as ratios go."""
    healthy, clock = float(p["seconds_per_token"][model]), float(p["clock_percent"]) / 100
    return healthy / math.sqrt(clock)


def _rate_words(p: Parameters, rates: list[tuple[Rate, str]]) -> str:
    if not rates:
        return "no replica serves on it"
    before = p["seconds_per_token"]
    return ", ".join(
        f"{model} {1 / rate.seconds_per_token:.0f} tokens/s (before {1 / before[model]:.0f})" for rate, model in rates
    )


def _serving_on(state: State, p: Parameters) -> list[tuple[str, str]]:
    """Model and address of the ready replicas on the GPU."""
    return [
        (replica["model"], replica["address"])
        for replica in state["replicas"]
        if (replica.get("node"), replica.get("gpu")) == (p["node"], p["gpu"])
        and replica["ready"]
        and replica.get("address")
    ]

