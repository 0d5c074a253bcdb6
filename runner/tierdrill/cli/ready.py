"""Whether there is what a drill runs in, before anything begins: what is missing is bad input, not a run."""

from __future__ import annotations

from tierdrill.cli.errors import Refusal
from tierdrill.cli.places import Surroundings


def check_place(here: Surroundings, lab: str | None) -> None:
    """Refuse a kept lab that is not up, and a machine without the programs that a lab of one's own needs."""
    if lab is not None:
        from tierdrill.lab.state import NoSuchLab, attach

        try:
            attach(here.home, lab)
        except NoSuchLab as error:
            raise Refusal(f"{error}; `tierdrill lab up --name {lab}` starts one") from error
        return
    from tierdrill.monitoring.binaries import MonitoringUnavailable, require

    try:
        require(here.tools)
    except MonitoringUnavailable as error:
        raise Refusal(f"{error}; or let `tierdrill doctor --fetch` fetch them") from error
