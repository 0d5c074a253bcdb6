"""The tiered deployment of `tierdrill kubernetes demo` on a cluster of the rig, and its environment document."""

from __future__ import annotations

import base64
import json
import secrets
import shutil
import subprocess
from pathlib import Path

from .build import binaries
from .image import NAME as IMAGE
from .instance import DEFAULT, FIRST_PORT, NODE_GRACE_S, PORTS, Instance, RigError, run
from .lifetime import wait_for_nodes
from .node import GPUS, SYSTEM, SYSTEM_LABEL, Node
from .programs import say

CHECKOUT = Path(__file__).parents[3]
ENVIRONMENT = Path(__file__).parent.parent / "environment.yaml"
BESIDE = tuple(ENVIRONMENT.with_name(f"{name}.yaml") for name in ("tiers", "workloads"))
SERVICES = "10.96.77.0/28"
ROLLED_OUT_WITHIN_S = 180


def add_platform(instance: Instance) -> None:
    """Until all of it is rolled out. Doing it again changes only what has changed."""
    if not instance.facts.get("system"):
        instance.write_facts(instance.facts | {"system": 1})
    node = Node(instance, SYSTEM, binaries())
    if not node.on:
        node.power_on()
        wait_for_nodes(instance, [SYSTEM])
    token = instance.folder / "platform.token"
    if not token.exists():
        _write_secret(token, secrets.token_hex(24))
    where = ("--service-network", SERVICES, "--system-nodes", f"{SYSTEM_LABEL}=true", "--token-file", str(token))
    how = ("--gpus", str(GPUS), "--node-grace", f"{NODE_GRACE_S}s")
    objects = _tierdrill("demo", "--environment", str(ENVIRONMENT), "--image", IMAGE, "--host-python", *where, *how)
    _kubectl(instance, "apply", "-f", "-", text=objects)
    for kind, namespace in (("Deployment", "serving"), ("Deployment", "monitoring"), ("DaemonSet", "monitoring")):
        timeout = f"--timeout={ROLLED_OUT_WITHIN_S}s"
        for name in _kubectl(instance, "-n", namespace, "get", kind, "-o", "name").split():
            _kubectl(instance, "-n", namespace, "rollout", "status", name, timeout)
    login = json.loads(_kubectl(instance, "-n", "monitoring", "get", "secret", "login", "-o", "json"))
    _write_secret(instance.folder / "monitoring.password", base64.b64decode(login["data"]["password"]).decode())
    uid = _kubectl(instance, "get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}")
    environment = write_environment(instance, uid)
    roles = _tierdrill("rbac", "--environment", str(environment), "--for", "node-loss")
    _kubectl(instance, "apply", "-f", "-", text=roles)
    say(f"  platform rolled out: {environment}")


def write_environment(instance: Instance, uid: str) -> Path:
    """The committed document with this instance's name, ports and folders, and the uid of its cluster."""
    text = ENVIRONMENT.read_text()
    changes = {f":{FIRST_PORT + offset}": f":{instance.port(name)}" for name, offset in PORTS.items()}
    changes[f"~/.cache/tierdrill/cluster/run/{DEFAULT}/"] = f"{instance.folder}/"
    changes[f"context: tierdrill-{DEFAULT}"] = f"context: tierdrill-{instance.name}\n  cluster: {uid}"
    changes["[tests/cluster/cluster, --name, drill,"] = f"[{ENVIRONMENT.parent}/cluster, --name, {instance.name},"
    for old, new in changes.items():
        if old not in text and old != f":{FIRST_PORT + PORTS['api']}":
            raise RigError(f"{ENVIRONMENT}: {old} is not in it")
        text = text.replace(old, new)
    path = instance.folder / "environment.yaml"
    path.write_text(text)
    for other in BESIDE:
        shutil.copy(other, path.parent)
    return path


def _tierdrill(*arguments: str) -> str:
    """`tierdrill kubernetes ...` of this checkout."""
    return run(str(CHECKOUT / "drill"), "kubernetes", *arguments)


def _write_secret(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def _kubectl(instance: Instance, *arguments: str, text: str | None = None) -> str:
    argv = [str(binaries() / "kubectl"), "--kubeconfig", str(instance.kubeconfig), *arguments]
    done = subprocess.run(argv, input=text, capture_output=True, text=True)
    if done.returncode:
        raise RigError(f"kubectl {' '.join(arguments[:5])}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")
    return done.stdout
