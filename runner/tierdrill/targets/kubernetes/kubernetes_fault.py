"""What a Kubernetes cluster knows of one kind of fault, as a record of functions: bind, inject, revert and two proofs.

Each takes the place and the order's parameters, and with them the `fault` they are of, its `run` and its `lease_s`.
`bind` returns what the others need to know of the target as it is now; what it returns as `undo` are the steps
(`warden_program`) that take the fault back, which the runner, the reaper, `recover` and the warden play alike.

Each file of `faults/` has one, as FAULT, and is named after the kind of fault. A witness never injects.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tierdrill.targets.base import Mechanism, Proof, TargetError
from tierdrill.targets.kubernetes.api_errors import ApiError
from tierdrill.targets.kubernetes.cluster_place import Place as Place
from tierdrill.targets.kubernetes.connect import Cluster
from tierdrill.targets.kubernetes.permissions import Permission
from tierdrill.targets.kubernetes.warden_program import (
    FAULT_LABEL,
    GONE,
    RUN_LABEL,
    Ask,
    Object,
    Step,
    UndoFailed,
    play,
    stands,
)

Parameters = dict[str, Any]
Keeper = Literal["warden", "agent", "gateway", "exporter", "runner", "none"]
"""Who undoes a fault when the runner has died: the warden, an agent on the node, the gateway or the exporter that was
told, or the reaper beside the runner alone; none where it ends by itself.
"""
PREFIX = "tierdrill.io/"
PRIORITY_AT, PRIORITY_BEFORE = "/spec/template/spec/priorityClassName", f"{PREFIX}priority-before"
"""Where a workload asks for its priority class, and the annotation with the one that it asked for before a drill."""
TAINT = f"{PREFIX}drill"
"""The key of the taint that a drill puts on a node."""
LABEL_CHARACTERS = 63
UNDO = "undo"
"""The parameter that holds the undo steps."""


def revert_by_steps(place: Place, p: Parameters) -> str:
    """Play the undo steps that were written down at bind; what they did, in words."""
    try:
        return "; ".join(play(asking(place.cluster), p.get(UNDO, [])))
    except UndoFailed as error:
        raise TargetError(str(error)) from error


@dataclass(frozen=True)
class KubernetesFault:
    """How a cluster does one kind of fault, who else sees it, what it needs, and who undoes it when the runner dies.

    `needs` are the permissions beside those of every plan. `revert` says what it did; TargetError
    where the cluster refuses or is away. `bind` returns no secrets: all of it is written down.
    """

    mechanism: Mechanism
    bind: Callable[[Place, Parameters], Parameters]
    inject: Callable[[Place, Parameters], object]
    landed: Callable[[Place, Parameters], Proof]
    gone: Callable[[Place, Parameters], Proof]
    keeper: Keeper
    needs: tuple[Permission, ...] = ()
    revert: Callable[[Place, Parameters], str] = field(default=revert_by_steps)


def asking(cluster: Cluster) -> Ask:
    """The cluster as undo steps ask it: an answer that refuses is an answer, none at all is TargetError."""

    def ask(method: str, path: str, body: Any = None, content_type: str = "application/json") -> tuple[int, Object]:
        try:
            if method == "GET":
                return 200, cluster.get(path)
            return 200, cluster.send(method, path, body, content_type=content_type)
        except ApiError as error:
            if not error.status:
                raise
            return error.status, {"message": str(error), "reason": error.reason}

    return ask


def find(cluster: Cluster, path: str) -> Object | None:
    """The object at a path, or None where there is none."""
    status, found = asking(cluster)("GET", path)
    if status == GONE:
        return None
    if status >= 400:
        raise TargetError(found["message"])
    return found


def seen(yes: bool, witness: str, detail: str, at: float | None = None) -> Proof:
    """A witness's word, of now unless another moment is given."""
    return Proof(yes, time.time() if at is None else at, witness, detail)


def mark_of(p: Mapping[str, Any]) -> str:
    """The fault's id as a label's value and a part of names: ten hexadecimal digits."""
    return hashlib.sha256(str(p["fault"]).encode()).hexdigest()[:10]


def label_value(text: str) -> str:
    """The text as a label's value may be written: as it is, or cut and told apart by a digest."""
    if len(text) <= LABEL_CHARACTERS and re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?", text):
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9]+', '-', text).strip('-')[: LABEL_CHARACTERS - 9].strip('-')}-{digest}".lstrip("-")


def labels_of(p: Mapping[str, Any]) -> dict[str, str]:
    """What every object that a fault makes is labelled with."""
    return {RUN_LABEL: label_value(str(p["run"])), FAULT_LABEL: mark_of(p)}


def made(p: Mapping[str, Any], what: str, path: str) -> Step:
    """The undo step of an object that this fault makes: it is deleted."""
    return {"what": what, "path": path, "delete": mark_of(p)}


def gone_by_steps(place: Place, p: Parameters) -> Proof:
    """Whether nothing of what the undo steps are of stands any more, by the objects as the API tells of them."""
    left = []
    for step in p.get(UNDO, []):
        found = find(place.cluster, step["path"])
        if found is not None and stands(found, step):
            left.append(step["what"])
    return seen(not left, "the cluster's objects", f"still changed: {', '.join(left)}" if left else "as before")
