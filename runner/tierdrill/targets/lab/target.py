"""The embedded lab as a target. What it is made of is imported when it is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tierdrill.faults.kind import kinds_in
from tierdrill.faults.registry import KINDS
from tierdrill.targets.base import FaultOrder, Mechanism, Opening, Preview, Session, TargetError

if TYPE_CHECKING:
    from tierdrill.documents.catalogue import DrillSetting
    from tierdrill.documents.reading.reading_state import Absent


class LabTarget:
    def mechanisms(self) -> Mapping[str, Mechanism]:
        from tierdrill.targets.lab.fault_port import MECHANISMS

        return MECHANISMS

    def absent(self) -> Absent:
        there = kinds_in(Path(__file__).parent / "faults")
        return {"fault": {kind: "the lab has no mechanism for it" for kind in KINDS if kind not in there}}

    def preview(self, setting: DrillSetting, orders: Sequence[FaultOrder], fault_s: float) -> Preview | None:
        return None

    def check(self, home: Path, tools: Path, kept: str | None) -> None:
        if kept is not None:
            from tierdrill.targets.lab.labs import Labs

            Labs(home).kept(kept)
            return
        from tierdrill.monitoring.binaries import MonitoringUnavailable, require

        try:
            require(tools)
        except MonitoringUnavailable as error:
            raise TargetError(f"{error}; or run `tierdrill doctor --fetch`") from error

    async def open(self, opening: Opening) -> Session:
        from tierdrill.targets.lab.start import open_session

        return await open_session(opening)
