"""The lab's cut link: the userspace proxy that all of its traffic passes lets nothing through."""

from __future__ import annotations

from tierdrill.lab.client import LabClient
from tierdrill.targets.lab.lab_fault import LabFault, Parameters
from tierdrill.targets.lab.links import bad, bind_link, heal, set_link, well


def _cut(client: LabClient, p: Parameters) -> object:
    return set_link(client, p, "blackhole")


FAULT = LabFault("black hole in the userspace TCP proxy", bind_link, _cut, heal, bad, well)
