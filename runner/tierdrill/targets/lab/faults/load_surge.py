"""Load that surges: the generator sends more, and the gateways, which count what arrives, are the witness.

A count over a moment proves nothing by itself, for arrivals scatter. It is taken until it is a thousand times likelier
at the one rate than at the other (Wald's sequential test), which is sooner the more the rates differ.
"""

import math
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tierdrill.home import run_folder
from tierdrill.lab.client import LabClient
from tierdrill.load.child_line import CONTROL_FILE, LineError, LoadLine
from tierdrill.targets.base import Mechanism, Proof, TargetError
from tierdrill.targets.lab.lab_fault import KERNEL, LabFault, Parameters, State, meant, seen

WITNESS = "the gateways' counts of arrivals"
SURE = math.log(1000.0)
LOOK_S = 3.0
POLL_S = 0.1
TIMEOUT_S = 1.0
# What has arrived has ended, holds a slot, or waits for one.
ARRIVED = ("tierdrill_requests_total", "tierdrill_inflight", "tierdrill_queue_depth")


def likelihood(count: float, seconds: float, own_rps: float, surged_rps: float) -> float:
    """The log of how many times likelier so many arrivals are at the surged rate than at the stream's own."""
    return count * math.log(surged_rps / own_rps) - (surged_rps - own_rps) * seconds


def _line(p: Parameters) -> LoadLine:
    try:
        return LoadLine.read(Path(p["control"]))
    except LineError as error:
        raise TargetError(str(error)) from error


def _bind(client: LabClient, state: State, p: Parameters) -> Parameters:
    control = str(run_folder(Path(p["home"]), str(p["fault"]).partition("/")[0]) / CONTROL_FILE)
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


def _order(p: Parameters, factor: float) -> object:
    try:
        return _line(p).ask(p["stream"], factor)
    except LineError as error:
        raise TargetError(str(error)) from error


def _begin(client: LabClient, p: Parameters) -> object:
    return _order(p, p["rate_percent"] / 100)


def _end(client: LabClient, p: Parameters) -> object:
    """A load that has ended took its surge along."""
    return _order(p, 1.0) if meant(p).lives() else None


def _surges(client: LabClient, p: Parameters) -> Proof:
    return _count(client, p, surging=True)


def _as_planned(client: LabClient, p: Parameters) -> Proof:
    if not meant(p).lives():
        return seen(True, KERNEL, f"process {p['pid']}, the load generator, has ended")
    return _count(client, p, surging=False)


def _count(client: LabClient, p: Parameters, *, surging: bool) -> Proof:
    gateways: Mapping[str, str] = client.status()["addresses"]["gateways"]
    began, clock = time.time(), time.monotonic()
    first = [arrived(address, p["tier"]) for address in gateways.values()]
    while True:
        time.sleep(POLL_S)
        seconds = time.monotonic() - clock
        now = [arrived(address, p["tier"]) for address in gateways.values()]
        # A gateway that is down serves nobody: its customers are at the others.
        counted = [
            later - before for before, later in zip(first, now, strict=True) if before is not None and later is not None
        ]
        if not counted or min(counted) < 0:
            return seen(False, WITNESS, "no gateway answers, or one was started again")
        count = sum(counted)
        ratio = likelihood(count, seconds, p["own_rps"], p["surged_rps"])
        if abs(ratio) < SURE and seconds < LOOK_S:
            continue
        detail = f"{count / seconds:.0f} {p['tier']} requests a second, {p['own_rps']:.0f} without the surge"
        # The rate was that from the moment counting began.
        return seen(ratio >= SURE if surging else ratio <= -SURE, WITNESS, detail, began)


def arrived(address: str, tier: str) -> float | None:
    """How many requests of a tier have come to a gateway; None where it does not answer."""
    try:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=TIMEOUT_S) as response:
            text = response.read().decode()
    except (OSError, ValueError):
        return None
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name in ARRIVED and sample.labels.get("tier") == tier
    )


FAULT = LabFault(
    Mechanism("more requests from the load generator, on a schedule of their own"),
    _bind,
    _begin,
    _end,
    _surges,
    _as_planned,
)
