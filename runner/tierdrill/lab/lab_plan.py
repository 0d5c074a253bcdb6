"""From documents to a lab: the one place where the embedded deployment reads what people wrote."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, cast

from tierdrill.documents.models.environment import Environment
from tierdrill.documents.models.tiers import Tier, Tiers
from tierdrill.documents.models.workloads import Workloads
from tierdrill.lab.lab_config import (
    AlertmanagerConfig,
    AutoscaleConfig,
    LabConfig,
    Means,
    ModelConfig,
    PrometheusConfig,
    RouteConfig,
    TierConfig,
    check,
    make_node,
)

_T = TypeVar("_T")
MODEL_SIZE = 4096
"""Weights of the small model that replicas run."""

GATEWAY_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def lab_config(
    name: str,
    environment: Environment,
    tiers: Tiers,
    workloads: Workloads,
    *,
    prometheus: Path | None,
    alertmanager: Path | None,
    rules: Mapping[str, str],
    alertmanager_text: str,
    etcd: Path | None = None,
    outlives_starter: bool = False,
    means: Means | None = None,
) -> LabConfig:
    """The lab that an environment describes; LabConfigError if its parts do not fit together."""
    shape = environment.lab
    return check(
        LabConfig(
            name=name,
            tiers=tuple(_tier(tier) for tier in tiers.by_rank()),
            models=tuple(
                _like(
                    ModelConfig,
                    model,
                    memory_gib=float(model.memory_gib),
                    model_seed=model.seed,
                    model_size=MODEL_SIZE,
                    prefill_ms_per_token=model.service.prefill_per_token * 1000,
                    decode_ms_per_token=model.service.decode_per_token * 1000,
                )
                for model in workloads.models
            ),
            nodes=tuple(
                make_node(f"node-{number}", shape.gpus_per_node, float(shape.gpu_memory_gib), shape.gpu_model)
                for number in range(1, shape.nodes + 1)
            ),
            gateways=tuple(f"gateway-{letter}" for letter in GATEWAY_LETTERS[: shape.gateways]),
            model_stores=shape.model_stores,
            trusted_callers=shape.trusted_callers,
            flags=dict.fromkeys(shape.flags_off, False),
            autoscale=tuple(
                _like(
                    AutoscaleConfig, each, queue_wait_s=each.queue_wait, after_s=each.after, idle_s=each.idle
                )
                for each in shape.autoscale
            ),
            routes=tuple(_like(RouteConfig, route) for route in workloads.routes),
            node_grace_s=shape.node_grace,
            eviction_after_s=shape.eviction_after,
            spare_slots_for_rank1=shape.spare_slots_rank1,
            restart_backoff_s=shape.restart_backoff,
            outlives_starter=outlives_starter,
            means=means,
            environment=environment.metadata.name,
            tiers_document=tiers.metadata.name,
            etcd=str(etcd) if etcd else None,
            prometheus=PrometheusConfig(
                binary=str(prometheus) if prometheus else None,
                scrape_interval_s=environment.clock.scrape_interval,
                evaluation_interval_s=environment.clock.evaluation_interval,
                rules=dict(rules),
            ),
            alertmanager=AlertmanagerConfig(
                binary=str(alertmanager) if alertmanager else None, config=alertmanager_text
            ),
        )
    )


def _tier(tier: Tier) -> TierConfig:
    return _like(
        TierConfig,
        tier,
        queue_limit=tier.queue.limit,
        queue_wait_s=tier.queue.wait,
        deadline_s=tier.deadline,
        attempt_timeout_s=tier.attempt_timeout,
        retries=tier.retry_budget.attempts - 1,
        retry_ratio=tier.retry_budget.ratio,
    )


def _like(kind: type[_T], part: object, **others: Any) -> _T:
    """What has the same name in a part of a document, and the others."""
    same = (each.name for each in fields(cast(Any, kind)) if hasattr(part, each.name))
    return kind(**{name: getattr(part, name) for name in same} | others)
