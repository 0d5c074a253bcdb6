"""Putting an exercise's faults into the lab, by the rules of every drill: intent before fault, a lease, both proofs.

What is written of them to the disk is sealed; in clear they are in this process alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from tierdrill.faults.kind import UnknownFault
from tierdrill.faults.registry import KINDS, checked_parameters
from tierdrill.history.events import Event, event
from tierdrill.history.ledger import Ledger, LedgerError
from tierdrill.history.seal import Seal
from tierdrill.history.sealed import sealed_order
from tierdrill.lab.calls import Calls
from tierdrill.lab.client import AsyncLabClient, LabError
from tierdrill.targets.base import FaultOrder, TargetError
from tierdrill.targets.places import open_place
from tierdrill.targets.undo import await_proof

XID_SETTLES_S = 0.6
SOURCE = "exercise"


class NotInjected(RuntimeError):
    """A fault was refused or not seen to land: the exercise tests nothing. The message is not for the trainee."""


class NotNow(NotInjected):
    """What was to be broken is not there at the moment; nothing was touched or written."""


class Injector:
    """The faults of one exercise."""

    def __init__(
        self,
        *,
        home: Path,
        exercise: str,
        place: Mapping[str, Any],
        seal: Seal,
        lease_s: float,
        emit: Callable[[Event], object],
    ) -> None:
        self._home, self._exercise, self._place, self._seal = home, exercise, dict(place), seal
        self._lease_s, self._emit = lease_s, emit
        self._count = 0

    async def inject(self, incident: str, kind: str, parameters: Sequence[Mapping[str, Any]], tier: str) -> list[str]:
        """Inject a fault on every target at once and wait until each was seen to land; the targets. NotInjected."""
        results = await asyncio.gather(
            *(self._one(incident, kind, dict(each), tier) for each in parameters), return_exceptions=True
        )
        failed = [result for result in results if isinstance(result, BaseException)]
        if failed and any(not isinstance(error, NotInjected) for error in failed):
            raise failed[0]
        if failed and len(failed) < len(results):
            raise NotInjected(f"on some targets only: {failed[0]}")
        if failed:
            raise failed[0]
        return [str(result) for result in results]

    async def _one(self, incident: str, kind: str, parameters: dict[str, Any], tier: str) -> str:
        self._count += 1
        fault = f"{self._exercise}/{self._count}"
        try:
            checked = checked_parameters(kind, parameters)
            order = await asyncio.to_thread(self._intend, fault, kind, checked)
        except (TargetError, LedgerError, UnknownFault, KeyError) as error:
            raise NotNow(f"{incident}: {error}") from error
        self._note("exercise.incident", incident=incident, fault=fault, kind=kind, target=order.target, tier=tier)
        self._note(
            "fault.intended",
            fault=fault,
            kind=kind,
            target=order.target,
            target_kind=order.target_kind,
            parameters=checked,
            mechanism=order.mechanism.text,
            undo=KINDS[kind].undo,
            lease_s=self._lease_s,
            planned_at=None,
            emulated=order.mechanism.emulated,
            gone_within_s=order.mechanism.gone_within_s,
        )
        since = time.time()
        port = await asyncio.to_thread(open_place, self._place)
        try:
            await asyncio.to_thread(port.inject, order)
        except TargetError as error:
            self._note("fault.failed", fault=fault, error=str(error))
            raise NotInjected(f"{incident}: {error}") from error
        self._note("fault.injected", fault=fault)
        landed, how = partial(port.landed, order, since), order.mechanism
        proof = await asyncio.to_thread(await_proof, landed, how.landed_within_s, how.poll_s)
        kind_of_event = "fault.landed" if proof.seen else "fault.not_landed"
        seen = {"effective_at": proof.at} if proof.seen else {}
        self._note(kind_of_event, fault=fault, witness=proof.witness, seen=proof.detail, **seen)
        if not proof.seen:
            raise NotInjected(f"{incident}: it was not seen to land: {proof.detail}")
        await asyncio.to_thread(self._mark_landed, fault)
        return order.target

    def _intend(self, fault: str, kind: str, parameters: dict[str, Any]) -> FaultOrder:
        port = open_place(self._place)
        order = port.bind(
            FaultOrder(
                fault=fault,
                kind=kind,
                target=KINDS[kind].target(parameters),
                target_kind=KINDS[kind].target_kind,
                mechanism=port.mechanisms()[kind],
                parameters=parameters,
                lease_s=self._lease_s,
            )
        )
        sealed = sealed_order(self._home, self._exercise, self._seal, order.plain())
        with closing(Ledger(self._home)) as ledger:
            if halt := ledger.halted():
                raise TargetError(f"the kill switch is thrown: {halt.reason} ({halt.author})")
            ledger.intend(fault, self._exercise, sealed, self._place, self._lease_s)
        return order

    def _mark_landed(self, fault: str) -> None:
        with closing(Ledger(self._home)) as ledger:
            ledger.mark(fault, "landed")

    def _note(self, kind: str, /, **data: Any) -> None:
        self._emit(event(kind, SOURCE, **data))


async def make_xid(client: AsyncLabClient, node: str, gpu: int, xid: int) -> None:
    """An XID line in a node's kernel log that means nothing: the GPU works on. LabError if the lab refuses.

    The emulation reports a change only, so what a former line left is taken away first.
    """
    await client.ask(Calls.change_gpu(node, gpu, {"xid": None}))
    await asyncio.sleep(XID_SETTLES_S)
    await client.ask(Calls.change_gpu(node, gpu, {"xid": xid}))


__all__ = ["Injector", "LabError", "NotInjected", "make_xid"]
