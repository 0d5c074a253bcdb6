"""The embedded lab as a target. What it is made of is imported when it is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tierdrill.faults.kind import kinds_in
from tierdrill.faults.known_kinds import KINDS
from tierdrill.remedies.known_remedies import REMEDIES
from tierdrill.targets.base import FaultOrder, Mechanism, Opening, Preview, Session, TargetError

if TYPE_CHECKING:
    from tierdrill.documents.catalogue import DrillSetting
    from tierdrill.documents.models.environment import Environment
    from tierdrill.documents.reading.reading_state import Absent
    from tierdrill.lab.lab_config import Means


class LabTarget:
    """The lab of an environment; without one, in the mode that is named."""

    def __init__(self, environment: Environment | None = None, *, namespaces: bool = False) -> None:
        self._namespaces = namespaces if environment is None else environment.lab.mode == "namespace"
        self._environment = environment
        self._state_store = environment is not None and environment.lab.state_store

    def mechanisms(self) -> Mapping[str, Mechanism]:
        """TargetError where this machine cannot have a lab in that mode."""
        from tierdrill.targets.lab.fault_port import mechanisms_with

        return mechanisms_with(self._means())

    def _means(self) -> Means | None:
        if not self._namespaces:
            return None
        from tierdrill.lab.network.means import NoMeans, means

        try:
            return means()
        except NoMeans as error:
            raise TargetError(f"no lab in namespace mode on this machine: {error}") from error

    def absent(self) -> Absent:
        there = kinds_in(Path(__file__).parent / "faults")
        absent: dict[str, dict[str, str]] = {}
        absent["fault"] = {kind: "the lab has no mechanism for it" for kind in KINDS if kind not in there}
        if self._environment is not None and not self._state_store:
            why = "its lab has no state store (lab.state_store)"
            absent["remedy"] = {name: why for name, one in REMEDIES.items() if one.needs == "store"}
        try:
            self._means()
        except TargetError as error:
            absent["mode"] = {"namespace": str(error)}
        return absent

    def preview(self, setting: DrillSetting, orders: Sequence[FaultOrder], fault_s: float) -> Preview | None:
        return None

    def check(self, home: Path, tools: Path, kept: str | None) -> None:
        if kept is not None:
            from tierdrill.targets.lab.labs import Labs

            lab = Labs(home).kept(kept)
            if self._namespaces and lab.means is None:
                raise TargetError(f"lab {kept} is in portable mode, and namespace mode is asked for")
            return
        self._means()
        from tierdrill.monitoring.binaries import MonitoringUnavailable, require, require_etcd

        try:
            require(tools)
            if self._state_store:
                require_etcd(tools)
        except MonitoringUnavailable as error:
            raise TargetError(f"{error}; or run `tierdrill doctor --fetch`") from error

    async def open(self, opening: Opening) -> Session:
        from tierdrill.targets.lab.start import open_session

        return await open_session(opening)
