from tierdrill.targets.base import Mechanism, Proof
from tierdrill.targets.kubernetes import drilled
from tierdrill.targets.kubernetes.cluster_place import Place
from tierdrill.targets.kubernetes.kubernetes_fault import KubernetesFault, Parameters, seen
from tierdrill.targets.kubernetes.node_marks import NEEDS, bind_cordon, cordon, takes_pods
from tierdrill.targets.kubernetes.permissions import may
from tierdrill.targets.kubernetes.pod_ends import evict_all, still_there
from tierdrill.targets.kubernetes.records import PodRecord
from tierdrill.text import plural


def bind(place: Place, p: Parameters) -> Parameters:
    """The node, and the pods that are to leave it, the least important tier first."""
    bound = bind_cordon(place, p)
    leaving = drilled.pods_on(place, bound["name"])
    drilled.refuse_pods(place, leaving)

    def rank(pod: PodRecord) -> tuple[int, str, str]:
        tier = drilled.tier_of(place, pod)
        return (-place.ranks[tier] if tier is not None else 0, pod.namespace, pod.name)

    return {**bound, "pods": [one.ref.plain() for one in sorted(leaving, key=rank)]}


def drain(place: Place, p: Parameters) -> None:
    """Cordon, then evict in order."""
    cordon(place, p)
    evict_all(place, p["pods"], float(p["within_s"]))


def landed(place: Place, p: Parameters) -> Proof:
    """Has every pod that was to leave ended?"""
    left = [ref["name"] for ref in p["pods"] if still_there(place, ref) is not None]
    detail = f"still there: {', '.join(left)}" if left else f"{plural(len(p['pods']), 'pod')} left node {p['name']}"
    return seen(not left, "the node", detail)


FAULT = KubernetesFault(
    Mechanism("cordon and the Eviction API, in order of rank", landed_within_s=120.0, gone_within_s=15.0, poll_s=0.5),
    bind, drain, landed, takes_pods, keeper="warden",
    needs=(*NEEDS, *may("pods", "create", subresource="eviction", scope="drilled")),
)  # fmt: skip
