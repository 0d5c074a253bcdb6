"""What looking at a large cluster costs: 5,000 nodes and 40,000 pods, against reading the same pages and no more.

Run: python tests/bench/bench_inventory.py [nodes] [pods]. Budget: the nodes and the tiers' pods in at most 1.3 times
the time of their raw pages, 150 MB at the most; the same plan twice is identical.

It starts a cluster of the rig (root; tests/cluster/cluster build) with its platform, ends what would change anything,
and copies one node and the pods of each model many times: a third of the pods belong to no tier of the drill.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import urllib3
import yaml
from bench_arguments import arguments
from tests.cluster.rig.instance import Instance

from tierdrill.targets.kubernetes.connect import PAGE

ROOT = Path(__file__).resolve().parents[2]
RIG = ROOT / "tests" / "cluster" / "cluster"
NAME = "bench"
RATIO_MAX, MEMORY_MB = 1.3, 150.0
SHARES = {"assistant": 0.3, "summarizer": 0.2, "draft": 0.167}
"""Of all pods; what is left is somebody else's."""
ROUNDS = 3
LOOK = """
import resource, sys, time
from tierdrill.cli.drill_documents import environment_setting
from tierdrill.cli.folders import shipped_catalogue
from tierdrill.targets.kubernetes.connect import Cluster
from tierdrill.targets.kubernetes.survey import survey
environment, tiers, workloads = environment_setting(shipped_catalogue(), sys.argv[1])
settings = environment.kubernetes
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = time.monotonic()
seen = survey(Cluster(settings.kubeconfig, settings.context, settings.cluster), settings)
took = time.monotonic() - began
pods = sum(map(len, seen.pods.values()))
print(took, before / 1024, len(seen.nodes), pods)
"""


def rig(*words: str) -> str:
    done = subprocess.run([RIG, "--name", NAME, *words], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"cluster {words[0]}: exit code {done.returncode}")
    return done.stdout


def listed(path: str) -> list[dict[str, Any]]:
    return list(json.loads(rig("kubectl", "get", "--raw", path))["items"])


def fill(nodes: int, pods: int, folder: Path) -> float:
    """Seconds that it took."""
    one = {
        pod["metadata"]["labels"].get("tierdrill.io/model"): pod for pod in listed("/api/v1/namespaces/serving/pods")
    }
    node = next(node for node in listed("/api/v1/nodes") if node["metadata"]["name"] == "node-1")
    for program in ("kube-controller-manager", "kube-scheduler"):
        rig("kill", program)
    for name in ("node-1", "node-2", "node-3"):
        rig("power", "off", name)
    groups = [{"number": int(pods * share), "prefix": model, "from": one[model]} for model, share in SHARES.items()]
    other = json.loads(json.dumps(one["draft"]))
    other["metadata"] |= {"labels": {"app": "batch"}, "namespace": "default"}
    groups.append({"number": pods - sum(group["number"] for group in groups), "prefix": "other", "from": other})
    templates = folder / "templates.json"
    templates.write_text(json.dumps({"nodes": {"number": nodes, "from": node}, "pods": groups}))
    began = time.monotonic()
    rig("exec", sys.executable, "-I", str(ROOT / "tests" / "cluster" / "rig" / "fill.py"), str(templates))
    return time.monotonic() - began


def unnamed(path: Path) -> Path:
    """The environment without `names`, beside it: which GPU serves what is not told by nodes that are off."""
    document = yaml.safe_load(path.read_text())
    del document["kubernetes"]["names"]
    other = path.with_name("environment-unnamed.yaml")
    other.write_text(yaml.safe_dump(document))
    return other


def raw_pages() -> tuple[float, float]:
    """Seconds and megabytes of the pages alone: read, and nothing made of them."""
    config = json.loads(Instance(NAME).kubeconfig.read_text())
    ca = Instance(NAME).folder / "pki" / "ca.crt"
    server = config["clusters"][0]["cluster"]["server"]
    headers = {"Authorization": f"Bearer {config['users'][0]['user']['token']}", "Accept": "application/json"}
    http = urllib3.PoolManager(ca_certs=str(ca))
    tiers = ("critical", "standard", "best-effort")
    lists = ["/api/v1/nodes?", *(f"/api/v1/namespaces/serving/pods?labelSelector=tier%3D{tier}&" for tier in tiers)]
    began, size = time.monotonic(), 0
    for path in lists:
        more = ""
        while True:
            page = http.request("GET", f"{server}{path}limit={PAGE}{more}", headers=headers).data
            size += len(page)
            if not (found := re.search(rb'"continue":"([^"]+)"', page[:2000])):
                break
            more = f"&continue={found[1].decode()}"
    return time.monotonic() - began, size / 1e6


def child(command: list[str], home: Path) -> tuple[float, float, str]:
    """Seconds, megabytes at the most, and what it has printed."""
    began = time.monotonic()
    told = os.environ | {"TIERDRILL_HOME": str(home)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=told) as one:
        assert one.stdout
        said = one.stdout.read()
        _, status, used = os.wait4(one.pid, 0)
        one.returncode = os.waitstatus_to_exitcode(status)
    if one.returncode:
        raise SystemExit(f"{command[1]}: exit code {one.returncode}")
    return time.monotonic() - began, used.ru_maxrss / 1024, said


def main() -> int:
    wanted = arguments(__doc__, nodes=5000, pods=40000)
    rig("down")
    try:
        rig("up")
        with tempfile.TemporaryDirectory() as folder:
            filled = fill(wanted.nodes, wanted.pods, Path(folder))
            print(f"{wanted.nodes} nodes and {wanted.pods} pods written in {filled:.1f} s")
            environment = unnamed(Instance(NAME).folder / "environment.yaml")
            look = [sys.executable, "-c", LOOK, str(environment)]
            rounds = [(raw_pages(), child(look, Path(folder))) for _ in range(ROUNDS)]
            command = [sys.executable, "-m", "tierdrill", "plan", "node-loss", "--environment", str(environment)]
            plans = [child(command, Path(folder)) for _ in range(2)]
    finally:
        rig("down")
    looks = [list(map(float, said.split())) for _, (_, _, said) in rounds]
    # Both of a round were measured right after each other: the machine does other things too.
    pairs = [(raw[0], one[0]) for (raw, _), one in zip(rounds, looks, strict=True)]
    pages, inventory = min(pairs, key=lambda pair: pair[1] / pair[0])
    ratio = inventory / pages
    (_, before, nodes, pods), size = looks[0], rounds[0][0][1]
    memory, same = max(most for _, (_, most, _) in rounds), plans[0][2] == plans[1][2]
    print(f"  raw pages  {pages:.1f} s, {size:.0f} MB of JSON")
    print(f"  inventory  {inventory:.1f} s for {nodes:.0f} nodes and {pods:.0f} pods", end="")
    print(f" ({ratio:.2f} times, at most {RATIO_MAX})")
    print(f"  memory     {memory:.0f} MB, {before:.0f} MB before it (at most {MEMORY_MB:.0f} MB)")
    words = "the same" if same else "NOT the same"
    print(f"  plan       {min(plans)[0]:.1f} s, {max(most for _, most, _ in plans):.0f} MB, twice {words}")
    return 0 if ratio <= RATIO_MAX and memory <= MEMORY_MB and same else 1


if __name__ == "__main__":
    sys.exit(main())
