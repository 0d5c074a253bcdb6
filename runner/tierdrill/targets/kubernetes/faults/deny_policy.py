"""An admission policy that denies a tier's pods. A NetworkPolicy would be none where the network plugin does not
enforce it; an admission policy is enforced by the API server itself. Witness: a pod like the tier's, tried by a dry
run.
"""

from __future__ import annotations

from tierdrill.documents.label_selectors import Selector
from tierdrill.targets.base import Mechanism, Proof, TargetError
from tierdrill.targets.kubernetes import drilled
from tierdrill.targets.kubernetes.api_errors import ApiError
from tierdrill.targets.kubernetes.cluster_place import Place
from tierdrill.targets.kubernetes.connect import path_of
from tierdrill.targets.kubernetes.kubernetes_fault import (
    UNDO,
    KubernetesFault,
    Parameters,
    gone_by_steps,
    labels_of,
    made,
    mark_of,
    seen,
)
from tierdrill.targets.kubernetes.permissions import may
from tierdrill.targets.kubernetes.warden_program import Object

GROUP = "admissionregistration.k8s.io"
POLICIES, BINDINGS = "validatingadmissionpolicies", "validatingadmissionpolicybindings"
WITNESS = "a pod like the tier's, tried by a dry run"
REFUSED = (403, 422)


def bind(place: Place, p: Parameters) -> Parameters:
    """A pod like the tier's, and that it is let in as things stand."""
    namespaces = drilled.tier_namespaces(place, p["tier"])
    like = next((raw for raw in drilled.raw_tier_pods(place, p["tier"]) if drilled.lives(raw)), None)
    if like is None:
        raise TargetError(f"tier {p['tier']} has no pod to try another one like it")
    spec = {key: value for key, value in like["spec"].items() if key not in ("nodeName", "hostname")}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{_name(p)}-canary",
            "namespace": like["metadata"]["namespace"],
            "labels": like["metadata"]["labels"],
        },
        "spec": spec,
    }
    if refusal := _tried(place, pod):
        raise TargetError(f"a pod like those of tier {p['tier']} is refused already: {refusal}")
    steps = [
        made(p, f"binding of admission policy {_name(p)}", _path(BINDINGS, p)),
        made(p, f"admission policy {_name(p)}", _path(POLICIES, p)),
    ]
    return {"namespaces": list(namespaces), "pod": pod, UNDO: steps}


def _name(p: Parameters) -> str:
    return f"tierdrill-{mark_of(p)}"


def _path(what: str, p: Parameters) -> str:
    return path_of(what, name=_name(p), group=GROUP)


def _tried(place: Place, pod: Object) -> str:
    """Why a pod is refused, "" where it is let in."""
    try:
        path = path_of("pods", pod["metadata"]["namespace"])
        place.cluster.send("POST", path, pod, query={"dryRun": "All"})
    except ApiError as error:
        if error.status in REFUSED and " cannot create resource " not in str(error):
            return str(error)
        raise
    return ""


def deny(place: Place, p: Parameters) -> None:
    """Make the policy, then what puts it into force."""
    told = Selector.parse(place.settings.tiers[p["tier"]].selector)
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    where = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": p["namespaces"]}
    which = [
        {"key": one.key, "operator": one.operator, **({"values": sorted(one.values)} if one.values else {})}
        for one in told.requirements
    ]
    policy = {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "resourceRules": [rule],
            "namespaceSelector": {"matchExpressions": [where]},
            "objectSelector": {"matchExpressions": which},
        },
        "validations": [{"expression": "false", "message": f"denied by a drill of tierdrill: {p['fault']}"}],
    }
    made_of = (
        (POLICIES, "ValidatingAdmissionPolicy", policy),
        (
            BINDINGS,
            "ValidatingAdmissionPolicyBinding",
            {"policyName": _name(p), "validationActions": ["Deny"]},
        ),
    )
    for what, kind, spec in made_of:
        body = {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": {"name": _name(p), "labels": labels_of(p)}}
        place.cluster.send("POST", path_of(what, group=GROUP), {**body, "spec": spec})


def landed(place: Place, p: Parameters) -> Proof:
    """Is the pod refused by this policy?"""
    refusal = _tried(place, p["pod"])
    return seen(_name(p) in refusal, WITNESS, refusal or "it is let in")


def gone(place: Place, p: Parameters) -> Proof:
    """Is neither the policy there nor the pod refused by it?"""
    objects = gone_by_steps(place, p)
    if not objects.seen:
        return objects
    try:
        refusal = _tried(place, p["pod"])
    except ApiError as error:
        if error.status != 404:
            raise
        return seen(True, WITNESS, "its namespace is gone")
    return seen(_name(p) not in refusal, WITNESS, refusal or "it is let in")


FAULT = KubernetesFault(
    Mechanism(
        "a ValidatingAdmissionPolicy that denies new pods of the tier",
        landed_within_s=20.0,
        gone_within_s=20.0,
        poll_s=0.5,
    ),
    bind,
    deny,
    landed,
    gone,
    keeper="warden",
    needs=(
        *may("pods", "create", scope="drilled"),
        *may(POLICIES, "create", "list", group=GROUP),
        *may(BINDINGS, "create", "list", group=GROUP),
        *may(POLICIES, "get", "delete", group=GROUP, undo=True),
        *may(BINDINGS, "get", "delete", group=GROUP, undo=True),
    ),
)
