"""A gateway of tierdrill's own that is told that its endpoint picker is lost; a request through it is the witness."""

from __future__ import annotations

import time

from tierdrill.lab.gateway.picker import LOST, PICKING
from tierdrill.targets.base import Mechanism, Proof, TargetError
from tierdrill.targets.kubernetes import drilled
from tierdrill.targets.kubernetes.api_errors import ApiError
from tierdrill.targets.kubernetes.gateway_admin import NEEDS, admin_of
from tierdrill.targets.kubernetes.kubernetes_fault import KubernetesFault, Parameters, Place, seen
from tierdrill.targets.kubernetes.permissions import may
from tierdrill.targets.kubernetes.pod_ends import KUBELET, still_there

WITNESS = "a request sent through the gateway"


def _bind(place: Place, p: Parameters) -> Parameters:
    if (router := admin_of(place).router(p["gateway"])) != PICKING:
        raise TargetError(f"{p['gateway']} is {router} as it is")
    ref = place.names.ref(p["gateway"]).plain()
    if (pod := still_there(place, ref)) is None:
        raise TargetError(f"pod {ref['name']} ({p['gateway']}) was replaced since; nothing was touched")
    drilled.refuse_pods(place, [pod])
    ready = sorted((one.rank, one.model) for one in place.inventory().replicas if one.ready)
    if not ready:
        raise TargetError("no replica is ready: a gateway that rejects is indistinguishable from one that cannot serve")
    return {"model": ready[0][1], "pod": ref}


def _tell(place: Place, p: Parameters, *, up: bool) -> str:
    if up and still_there(place, p["pod"]) is None:
        return f"nothing to do, pod {p['pod']['name']} is gone"
    admin_of(place).tell("picker", {"up": up}, p["gateway"])
    return "reverted"


def _ask(place: Place, p: Parameters) -> tuple[bool, str]:
    """Whether it is refused for want of a picker, and what came back. TargetError where nothing did."""
    wanted = {"model": p["model"], "prompt": "who is there", "max_tokens": 1}
    try:
        admin_of(place).asked(p["gateway"], "v1/completions", wanted)
    except ApiError as error:
        if not error.status:
            raise
        body = error.body if isinstance(error.body, str) else error.body.decode("utf-8", "replace")
        return LOST in body, f"status {error.status}{f', {LOST}' if LOST in body else ''}"
    return False, "served"


def _refuses(place: Place, p: Parameters) -> Proof:
    at = time.time()
    refused, words = _ask(place, p)
    return seen(refused, WITNESS, words, at)


def _serves(place: Place, p: Parameters) -> Proof:
    """Where it fails open requests are served as well, and the picker is lost all the same."""
    if still_there(place, p["pod"]) is None:
        return seen(True, KUBELET, f"pod {p['pod']['name']} is gone, and its lost picker with it")
    refused, words = _ask(place, p)
    router = admin_of(place).router(p["gateway"])
    return seen(not refused and router == PICKING, WITNESS, f"{words}, router {router}")


FAULT = KubernetesFault(
    Mechanism(
        "emulated endpoint picker: taken away from the gateway, which fails closed",
        emulated=True,
        landed_within_s=10.0,
        gone_within_s=30.0,
        poll_s=0.5,
    ),
    _bind,
    lambda place, p: _tell(place, p, up=False),
    _refuses,
    _serves,
    "gateway",
    (*NEEDS, *may("pods", "create", subresource="proxy", scope="drilled")),
    lambda place, p: _tell(place, p, up=True),
)
