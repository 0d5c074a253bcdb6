"""The lab's slow link: the userspace proxy that all of its traffic passes holds everything back for a time."""

from __future__ import annotations

from tierdrill.lab.client import LabClient
from tierdrill.targets.lab.lab_fault import LabFault, Parameters
from tierdrill.targets.lab.links import bad, bind_link, heal, set_link, well


def _delay(client: LabClient, p: Parameters) -> object:
    return set_link(client, p, "delay", delay_ms=p["delay_ms"])


FAULT = LabFault("delay in the userspace TCP proxy", bind_link, _delay, heal, bad, well)
