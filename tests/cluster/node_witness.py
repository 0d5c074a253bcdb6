"""What faults leave on the rig's nodes, seen on the nodes themselves: their processes, networks and disks."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from processes import in_pod, read
from tests.cluster.api_witness import ApiWitness
from tests.cluster.rig.instance import Instance

LOOKS = (["iptables-save"], ["ip6tables-save"], ["tc", "qdisc", "show"])
OURS = ("tierdrill-", "netem", "tbf")
JOURNALS = "var/lib/kubelet/pods/*/volumes/kubernetes.io~empty-dir/state/journal"


def left_on_nodes(cluster: str) -> list[str]:
    """Stopped processes, agents, rules and queues of ours in any network, and journals that name a fault."""
    found, networks = [], dict[str, int]()
    for pid in sorted(Instance(cluster).group.pids()):
        words = read(pid, "cmdline").replace("\0", " ").strip()
        if read(pid, "stat").rpartition(")")[2].split()[:1] == ["T"]:
            found.append(f"stopped: {words}")
        if "--serve /tierdrill/state" in words:
            found.append(f"an agent or scout: {words}")
        if words.split(" ")[0].endswith("/kubelet"):
            found += [f"journal {one}" for one in _written(Path(f"/proc/{pid}/root"))]
        try:
            networks.setdefault(str(Path(f"/proc/{pid}/ns/net").readlink()), pid)
        except OSError:  # it has ended meanwhile
            continue
    return [*found, *(line for pid in networks.values() for line in _rules(pid))]


def _written(root: Path) -> Iterator[Path]:
    for path in root.glob(JOURNALS):
        try:
            if path.stat().st_size:
                yield path
        except FileNotFoundError:
            continue


def _rules(pid: int) -> Iterator[str]:
    for look in LOOKS:
        done = subprocess.run(["nsenter", "-t", str(pid), "-n", *look], capture_output=True, text=True)
        yield from (line for line in done.stdout.splitlines() if any(word in line.lower() for word in OURS))


def agents_of(api: ApiWitness, namespace: str) -> list[int]:
    """The pids, as this machine numbers them, of the agents whose pods are in a namespace."""
    pods = api.get(f"/api/v1/namespaces/{namespace}/pods", labelSelector="tierdrill.io/part=agent")["items"]
    return [one.pid for pod in pods for one in in_pod(pod["metadata"]["uid"]) if "--serve" in read(one.pid, "cmdline")]
