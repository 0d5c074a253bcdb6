"""Remedies under the ledger's rules: what one leaves changed has its undo written down before it acts, with a lease.

So whatever becomes of the engine, its run, the reaper or `recover` gives back what it left, as they undo faults. The
entry is of the setting, not of the step: the first change writes down what the setting was, and the change that makes
it so again closes the entry, whichever remedy or rollback that was.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from tierdrill.history.ledger import Ledger, LedgerError
from tierdrill.lab.client import LabClient, LabError
from tierdrill.remedies.remedy import Setting
from tierdrill.remedies.remedy_registry import REMEDIES, settings_of
from tierdrill.targets.base import FaultOrder, Inventory, RemedyPort, RemedyResult, TargetError, is_remedy
from tierdrill.targets.lab.labs import lab_place
from tierdrill.targets.lab.leases import hold, release
from tierdrill.targets.lab.settings import is_back, put_back, read, single, undo_id, undo_order

_log = logging.getLogger("tierdrill")


class RemedyLedger:
    """RemedyPort over a lab's, for one run: its ledger knows of every change before it is made."""

    def __init__(self, port: RemedyPort, client: LabClient, home: Path, run: str, lease_s: float) -> None:
        self._port, self._client, self._home = port, client, home
        self._run, self._lease_s, self._place = run, lease_s, lab_place(client.lab, home)
        self._gateways = tuple(sorted(client.lab.gateways))
        self._orders: dict[str, FaultOrder] = {}

    async def inventory(self) -> Inventory:
        return await self._port.inventory()

    async def fact(self, name: str, subject: str) -> Any:
        return await self._port.fact(name, subject)

    async def remedy(self, action: str, arguments: dict[str, Any]) -> RemedyResult:
        """Carry it out. Refused, and not carried out, where its undo cannot be written down first."""
        settings = single(settings_of(action, arguments), self._gateways)
        try:
            await asyncio.to_thread(self._intend, settings)
        except LabError as error:
            raise TargetError(str(error)) from error
        except LedgerError as error:
            return RemedyResult(False, f"not done: its undo cannot be written down ({error})")
        # Stopped in the middle, the entries stay open: it may have happened.
        try:
            result = await self._port.remedy(action, arguments)
        except TargetError:
            await self._settled(action, arguments, settings)
            raise
        await self._settled(action, arguments, settings)
        return result

    def _intend(self, settings: Sequence[Setting]) -> None:
        if not settings:
            return
        with closing(Ledger(self._home)) as ledger:
            known = {entry.id for entry in ledger.open_faults(self._run)}
            for setting in settings:
                # Covered already: giving back must be possible with a full disk, and while everything is halted.
                if undo_id(self._run, setting) in known:
                    continue
                if halt := ledger.halted():
                    raise LedgerError(f"the kill switch is on: {halt.reason} ({halt.author})")
                order = undo_order(self._run, setting, read(self._client, setting), self._lease_s)
                ledger.keep(order.fault, self._run, order.plain(), self._place, order.lease_s)
                self._orders[order.fault] = order
                hold(self._client, order, partial(put_back, p=order.parameters))

    async def _settled(self, action: str, arguments: dict[str, Any], settings: Sequence[Setting]) -> None:
        # A restart sets nothing, and takes along all that the gateway was told.
        restarted = arguments.get(REMEDIES[action].forgets) if action in REMEDIES else None
        if settings or restarted:
            changed = {undo_id(self._run, setting) for setting in settings}
            await asyncio.to_thread(self._settle, changed, restarted)

    def _settle(self, changed: set[str], restarted: str | None) -> None:
        """Close the entries of what is as before. What is not is in force, and has an entry even where somebody has
        undone it meanwhile (its lease may have run out just before it was changed).
        """
        try:
            with closing(Ledger(self._home)) as ledger:
                orders = {fault: self._orders[fault].parameters for fault in changed & self._orders.keys()}
                entries = [entry for entry in ledger.open_faults(self._run) if is_remedy(entry)]
                open_now = {entry.id: entry.order["parameters"] for entry in entries}
                orders |= {
                    fault: parameters
                    for fault, parameters in open_now.items()
                    if fault in changed or (restarted and parameters["setting"]["gateway"] == restarted)
                }
                for fault, parameters in orders.items():
                    proof = is_back(self._client, parameters)
                    if proof.seen and fault in open_now:
                        ledger.mark(fault, "gone", proof.detail)
                        release(self._client, fault)
                    elif not proof.seen:
                        if fault not in open_now:
                            hold(self._client, self._orders[fault], partial(put_back, p=parameters))
                            ledger.keep(fault, self._run, self._orders[fault].plain(), self._place, self._lease_s)
                        ledger.mark(fault, "landed", proof.detail)
        except (LedgerError, LabError) as error:
            # What was done is done, and its undo is on the ledger.
            _log.error("ledger of remedies: %s", error)
