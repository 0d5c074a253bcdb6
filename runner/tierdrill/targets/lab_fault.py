"""What the embedded lab knows of one kind of fault, as a record of functions: bind, inject, revert and the two proofs.

Each takes the lab's client and the order's parameters. `bind` also gets the control plane's state, and returns what the
others need to know of the target as it was before. A LabError means that the lab refused or did not answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tierdrill.lab.client import LabClient, LabError
from tierdrill.targets.base import Proof, TargetError

Parameters = dict[str, Any]
State = dict[str, Any]


@dataclass(frozen=True)
class LabFault:
    """How the lab does one kind of fault, and who else sees it."""

    mechanism: str
    bind: Callable[[LabClient, State, Parameters], Parameters]
    inject: Callable[[LabClient, Parameters], object]
    revert: Callable[[LabClient, Parameters], object]
    landed: Callable[[LabClient, Parameters], Proof]
    gone: Callable[[LabClient, Parameters], Proof]


def known(things: dict[str, Any], name: str, what: str) -> dict[str, Any]:
    """The thing of that name; TargetError lists those that there are."""
    if name not in things:
        raise TargetError(f"found {what} {name!r}; allowed are {', '.join(sorted(things))}")
    found: dict[str, Any] = things[name]
    return found


def seen(yes: bool, witness: str, detail: str, at: float | None = None) -> Proof:
    """A witness's word, of now unless another moment is given."""
    return Proof(yes, time.time() if at is None else at, witness, detail)


def without_power(client: LabClient, node: str) -> bool:
    """Whether the node is off: nothing on it is slow, says anything, or is seen, until it boots."""
    try:
        return bool(client.status()["power"].get(node) == "off")
    except LabError:
        return False
