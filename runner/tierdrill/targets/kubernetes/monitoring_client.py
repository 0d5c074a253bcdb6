"""The environment's Prometheus and Alertmanager, asked by blocking calls: with their logins, and no proxy of ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx

from tierdrill.credentials import SecretMissing, ServerLogin, explained
from tierdrill.targets.base import TargetError

if TYPE_CHECKING:
    from tierdrill.documents.models.environment import Environment

TIMEOUT_S = 5.0
GPUS_OF_PODS = '{__name__=~"DCGM_FI_DEV_GPU_UTIL|tierdrill_gpu_tier_rank"}'
"""What dcgm-exporter says of the GPU that a pod has, and what tierdrill's own replicas say of theirs."""
POD_LABELS = ("replica", "exported_pod", "pod")


@contextmanager
def client_of(what: str, told: Mapping[str, Any]) -> Iterator[httpx.Client]:
    """A client of the server that a connection (as JSON) describes; TargetError, begun with `what`, for all that it
    does not answer.
    """
    try:
        login = ServerLogin(told)
        verify = login.tls() or True
        with httpx.Client(
            base_url=told["url"], headers=login.headers(), verify=verify, trust_env=False, timeout=TIMEOUT_S
        ) as client:
            yield client
    except (httpx.HTTPError, SecretMissing, OSError) as error:
        raise TargetError(f"{what}: {explained(str(error))}") from error


def gpus_of_pods(environment: Environment) -> dict[str, int]:
    """The number of the GPU that each pod has on its node, by the pod's name; none where no name of the environment
    asks for it. TargetError where Prometheus does not answer.
    """
    cluster, monitoring = environment.kubernetes, environment.monitoring
    if cluster is None or monitoring is None or not any("/" in alias for alias in cluster.names):
        return {}
    with client_of("Prometheus", monitoring.prometheus.model_dump(mode="json", exclude_defaults=True)) as prometheus:
        answer = prometheus.get("/api/v1/query", params={"query": GPUS_OF_PODS}).raise_for_status()
        try:
            series = [one["metric"] for one in answer.json()["data"]["result"]]
        except (ValueError, KeyError, TypeError) as error:
            raise TargetError(f"Prometheus: {prometheus.base_url} has not answered as one: {error}") from error
    found = dict[str, int]()
    for labels in series:
        pod = next((labels[key] for key in POD_LABELS if key in labels), None)
        if pod is not None and str(labels.get("gpu", "")).isdecimal():
            found[pod] = int(labels["gpu"])
    return found
