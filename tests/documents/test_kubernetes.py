"""A cluster in an Environment document: what must be said of it, and what makes no sense."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.support import ROOT, copied_catalogue, tierdrill
from tests.documents.support import GOOD
from tierdrill.cli.main import main
from tierdrill.documents.catalogue_reader import load_catalogue, load_documents

GOOD_SETTINGS = """\
  context: prod
  tiers:
    critical: {namespaces: [serving], selector: "app=llm,tier in (a, b)"}
    best-effort: {namespaces: [batch], selector: tier=be}
    standard: {namespaces: [serving], selector: tier=st}
"""


def told(folder: Path, text: str) -> list[str]:
    path = folder / "environment.yaml"
    path.write_text(text)
    there = [GOOD / "drills" / name for name in ("tiers.yaml", "workloads.yaml")]
    _, problems = load_documents([path, *there], folder)
    return [str(one) for one in problems]


def environment(settings: str, target: str = "kubernetes", more: str = "") -> str:
    head = f"apiVersion: tierdrill/v1\nkind: Environment\nmetadata: {{name: prod}}\ntarget: {target}\n"
    return f"{head}tiers: default\nworkloads: default\n{more}{settings and 'kubernetes:'}\n{settings}"


def test_what_is_needed_is_little(tmp_path: Path) -> None:
    assert told(tmp_path, environment(GOOD_SETTINGS)) == []


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ("", "4:1: target: kubernetes without kubernetes; kubernetes with a context and tiers"),
        (
            GOOD_SETTINGS.replace("  context: prod\n", ""),
            "7:1: neither context nor cluster; context (of the kubeconfig), or cluster (its uid), says which one",
        ),
        (
            GOOD_SETTINGS.replace("tier=be", "'a b'"),
            "11:50: got 'a b', expected label selectors such as app=web, tier in (a, b), !canary",
        ),
        (
            GOOD_SETTINGS.replace("tier=be", "' '"),
            "11:50: a selector that selects everything; labels, such as app=web",
        ),
        (
            GOOD_SETTINGS.replace("[batch]", "[kube-public]"),
            "11:32: namespace kube-public, which kubernetes.protected.namespaces protects (kube-*); another one",
        ),
        (
            GOOD_SETTINGS.replace("[batch]", "[tierdrill]"),
            "11:32: namespace tierdrill, which is tierdrill's own; a namespace of the platform's",
        ),
        (
            GOOD_SETTINGS.replace("best-effort:", "bets-effort:"),
            "11:5: no tier named 'bets-effort', expected best-effort, critical or standard (did you mean best-effort?)",
        ),
        (
            GOOD_SETTINGS + "  names: {node-2: {hosting: critical, name: x}}\n",
            "13:11: names.node-2 says not which; name: its name in the cluster, or hosting: a tier, or serves: a model",
        ),
        (
            GOOD_SETTINGS + "  names: {node-2: {hosting: gold}}\n",
            "13:29: no tier named 'gold', expected best-effort, critical or standard",
        ),
        (
            GOOD_SETTINGS + "  names: {gateway-a: {hosting: critical}}\n",
            "13:11: names.gateway-a says not which; name: its name in the cluster",
        ),
        (
            GOOD_SETTINGS + "  external_repair: {karpenter: 0s}\n",
            "13:32: a repair after no time; a time above 0, such as 10m",
        ),
        (
            GOOD_SETTINGS + '  power: {"off": [x, "{node}"], "on": [x], state: [x, "{node}"]}\n',
            "13:33: a command without {node}; {node} stands for the node's real name",
        ),
        (
            GOOD_SETTINGS + "  protected: {nodes: ['a=b=c']}\n",
            "13:23: got 'a=b=c', expected label selectors such as app=web, tier in (a, b), !canary",
        ),
    ],
)
def test_what_is_wrong_is_told_where_it_stands(tmp_path: Path, settings: str, problem: str) -> None:
    found = told(tmp_path, environment(settings))
    assert f"environment.yaml:{problem}" in found, found
    assert len(found) == 1 or "bets-effort" in settings


def test_only_a_cluster_has_it(tmp_path: Path) -> None:
    (problem,) = told(tmp_path, environment(GOOD_SETTINGS, target="lab", more="lab: {nodes: 3}\n"))
    assert problem == "environment.yaml:8:1: kubernetes for target lab; target: kubernetes has it"


def test_a_command_takes_an_environment_from_a_file_with_the_documents_beside_it(tmp_path: Path) -> None:
    """The catalogue has neither the environment nor its tiers; a manifest that lies there too is nobody's business."""
    for name in ("tiers", "workloads"):
        text = (GOOD / "drills" / f"{name}.yaml").read_text()
        (tmp_path / f"{name}.yaml").write_text(text)
    (tmp_path / "deployment.yaml").write_text("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n")
    file = tmp_path / "prod.yaml"
    file.write_text(environment(GOOD_SETTINGS))
    kubeconfig = {"KUBECONFIG": str(tmp_path / "none")}
    asked = ("kubernetes", "check", "--environment", file)
    done = tierdrill(tmp_path / "home", *asked, **kubeconfig)
    assert done.code == 2 and "no kubeconfig at" in done.err
    file.write_text(environment(GOOD_SETTINGS.replace("context: prod", "contexts: prod")))
    done = tierdrill(tmp_path / "home", *asked, **kubeconfig)
    assert done.code == 2 and f"{file}:8:3:" in done.err and "did you mean context?" in done.err
    (tmp_path / "tiers.yaml").unlink()
    file.write_text(environment(GOOD_SETTINGS))
    done = tierdrill(tmp_path / "home", *asked, **kubeconfig)
    assert done.code == 2 and f"{file}:5:8: no Tiers document named 'default'" in done.err
    nothing = tierdrill(tmp_path / "home", "kubernetes", "check", "--environment", tmp_path / "gone.yaml")
    assert nothing.code == 2 and "no file" in nothing.err
    none = tierdrill(tmp_path / "home", "plan", "node-loss", "--environment", tmp_path / "workloads.yaml", cwd=ROOT)
    assert none.code == 2 and "holds no environment" in none.err
    lab = tierdrill(tmp_path / "home", "kubernetes", "check", cwd=ROOT)
    assert lab.code == 2 and "`tierdrill kubernetes template` prints one to begin with" in lab.err


def test_the_template_of_an_environment_is_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIERDRILL_HOME", str(tmp_path / "home"))
    root = copied_catalogue(tmp_path / "mine")
    assert main(["--catalogue", str(root), "kubernetes", "template"]) == 0
    (root / "drills" / "cluster.yaml").write_text(capsys.readouterr().out)
    catalogue, problems = load_catalogue(root)
    assert problems == []
    assert catalogue.environments["my-cluster"].target == "kubernetes"


def test_documents_of_a_cluster_are_checked_without_its_client(tmp_path: Path) -> None:
    probe = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tierdrill.cli.drill_documents import read\n"
        "files = [Path('tests/cluster', f'{name}.yaml') for name in ('environment', 'tiers', 'workloads')]\n"
        "catalogue, problems = read(Path('.'), files)\n"
        "assert not problems and 'cluster' in catalogue.environments, problems\n"
        "sys.exit(' '.join(sorted({'kubernetes', 'websocket'} & set(sys.modules))) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
