"""`tiers capacity` and `tiers cost` of a cluster: its nodes and its models' replicas are those that it has now."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.support import copied_catalogue
from tests.kubernetes_api import KUBE_SYSTEM, FakeApi
from tests.targets.kubernetes.conftest import NODES, PODS
from tierdrill.cli.main import main

TIERS = ("critical", "standard", "best-effort")
ENVIRONMENT = {
    "apiVersion": "tierdrill/v1",
    "kind": "Environment",
    "metadata": {"name": "cluster", "owner": "tests"},
    "target": "kubernetes",
    "tiers": "serving",
    "workloads": "models",
    "cost": {"gpu_hour": 3.6, "currency": "EUR"},
}


@pytest.fixture
def catalogue(tmp_path: Path, kubeconfig: Path) -> Path:
    """The shipped documents, and an environment that is the cluster."""
    root = copied_catalogue(tmp_path / "mine")
    tiers = {name: {"namespaces": ["serving"], "selector": f"tier={name}"} for name in TIERS}
    about = {
        "kubeconfig": str(kubeconfig),
        "cluster": KUBE_SYSTEM,
        "tiers": tiers,
        "models": {"assistant": {"pod-template-hash": "7d4f"}},
    }
    (root / "drills/platform/cluster.yaml").write_text(yaml.safe_dump({**ENVIRONMENT, "kubernetes": about}))
    return root


def told(capsys: pytest.CaptureFixture[str], catalogue: Path, *command: str) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = main(["--catalogue", str(catalogue), "tiers", *command, "--environment", "cluster", "--json"])
    out, err = capsys.readouterr()
    assert out, err
    return code, json.loads(out)


def load(folder: Path) -> str:
    """Four slots of the assistant are busy, for critical."""
    path = folder / "load.jsonl"
    one = {"model": "assistant", "customer_class": "enterprise", "prompt_tokens": 8, "max_tokens": 8, "held": 2.0}
    path.write_text("".join(json.dumps({"at": 1000 + number / 2, **one}) + "\n" for number in range(200)))
    return str(path)


def test_capacity_counts_the_nodes_and_replicas_that_there_are(
    api: FakeApi, catalogue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = told(capsys, catalogue, "capacity", "--load", load(tmp_path))
    row = next(one for one in found["rows"] if (one["model"], one["tier"]) == ("assistant", "critical"))
    assert (found["nodes"], row["slots"]) == (2, [8, 4, 0])
    assert row["demand"] == pytest.approx(4.0, rel=0.05)
    del api.objects[f"{PODS}/assistant-7d4f-2"]
    del api.objects[f"{NODES}/worker-2"]
    code, found = told(capsys, catalogue, "capacity", "--load", load(tmp_path))
    row = next(one for one in found["rows"] if (one["model"], one["tier"]) == ("assistant", "critical"))
    assert (code, found["nodes"], row["slots"]) == (1, 1, [4, 0, 0])


def test_cost_prices_whole_gpus_of_a_cluster(
    catalogue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = told(capsys, catalogue, "cost", "--load", load(tmp_path))
    critical = next(one for one in found["tiers"] if one["tier"] == "critical")
    # Four slots are a replica with a GPU of its own, at a thousandth of a euro a second.
    assert (code, found["currency"]) == (0, "EUR")
    assert critical["used_gpu_s"] == pytest.approx(found["seconds"], rel=0.05)
    assert critical["used_cost"] == pytest.approx(found["seconds"] / 1000, rel=0.05)
    # Two of its slots in the assistant, which is the only model there with replicas.
    assert critical["reserved_gpu_s"] == pytest.approx(found["seconds"] / 2)
    inventory = tmp_path / "inventory.json"
    inventory.write_text('{"nodes": 2, "replicas": {"assistant": 1, "reasoner": 1}}')
    code, found = told(capsys, catalogue, "cost", "--load", load(tmp_path), "--inventory", str(inventory))
    assert found["tiers"][0]["reserved_gpu_s"] == pytest.approx(found["seconds"])
