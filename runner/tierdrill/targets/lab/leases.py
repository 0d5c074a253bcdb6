"""Faults and remedies under a lease that the lab keeps by itself, for when everybody else has died.

What the lab would do is what the undo would do: the requests of the revert, recorded before anything is injected.
"""

import contextlib
from collections.abc import Callable

from tierdrill.lab.calls import Call, Json
from tierdrill.lab.client import LabClient, LabError
from tierdrill.targets.base import FaultOrder

GRACE_S = 1.0
"""By how much the lab's own lease is longer than the ledger's: the reaper, which also looks and tells, goes first."""

_NOT_FOUND = 404


class _Recorder(LabClient):
    """Notes the requests that change something; questions are answered by the lab."""

    def __init__(self, client: LabClient) -> None:
        self.lab = client.lab
        self.calls: list[Call] = []
        self._client = client

    def ask(self, call: Call) -> Json:
        if call.method == "GET":
            return self._client.ask(call)
        self.calls.append(call)
        return {"ok": True}


def hold(client: LabClient, order: FaultOrder, revert: Callable[[LabClient], object]) -> None:
    """Hand the undo in at the lab, under the order's name; LabError if the lab does not take it. A lab that an earlier
    version brought up keeps no leases.
    """
    recorder = _Recorder(client)
    revert(recorder)
    if not recorder.calls:
        return
    try:
        client.put_lease(order.fault, order.lease_s + GRACE_S, recorder.calls)
    except LabError as error:
        if error.status != _NOT_FOUND:
            raise


def release(client: LabClient, fault: str) -> None:
    with contextlib.suppress(LabError):
        client.release_lease(fault)
