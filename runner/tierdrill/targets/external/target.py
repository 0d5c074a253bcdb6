"""A platform that somebody else runs, as a target: faults come from stock experiments, playbooks from other tools."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tierdrill.faults.known_kinds import KINDS
from tierdrill.remedies.known_remedies import REMEDIES
from tierdrill.targets.base import (
    FaultOrder,
    Inventory,
    Mechanism,
    Opening,
    Preview,
    Proof,
    Session,
    TargetError,
)

if TYPE_CHECKING:
    from tierdrill.documents.catalogue import DrillSetting
    from tierdrill.documents.models.environment import Environment
    from tierdrill.documents.reading.reading_state import Absent

BY_STOCK = "its faults come from stock Chaos Toolkit experiments, with proofs in the drill"
BY_TOOLS = "its playbooks are other tools' own (engine: external)"
SABOTAGES = ("silence_alert", "flags_off", "break_remedy", "freeze_exporter")
"""What would have to be cut in the platform itself."""


class ExternalPlace:
    """The fault port of a platform on which tierdrill itself breaks nothing."""

    def mechanisms(self) -> Mapping[str, Mechanism]:
        return {}

    def inventory(self) -> Inventory:
        return Inventory((), (), (), ())

    def bind(self, order: FaultOrder) -> FaultOrder:
        raise TargetError(f"{order.kind}: {BY_STOCK}")

    def inject(self, order: FaultOrder) -> None:
        self.bind(order)

    def revert(self, order: FaultOrder) -> None:
        """Nothing was injected."""

    def landed(self, order: FaultOrder, since: float) -> Proof:
        return Proof(False, since, "", BY_STOCK)

    def gone(self, order: FaultOrder) -> Proof:
        return Proof(True, time.time(), "", BY_STOCK)


class ExternalTarget:
    """Target over what one Environment document names; without one it says only what there is."""

    def __init__(self, environment: Environment | None = None) -> None:
        self._environment = environment

    def mechanisms(self) -> Mapping[str, Mechanism]:
        return {}

    def absent(self) -> Absent:
        return {
            "fault": dict.fromkeys(KINDS, BY_STOCK),
            "remedy": dict.fromkeys(REMEDIES, BY_TOOLS),
            "sabotage": dict.fromkeys(SABOTAGES, "tierdrill changes nothing on a platform that somebody else runs"),
            "use": {"exercise": "exercises take place in the lab"},
        }

    def preview(self, setting: DrillSetting, orders: Sequence[FaultOrder], fault_s: float) -> Preview | None:
        return None

    def check(self, home: Path, tools: Path, kept: str | None) -> None:
        """Every secret and certificate that the document names is there."""
        from tierdrill.credentials import SecretMissing, ServerLogin, read_secret

        of = self._environment
        if kept is not None:
            raise TargetError(f"--lab {kept}: environment {of.metadata.name if of else ''} is no lab")
        if of is None or of.monitoring is None:
            return
        told = of.monitoring
        there = (("prometheus", told.prometheus), ("alertmanager", told.alertmanager), ("load", of.load))
        checks: list[tuple[str, Callable[[], object]]] = []
        for name, connection in there:
            if connection is not None:
                login = ServerLogin(connection.model_dump())
                checks += [(name, login.headers), (name, login.tls)]
        if told.webhook_token is not None:
            checks.append(("webhook_token", partial(read_secret, **told.webhook_token.model_dump())))
        for name, check in checks:
            try:
                check()
            except SecretMissing as error:
                raise TargetError(f"environment {of.metadata.name}, {name}: {error}") from error

    async def open(self, opening: Opening) -> Session:
        from tierdrill.targets.external.session import ExternalSession

        return ExternalSession(opening.environment, opening.workloads)
