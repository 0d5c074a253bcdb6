"""Remedies under the ledger's rules: what one leaves changed has its undo written down before it acts, with a lease.

So whatever becomes of the engine, its run, the reaper or `recover` gives back what it left, as they undo faults. The
entry is of the setting, not of the step: the first change writes down what the setting was, and the change that makes
it so again closes the entry, whichever remedy or rollback that was.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

from tierdrill.history.ledger import Ledger, LedgerError
from tierdrill.remedies.known_remedies import REMEDIES, settings_of
from tierdrill.remedies.remedy import GATEWAY_KINDS, Setting
from tierdrill.targets.base import (
    REMEDY,
    FaultOrder,
    Inventory,
    Mechanism,
    Proof,
    RemedyPort,
    RemedyResult,
    TargetError,
    TargetKind,
    is_remedy,
)

_TARGET_KINDS: Mapping[str, TargetKind] = {
    **dict.fromkeys(("shed", "caps", "retries"), "tier"),
    **dict.fromkeys(("cordon", "weights"), "node"),
}
_log = logging.getLogger("tierdrill")


class Settings(Protocol):
    """What remedies leave changed in one place. Blocking; TargetError where the deployment refuses or is away."""

    place: dict[str, Any]
    mechanism: Mechanism
    lasting: frozenset[str]
    """The kinds of settings that stay until somebody takes them back here."""

    def gateways(self) -> Sequence[str]:
        """Every gateway by name."""

    def read(self, setting: Setting) -> Any:
        """What it is now, as plain data."""

    def is_back(self, parameters: Mapping[str, Any]) -> Proof:
        """Whether the `setting` of an order's parameters is what it was `before`."""

    def hold(self, order: FaultOrder) -> None:
        """Let the deployment itself undo the order when its lease runs out, where it can."""

    def release(self, fault: str) -> None:
        """That one was undone."""


def undo_id(run: str, setting: Setting) -> str:
    """The name of the ledger's entry."""
    return f"{run}/{REMEDY}/{setting}"


def undo_order(run: str, setting: Setting, before: Any, mechanism: Mechanism, lease_s: float) -> FaultOrder:
    """The order whose revert puts a setting back to what it was before."""
    return FaultOrder(
        fault=undo_id(run, setting),
        kind=REMEDY,
        target=str(setting),
        target_kind=_TARGET_KINDS.get(setting.kind, "service"),
        mechanism=mechanism,
        parameters={"setting": asdict(setting), "before": before},
        lease_s=lease_s,
    )


class RemedyLedger:
    """RemedyPort over a deployment's, for one run: its ledger knows of every change before it is made."""

    def __init__(self, port: RemedyPort, settings: Settings, home: Path, run: str, lease_s: float) -> None:
        self._port, self._settings, self._home = port, settings, home
        self._run, self._lease_s = run, lease_s
        self._orders: dict[str, FaultOrder] = {}

    async def inventory(self) -> Inventory:
        return await self._port.inventory()

    async def fact(self, name: str, subject: str) -> Any:
        return await self._port.fact(name, subject)

    async def remedy(self, action: str, arguments: dict[str, Any]) -> RemedyResult:
        """Carry it out. Refused, and not carried out, where its undo cannot be written down first."""
        settings = await asyncio.to_thread(self._single, settings_of(action, arguments))
        try:
            await asyncio.to_thread(self._intend, settings)
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

    def _single(self, settings: Sequence[Setting]) -> list[Setting]:
        """Each gateway's for itself, where all were meant: one may be told something else, or end, before the others.
        """
        lasting = [one for one in settings if one.kind in self._settings.lasting]
        everywhere = any(one.kind in GATEWAY_KINDS and one.gateway is None for one in lasting)
        gateways = self._settings.gateways() if everywhere else ()
        return [
            each
            for one in lasting
            for each in (
                [replace(one, gateway=name) for name in gateways]
                if one.kind in GATEWAY_KINDS and one.gateway is None
                else [one]
            )
        ]

    def _order(self, setting: Setting) -> FaultOrder:
        """The order whose revert puts a setting back to what it is now."""
        of = self._settings
        return undo_order(self._run, setting, of.read(setting), of.mechanism, self._lease_s)

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
                order = self._order(setting)
                ledger.keep(order.fault, self._run, order.plain(), self._settings.place, order.lease_s)
                self._orders[order.fault] = order
                self._settings.hold(order)

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
                    proof = self._settings.is_back(parameters)
                    if proof.seen and fault in open_now:
                        ledger.mark(fault, "gone", proof.detail)
                        self._settings.release(fault)
                    elif not proof.seen:
                        if fault not in open_now:
                            self._settings.hold(self._orders[fault])
                            ledger.keep(
                                fault, self._run, self._orders[fault].plain(), self._settings.place, self._lease_s
                            )
                        ledger.mark(fault, "landed", proof.detail)
        except (LedgerError, TargetError) as error:
            # What was done is done, and its undo is on the ledger.
            _log.error("ledger of remedies: %s", error)
