"""`tierdrill kubernetes cronjob`: what it prints, and what it does not carry over."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.support import ROOT, tierdrill
from tierdrill.home import agent_folder

CALENDAR = """\
apiVersion: tierdrill/v1
kind: Calendar
metadata: {name: on-cluster, owner: team-serving-core}
timezone: Europe/Berlin
environment: cluster
entries:
  - {name: crash, drill: replica-crash, cron: 0 2 * * mon-fri}
"""


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    """The shipped one, with the environment of the rig's cluster under another name and a calendar for it."""
    root = tmp_path / "catalogue"
    for folder in ("drills", "experiments", "playbooks"):
        shutil.copytree(ROOT / folder, root / folder)
    document = yaml.safe_load((ROOT / "tests" / "cluster" / "environment.yaml").read_text())
    document["metadata"]["name"] = "cluster"
    document["kubernetes"].pop("kubeconfig", None)
    document["kubernetes"]["context"] = "prod-eu"
    for tiers in (ROOT / "tests" / "cluster").glob("*.yaml"):
        if tiers.name != "environment.yaml":
            shutil.copy(tiers, root / "drills" / tiers.name)
    (root / "drills" / "cluster.yaml").write_text(yaml.safe_dump(document))
    (root / "drills" / "calendars" / "on-cluster.yaml").write_text(CALENDAR)
    return root


def printed(catalogue: Path, *options: str) -> dict[str, dict[str, Any]]:
    argv = ("--catalogue", catalogue, "kubernetes", "cronjob", "on-cluster", "--image", "example.org/t:1", *options)
    done = tierdrill(catalogue.parent / "home", *argv)
    assert done.code == 0, done.err
    return {one["kind"]: one for one in yaml.safe_load_all(done.out)}


def pod_of(objects: dict[str, dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = objects["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return found


def test_its_pod_finds_the_whole_catalogue_where_it_is_told_to_look(catalogue: Path, tmp_path: Path) -> None:
    objects = printed(catalogue)
    (volume,) = [one["configMap"] for one in pod_of(objects)["volumes"] if "configMap" in one]
    mounted = tmp_path / "mounted"
    for item in volume["items"]:
        (mounted / item["path"]).parent.mkdir(parents=True, exist_ok=True)
        (mounted / item["path"]).write_text(objects["ConfigMap"]["data"][item["key"]])
    assert volume["name"] == objects["ConfigMap"]["metadata"]["name"]
    shown = tierdrill(tmp_path / "home", "--catalogue", mounted, "schedule", "show", "on-cluster")
    assert shown.code == 0, shown.err
    assert "replica-crash" in shown.out
    (container,) = pod_of(objects)["containers"]
    assert container["command"][1:] == [
        "-P", "-m", "tierdrill", "--home", "/home/tierdrill", "--catalogue", "/catalogue", "--no-color",
        "scheduler", "--once", "--json", "--calendar", "on-cluster",
    ]  # fmt: skip


def test_its_kubeconfig_has_the_context_of_the_environment_and_no_secret(catalogue: Path) -> None:
    config = yaml.safe_load(printed(catalogue)["ConfigMap"]["data"]["kubeconfig"])
    assert [one["name"] for one in config["contexts"]] == ["prod-eu"] and config["current-context"] == "prod-eu"
    assert config["users"][0]["user"] == {"tokenFile": "/var/run/secrets/kubernetes.io/serviceaccount/token"}


def test_it_keeps_its_home_and_never_runs_beside_itself(catalogue: Path) -> None:
    objects = printed(catalogue, "--every", "15", "--secret", "prometheus:/run/secrets/prometheus", "--suspend")
    spec = objects["CronJob"]["spec"]
    assert (spec["schedule"], spec["concurrencyPolicy"], spec["suspend"]) == ("*/15 * * * *", "Forbid", True)
    claims = [one.get("persistentVolumeClaim") for one in pod_of(objects)["volumes"]]
    assert [one["claimName"] for one in claims if one] == [objects["PersistentVolumeClaim"]["metadata"]["name"]]
    (container,) = pod_of(objects)["containers"]
    assert {"name": "secret-0", "mountPath": "/run/secrets/prometheus", "readOnly": True} in container["volumeMounts"]
    kept = printed(catalogue, "--claim", "drills", "--host-python")
    assert "PersistentVolumeClaim" not in kept
    mounted = {one["hostPath"]["path"] for one in pod_of(kept)["volumes"] if "hostPath" in one}
    assert pod_of(kept)["containers"][0]["command"][0] == sys.executable
    for needed in (Path(sys.prefix), agent_folder()):
        assert any(needed.is_relative_to(folder) for folder in mounted), needed


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("nightly",), "entry replica-crash: drill replica-crash runs in environment lab, expected cluster"),
        (("on-clutser",), "did you mean on-cluster?"),
        (("on-cluster", "--secret", "prometheus"), "got 'prometheus', expected SECRET:/FOLDER"),
        (("on-cluster", "--every", "7"), "'7' is not one of"),
        (("on-cluster", "--environment", "lab"), "environment lab has target lab, expected kubernetes"),
    ],
)
def test_what_cannot_be_carried_over_is_refused(catalogue: Path, options: tuple[str, ...], words: str) -> None:
    argv = ("--catalogue", catalogue, "kubernetes", "cronjob", "--image", "example.org/t:1", *options)
    refused = tierdrill(catalogue.parent / "home", *argv)
    assert (refused.code, refused.out) == (2, "") and words in refused.err
