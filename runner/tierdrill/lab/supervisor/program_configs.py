"""What each of the lab's programs is told at start, as its configuration file. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tierdrill.lab.lab_config import LabConfig, NodeConfig
from tierdrill.lab.network.resolver import PORT
from tierdrill.lab.replica.language_model import checksums


def fabric(config: LabConfig, listen: str | None, state: Path) -> dict[str, Any]:
    """The fabric's; its edges and rules are told to it later. A discreet lab keeps no file that shows its rules."""
    kept = {} if config.discreet else {"state": str(state)}
    return {"discreet": config.discreet, "listen": listen, "namespaces": config.means is not None, **kept}


def controller(config: LabConfig, listen: str | None) -> dict[str, Any]:
    """The controller's; it is told of the fabric once that is up."""
    return {
        "listen": listen,
        "nodes": [asdict(node) for node in config.nodes],
        "tiers": [{"name": tier.name, "rank": tier.rank, "may_preempt": tier.may_preempt} for tier in config.tiers],
        "replicas": [
            {**asdict(model), "name": f"{model.name}-{number}", "model": model.name}
            | {"rank": config.tier(model.tier).rank}
            for model in config.models
            for number in range(model.replicas)
        ],
        "node_grace_s": config.node_grace_s,
        "eviction_after_s": config.eviction_after_s,
        "spare_slots_for_rank1": config.spare_slots_for_rank1,
        "autoscale": [asdict(each) for each in config.autoscale],
        "sources": [*config.gateways, *(["prometheus"] if config.prometheus.binary is not None else [])],
        "revisions": {
            one.name: checksums(one.model_seed, one.model_size) for one in config.models if config.model_stores
        },
        "fabric": None,
        "elsewhere": config.means is not None,
    }


def model_store(config: LabConfig, listen: str, folder: Path) -> dict[str, Any]:
    models = [{key: vars(one)[key] for key in ("name", "model_seed", "model_size")} for one in config.models]
    return {"listen": listen, "folder": str(folder), "models": models}


def node(
    config: LabConfig, node: NodeConfig, controller: str, stores: Mapping[str, str], folder: Path, listen: str
) -> dict[str, Any]:
    """A node's; `controller` is the edge that leads there, `stores` those that lead to the model stores."""
    return {
        "listen": listen,
        "controller": f"http://{controller}",
        "gpus": [asdict(gpu) for gpu in node.gpus],
        "state_dir": str(folder),
        "stores": dict(stores),
        "heartbeat_s": config.heartbeat_s,
        "restart_backoff_s": config.restart_backoff_s,
    }


def gateway(
    config: LabConfig,
    controller: str,
    listen_fd: int,
    overrides: Mapping[str, float],
    state_store: Sequence[str],
    fabric: str,
) -> dict[str, Any]:
    """A gateway's; `state_store` are the edges that lead to its members, `fabric` is where names are asked for."""
    return {
        "controller": f"http://{controller}",
        "resolver": fabric if config.means is None else f"127.0.0.1:{PORT}",
        "listen_fd": listen_fd,
        "share": len(config.gateways),
        "tiers": [asdict(tier) for tier in config.tiers],
        "trusted_callers": config.trusted_callers,
        "routes": [asdict(route) for route in config.routes],
        "flags": dict(config.flags),
        "overrides": dict(overrides),
        "state_store": list(state_store),
        "autoscaled": bool(config.autoscale),
    }
