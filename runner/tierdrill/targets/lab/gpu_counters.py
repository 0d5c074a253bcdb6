"""What the faults share by which a counter of a lab's GPU rises. The witness is the node's agent."""

import time
from collections.abc import Mapping
from typing import Any

from tierdrill.lab.client import LabClient, LabError
from tierdrill.targets.base import Mechanism, Proof
from tierdrill.targets.lab.lab_fault import LabFault, Parameters, bind_gpu, seen, without_power

FOR_COUNTS = 5
"""A counter stands still where so many should have come meanwhile, and none did."""


def counter_fault(mechanism: str, setting: str, reading: str, beside: Mapping[str, Any]) -> LabFault:
    """A fault by which the telemetry's `reading` grows by `per_second`, as the overrides' `setting` says; others are
    set `beside` it.
    """

    def change(client: LabClient, p: Parameters, changes: Mapping[str, Any]) -> object:
        return client.change_gpu(p["node"], p["gpu"], dict(changes))

    def told(client: LabClient, p: Parameters, *, rises: bool) -> Proof:
        witness = f"the agent of {p['node']}, which reads the GPU's counter"
        if not rises and without_power(client, p["node"]):
            return seen(True, witness, f"{p['node']} has no power")
        new, words = _new(client, p, reading)
        return seen(bool(new) if rises else new == 0, witness, words)

    return LabFault(
        Mechanism(f"emulated GPU: overrides file, {mechanism}", emulated=True),
        bind_gpu,
        lambda client, p: change(client, p, {setting: p["per_second"], **beside}),
        lambda client, p: change(client, p, dict.fromkeys((setting, *beside))),
        lambda client, p: told(client, p, rises=True),
        lambda client, p: told(client, p, rises=False),
    )


def _new(client: LabClient, p: Parameters, reading: str) -> tuple[int | None, str]:
    """How much it grew between two looks, long enough apart for some; None where the agent does not say."""
    wait_s = FOR_COUNTS / p["per_second"]
    try:
        before = _count(client, p, reading)
        time.sleep(wait_s)
        after = _count(client, p, reading)
    except LabError as error:
        return None, str(error)
    if before is None or after is None:
        return None, "the GPU reports nothing"
    return after - before, f"{after - before} new {reading.replace('_', ' ')} in {wait_s:.2g} s"


def _count(client: LabClient, p: Parameters, reading: str) -> int | None:
    gpu = next(one for one in client.agent(p["node"])["gpus"] if one["index"] == p["gpu"])
    return None if gpu["telemetry"] is None else int(gpu["telemetry"][reading])
