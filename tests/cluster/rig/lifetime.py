"""Starts and ends whole clusters, and leaves nothing of one behind."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

from . import image
from .api import Api, usable
from .build import build
from .control_plane import ControlPlane, take_slot
from .instance import Instance, RigError, cache, locked, run
from .needs import missing
from .node import GPUS, MOUNT_POINTS, SYSTEM, Node, node_names
from .programs import say

MADE = "made.json"


def up(instance: Instance, count: int) -> None:
    """Until every node is Ready. RigError, and nothing left behind, where that fails."""
    if lacking := missing():
        raise RigError("a cluster cannot be started here: " + "; ".join(lacking))
    folder = build()
    with locked(instance.name):
        if alive(instance):
            if instance.facts["nodes"] != count:
                raise RigError(f"{instance.name} is up with {instance.facts['nodes']} nodes, not {count}: down first")
            return
        _clean(instance)
        try:
            _start(instance, count, folder)
        except BaseException:
            _clean(instance, keep_logs=True)
            raise


def _start(instance: Instance, count: int, folder: Path) -> None:
    started = time.monotonic()
    instance.folder.mkdir(parents=True)
    with locked("machine"):
        _make_mount_points()
        facts = {"slot": take_slot(instance), "nodes": count}
        instance.write_facts(facts)
    names = node_names(instance)
    control = ControlPlane(instance, folder)
    control.make_network()
    control.certificates.make([*names, SYSTEM])
    control.forward()
    image.write(instance.folder / "image.tar")
    control.start()
    proxy = {"kind": "ClusterRole", "name": "system:node-proxier", "apiGroup": "rbac.authorization.k8s.io"}
    user = {"kind": "User", "name": "system:kube-proxy", "apiGroup": "rbac.authorization.k8s.io"}
    binding = {"metadata": {"name": "kube-proxy"}, "roleRef": proxy, "subjects": [user]}
    Api(instance).create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)
    say(f"  {time.monotonic() - started:4.1f} s: API server ready")
    for name in names:
        Node(instance, name, folder).power_on()
    wait_for_nodes(instance, names)
    instance.write_facts(facts | {"complete": 1})
    say(f"  {time.monotonic() - started:4.1f} s: {count} nodes Ready")


def wait_for_nodes(instance: Instance, names: list[str], within_s: float = 120.0) -> None:
    """Until all of them are Ready and offer their GPUs."""

    def all_usable(nodes: dict[str, dict[str, Any]]) -> bool:
        wanted = {name: 0 if name == SYSTEM else GPUS for name in names}
        return all(name in nodes and usable(nodes[name], gpus) for name, gpus in wanted.items())

    Api(instance).wait("/api/v1/nodes", all_usable, within_s, f"{', '.join(names)} Ready")


def alive(instance: Instance) -> bool:
    return bool(instance.facts.get("complete") and instance.group.pids())


def down(instance: Instance) -> None:
    """Ends what `up` has started, also where `up` was killed, and removes all that it made."""
    with locked(instance.name):
        _clean(instance)


def _clean(instance: Instance, keep_logs: bool = False) -> None:
    instance.group.kill()
    if keep_logs and (instance.folder / "log").exists():
        kept = cache() / "run" / f"{instance.name}.failed"
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(instance.folder / "log", kept)
        for log in instance.folder.glob("node-*/*.log"):
            shutil.copy(log, kept / f"{log.parent.name}.{log.name}")
        say(f"logs: {kept}")
    elif not keep_logs:
        shutil.rmtree(cache() / "run" / f"{instance.name}.failed", ignore_errors=True)
    for path in Path("/run/netns").glob(f"{instance.control_net}*"):
        if path.name == instance.control_net or path.name.startswith(f"{instance.control_net}-"):
            run("ip", "netns", "del", path.name, check=False)
    instance.group.remove()
    with locked("machine"):
        shutil.rmtree(instance.folder, ignore_errors=True)
        if not list((cache() / "run").glob("*/facts.json")):
            _remove_mount_points()


def _netns_mounted() -> bool:
    """`ip netns add` mounts /run/netns over itself: the same file system, so that os.path.ismount does not see it."""
    return " /run/netns " in Path("/proc/mounts").read_text()


def _make_mount_points() -> None:
    """The folders over which nodes mount their own; which of them this machine lacked is noted, for the last `down`."""
    noted = cache() / MADE
    made = set(json.loads(noted.read_text())) if noted.exists() else set()
    for name in MOUNT_POINTS:
        for folder in (*reversed(Path(name).parents), Path(name)):
            if not folder.exists():
                made.add(str(folder))
    if not _netns_mounted():
        made.add("mount of /run/netns")
    noted.write_text(json.dumps(sorted(made)))
    for name in MOUNT_POINTS:
        Path(name).mkdir(parents=True, exist_ok=True)


def _remove_mount_points() -> None:
    noted = cache() / MADE
    made = json.loads(noted.read_text()) if noted.exists() else []
    if "mount of /run/netns" in made and _netns_mounted() and not any(Path("/run/netns").iterdir()):
        run("umount", "/run/netns", check=False)
    for name in sorted((name for name in made if name.startswith("/")), reverse=True):
        try:
            Path(name).rmdir()
        except OSError:  # somebody else uses it by now
            continue
    noted.unlink(missing_ok=True)
