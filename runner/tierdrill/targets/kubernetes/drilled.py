"""The nodes, pods and tiers that faults are bound to, as the cluster has them now. What has not opted in, or is
protected, is refused, whatever a plan has said before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tierdrill.documents.label_selectors import Selector
from tierdrill.targets.base import TargetError
from tierdrill.targets.kubernetes.cluster_place import Place
from tierdrill.targets.kubernetes.connect import path_of
from tierdrill.targets.kubernetes.guard import namespace_refused, node_refused, pod_refused
from tierdrill.targets.kubernetes.kubernetes_fault import find
from tierdrill.targets.kubernetes.records import NodeRecord, PodRecord, Raw, node_of, pod_of
from tierdrill.targets.kubernetes.warden_program import RUN_LABEL
from tierdrill.text import listed


def node(place: Place, alias: str) -> NodeRecord:
    """The node that is meant; TargetError if it is another one since, or may not be drilled."""
    ref = place.names.ref(alias)
    found = find(place.cluster, path_of("nodes", name=ref.name))
    if found is None or found["metadata"]["uid"] != ref.uid:
        raise TargetError(f"{ref} is gone{'' if found is None else ', another one has its name'}; nothing was touched")
    record = node_of(found)
    if why := node_refused(place.settings, record):
        raise TargetError(why)
    return record


def pod(place: Place, alias: str) -> PodRecord:
    """The pod that has that name now, which may have been given to it since the run began; TargetError if there is none
    at the moment, it ends already, or it may not be drilled.
    """
    ref = place.names.ref(alias)
    found = find(place.cluster, path_of("pods", ref.namespace, ref.name))
    if found is None or found["metadata"]["uid"] != ref.uid or not lives(found):
        ref = place.names_now().ref(alias)
        found = find(place.cluster, path_of("pods", ref.namespace, ref.name))
    if found is None or found["metadata"]["uid"] != ref.uid:
        raise TargetError(f"{ref} ({alias}) was replaced since; nothing was touched")
    record = pod_of(found)
    if record.deleting or record.ended:
        raise TargetError(f"{ref} ({alias}) is ending already; nothing was touched")
    refuse_pods(place, [record])
    host = None if record.node is None else find(place.cluster, path_of("nodes", name=record.node))
    if host is not None and (why := node_refused(place.settings, node_of(host))):
        raise TargetError(f"{ref} ({alias}): {why}")
    return record


def refuse_pods(place: Place, pods: Iterable[PodRecord]) -> None:
    """TargetError for the first that may not be touched."""
    told = dict[str, str]()
    for one in pods:
        if one.namespace not in told:
            told[one.namespace] = _namespace_refused(place, one.namespace)
        if why := told[one.namespace] or pod_refused(place.settings, one):
            raise TargetError(f"{one.ref} may not be touched: {why}")


def _namespace_refused(place: Place, name: str) -> str:
    found = find(place.cluster, path_of("namespaces", name=name))
    return namespace_refused(place.settings, name, None if found is None else found["metadata"].get("labels") or {})


def tier_namespaces(place: Place, tier: str) -> tuple[str, ...]:
    """Where the pods of a tier are; TargetError if one of them may not be drilled."""
    if tier not in place.settings.tiers:
        known = listed(sorted(place.settings.tiers))
        raise TargetError(f"the environment has no kubernetes.tiers.{tier}, expected one of: {known}")
    names = place.settings.tiers[tier].namespaces
    if whys := [why for name in names if (why := _namespace_refused(place, name))]:
        raise TargetError(whys[0])
    return names


def raw_tier_pods(place: Place, tier: str) -> Iterator[Raw]:
    """The pods of a tier, as the API tells of them."""
    told = place.settings.tiers[tier]
    for namespace in told.namespaces:
        yield from place.cluster.pages(path_of("pods", namespace), labels=told.selector)


def lives(raw: Raw) -> bool:
    """Whether a pod has neither ended nor has to."""
    ended = (raw.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return not ended and "deletionTimestamp" not in raw["metadata"]


def pods_on(place: Place, node_name: str) -> list[PodRecord]:
    """The pods of the document's namespaces that run on a node and have to leave it when it is emptied: neither those
    of a DaemonSet, nor static ones, nor ours.
    """
    settings = place.settings
    found = [
        pod_of(raw)
        for namespace in settings.namespaces
        for raw in place.cluster.pages(path_of("pods", namespace), fields=f"spec.nodeName={node_name}")
    ]
    return [
        one
        for one in found
        if not one.ended and not one.mirror and RUN_LABEL not in one.labels
        if one.controller is None or one.controller[0] != "DaemonSet"
    ]


def tier_of(place: Place, record: PodRecord) -> str | None:
    """The tier whose pod that is."""
    for name, told in place.settings.tiers.items():
        if record.namespace in told.namespaces and Selector.parse(told.selector).matches(record.labels):
            return name
    return None
