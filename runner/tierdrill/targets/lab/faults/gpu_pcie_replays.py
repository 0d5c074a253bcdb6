"""The lab's PCIe link with errors: a counter of the GPU that rises. The witness is the node's agent."""

import time

from tierdrill.lab.client import LabClient, LabError
from tierdrill.targets.base import Mechanism, Proof
from tierdrill.targets.lab.lab_fault import LabFault, Parameters, bind_gpu, seen, without_power

FOR_REPLAYS = 5
"""A link is well again where so many should have come meanwhile, and none did."""


def _begin(client: LabClient, p: Parameters) -> object:
    return client.change_gpu(p["node"], p["gpu"], {"pcie_replays_per_s": p["per_second"]})


def _end(client: LabClient, p: Parameters) -> object:
    return client.change_gpu(p["node"], p["gpu"], {"pcie_replays_per_s": None})


def _rises(client: LabClient, p: Parameters) -> Proof:
    new, told = _new(client, p)
    return seen(bool(new), _witness(p), told)


def _stands(client: LabClient, p: Parameters) -> Proof:
    if without_power(client, p["node"]):
        return seen(True, _witness(p), f"{p['node']} has no power")
    new, told = _new(client, p)
    return seen(new == 0, _witness(p), told)


def _new(client: LabClient, p: Parameters) -> tuple[int | None, str]:
    """Replays between two looks, long enough apart for some; None where the agent does not say."""
    wait_s = FOR_REPLAYS / p["per_second"]
    try:
        before = _count(client, p)
        time.sleep(wait_s)
        after = _count(client, p)
    except LabError as error:
        return None, str(error)
    if before is None or after is None:
        return None, "the GPU reports nothing"
    return after - before, f"{after - before} new replays in {wait_s:.2g} s"


def _count(client: LabClient, p: Parameters) -> int | None:
    gpu = next(one for one in client.agent(p["node"])["gpus"] if one["index"] == p["gpu"])
    return None if gpu["telemetry"] is None else int(gpu["telemetry"]["pcie_replays"])


def _witness(p: Parameters) -> str:
    return f"the agent of {p['node']}, which reads the GPU's counter"


FAULT = LabFault(
    Mechanism("emulated GPU: overrides file, a replay counter that rises", emulated=True),
    bind_gpu,
    _begin,
    _end,
    _rises,
    _stands,
)
