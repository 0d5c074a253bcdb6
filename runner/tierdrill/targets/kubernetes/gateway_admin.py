"""What tierdrill's own gateways are told while they serve, through the API server's proxy to their pods.

So nothing but the API server has to be reachable from where tierdrill runs. A gateway's token goes in a header of its
own: the API server keeps `Authorization` for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tierdrill.credentials import SecretMissing, read_secret
from tierdrill.targets.base import TargetError
from tierdrill.targets.kubernetes.permissions import may
from tierdrill.text import read_json

if TYPE_CHECKING:
    from tierdrill.documents.models.kubernetes import GatewayAdministration, KubernetesSettings
    from tierdrill.documents.models.workloads import Workloads
    from tierdrill.targets.kubernetes.cluster_place import Place
    from tierdrill.targets.kubernetes.connect import Cluster
    from tierdrill.targets.kubernetes.names import NameTable

KEY_HEADER = "X-Admin-Token"
NEEDS = may("pods", "get", "update", subresource="proxy", scope="drilled")
ANSWER_S, HOLD_WITHIN_S = 10.0, 1.0


class GatewayAdmin:
    """The administration of all gateways, by the names that drills use. Blocking; TargetError where one refuses."""

    def __init__(self, cluster: Cluster, names: Callable[[], NameTable], told: GatewayAdministration) -> None:
        self._cluster, self._names, self._told = cluster, names, told

    def gateways(self) -> list[str]:
        """Every gateway that there is now."""
        return sorted(self._names().gateways)

    def told(self, what: str, gateway: str | None = None) -> dict[str, dict[str, Any]]:
        """Every gateway's (or one's) `flags`, `weights`, `shed`, `caps` or `picker`."""
        return {name: self._ask(name, "GET", f"admin/{what}") for name in self._meant(gateway)}

    def tell(self, what: str, changes: Mapping[str, Any], gateway: str | None = None) -> None:
        """Change settings of all gateways, or of one."""
        for name in self._meant(gateway):
            self._ask(name, "PUT", f"admin/{what}", dict(changes))

    def hold(self, seconds: float) -> list[str]:
        """Let every gateway put back, after so many seconds without another call, what it is told from now on; 0: it
        keeps what it was told. What those said that refuse or are away.
        """
        problems = []
        for name in self.gateways():
            try:
                self._ask(name, "PUT", "admin/hold", {"seconds": seconds}, HOLD_WITHIN_S)
            except TargetError as error:
                problems.append(f"{name}: {error}")
        return problems

    def router(self, gateway: str) -> str:
        """How it finds replicas: picking, fails-closed, fails-open, or down."""
        try:
            return str(self._ask(gateway, "GET", "healthz")["router"])
        except TargetError:
            if gateway in self.gateways():
                return "down"
            raise

    def _meant(self, gateway: str | None) -> list[str]:
        known = self.gateways()
        if gateway is not None and gateway not in known:
            raise TargetError(f"got gateway {gateway!r}, expected one of: {', '.join(known)}")
        return known if gateway is None else [gateway]

    def metrics(self, gateway: str) -> str:
        """What it counts, as Prometheus reads it."""
        return self._through(gateway, "GET", "metrics")

    def asked(self, gateway: str, path: str, body: Any) -> str:
        """What a gateway answers to a request as its customers make them; ApiError tells what else it said."""
        return self._through(gateway, "POST", path, body)

    def _ask(
        self, gateway: str, method: str, path: str, body: Any = None, within_s: float = ANSWER_S
    ) -> dict[str, Any]:
        try:
            found: dict[str, Any] = read_json(self._through(gateway, method, path, body, within_s))
        except ValueError as error:
            raise TargetError(f"{gateway} answers with something that is not JSON: {error}") from error
        return found

    def _through(self, gateway: str, method: str, path: str, body: Any = None, within_s: float = ANSWER_S) -> str:
        try:
            token = read_secret(**self._told.token.model_dump())
        except SecretMissing as error:
            raise TargetError(f"kubernetes.gateways.admin.token: {error}") from error
        pod = self._names().ref(gateway)
        port = f"{pod.name}:{self._told.port}"
        headers = {KEY_HEADER: token}
        return self._cluster.through(pod.namespace, port, method, path, body, headers=headers, within_s=within_s)


def admin_now(settings: KubernetesSettings, workloads: Workloads) -> GatewayAdmin | None:
    """How the gateways of a cluster are told that are there now; None where nothing says so. TargetError."""
    from tierdrill.targets.kubernetes.connect import Cluster
    from tierdrill.targets.kubernetes.survey import pods_in

    if settings.gateways is None or settings.gateways.admin is None:
        return None
    cluster = Cluster.of(settings)
    # The names that a document gives to others would have to be looked for.
    unnamed = settings.model_copy(update={"names": {}})
    names = pods_in(cluster, settings, ()).names(unnamed, workloads)
    return GatewayAdmin(cluster, lambda: names, settings.gateways.admin)


def admin_of(place: Place) -> GatewayAdmin:
    """How a place's gateways are told; TargetError where nothing says so."""
    gateways = place.settings.gateways
    if gateways is None or gateways.admin is None:
        raise TargetError("no kubernetes.gateways.admin says how gateways are told anything")
    return GatewayAdmin(place.cluster, lambda: place.names, gateways.admin)
