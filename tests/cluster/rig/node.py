"""A node as seen from outside: its cable, its power, whether it is frozen, and the health of its emulated GPUs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path

from .certificates import Certificates
from .instance import CONTROL_ADDRESS, POD_NETWORK, Instance, RigError, run
from .programs import Programs, wait_until

GPUS = 4
PRIVATE = {
    "lost": ("/run/containerd", "/run/netns", "/run/tierdrill"),
    "kept": ("/etc/cni", "/var/lib/cni", "/var/lib/containerd", "/var/lib/kubelet", "/var/log"),
}
"""Folders that a node has for itself: `lost` with its power, as memory is, or `kept`, as a disk is."""
UNHEALTHY_GPUS = "/run/tierdrill/gpus/unhealthy"
"""Where a node's device plugin learns which GPUs it must not offer, and the exporter of emulated ones says so."""
MOUNT_POINTS = sorted(folder for folders in PRIVATE.values() for folder in folders)
UNSHARED = ("unshare", "--mount", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc")

SYSTEM = "system"
"""The node of gateways and monitoring, where the cluster has a platform: without GPUs, and left alone by drills."""
WEIGHT, SYSTEM_WEIGHT, OWN_WEIGHT = 1.0, 4.0, 0.125
"""Of the processors, as nodes share them that are one machine: of the nodes beside each other, of the one with the
gateways (a machine of its own elsewhere), and of what a node does itself beside its pods. With equal ones whatever
starts a pod takes the processors from requests that are served.
"""
SYSTEM_LABEL, OPT_IN = "tierdrill.io/system", {"tierdrill.io/drills": "allowed"}


def node_names(instance: Instance) -> list[str]:
    """node-1 and so on, and `system` where there is one."""
    facts = instance.facts
    return [f"node-{number + 1}" for number in range(facts.get("nodes", 0))] + [SYSTEM] * facts.get("system", 0)


class Node:
    def __init__(self, instance: Instance, name: str, binaries: Path) -> None:
        names = node_names(instance)
        if name not in names:
            raise RigError(f"node: got {name!r}, expected one of {', '.join(names) or 'none: the cluster is down'}")
        self.instance, self.name, self.binaries = instance, name, binaries
        self.number = 10 if name == SYSTEM else 10 + int(name.removeprefix("node-"))
        self.labels = {SYSTEM_LABEL: "true"} if name == SYSTEM else OPT_IN
        self.gpus = 0 if name == SYSTEM else GPUS
        self.address = f"10.77.0.{self.number}"
        self.pods = f"10.244.{self.number}.0/24"
        self.net = f"td-{instance.name}-{name}"
        self.folder = instance.folder / name
        self.unhealthy = Path(f"{self.folder}{UNHEALTHY_GPUS}")
        self.group = instance.group.below(name)
        self.programs = Programs(instance)

    @property
    def on(self) -> bool:
        return self.programs.alive(self.name)

    @property
    def connected(self) -> bool:
        """Whether its cable is plugged in."""
        link = run(*self.instance.in_control_net("ip", "-j", "link", "show", self.name), check=False)
        return bool(link.strip()) and "UP" in json.loads(link)[0]["flags"]

    def power_on(self) -> None:
        """Wires and boots it. What was in memory is gone: its network, its containers; what was on disk is there."""
        if self.on:
            raise RigError(f"{self.name} is on already")
        self._clear()
        self._wire()
        for name in PRIVATE["lost"]:
            shutil.rmtree(f"{self.folder}{name}", ignore_errors=True)
        for name in MOUNT_POINTS:
            Path(f"{self.folder}{name}").mkdir(parents=True, exist_ok=True)
        self.unhealthy.mkdir(parents=True, exist_ok=True)
        settings = self.folder / "settings.json"
        settings.write_text(json.dumps(self._settings(), indent=1))
        init = (sys.executable, "-I", str(Path(__file__).with_name("node_init.py")), str(settings))
        argv = ["nsenter", f"--net=/run/netns/{self.net}", *UNSHARED, *init]
        own = self.group.below("system").make()
        self.group.weigh(SYSTEM_WEIGHT if self.name == SYSTEM else WEIGHT)
        own.weigh(OWN_WEIGHT)
        self.programs.start(self.name, argv, own)
        self._note_first_process()

    def _note_first_process(self) -> None:
        """The pid file names the node's process 1, as it is numbered outside, and not the program that made it."""
        file = self.programs.pids / self.name
        above = int(file.read_text())
        children = Path(f"/proc/{above}/task/{above}/children")
        wait_until(lambda: not self.on or bool(children.read_text().split()), 10, f"first process of {self.name}")
        if not self.on:
            raise RigError(f"{self.name} has ended: {self.programs.last_words(self.name)}")
        file.write_text(children.read_text().split()[0])

    def _settings(self) -> dict[str, object]:
        """What `node_init.py` is told."""
        certificates = Certificates(self.instance)
        return {
            "name": self.name,
            "folder": str(self.folder),
            "binaries": str(self.binaries),
            "mounts": MOUNT_POINTS,
            "address": self.address,
            "pods": self.pods,
            "all_pods": POD_NETWORK,
            "group": self.group.path,
            "gpus": self.gpus,
            "labels": self.labels,
            "unhealthy": UNHEALTHY_GPUS,
            "image": str(self.instance.folder / "image.tar"),
            "ca": str(certificates.ca),
            "kubelet_kubeconfig": str(certificates.kubeconfig(self.name)),
            "proxy_kubeconfig": str(certificates.kubeconfig("kube-proxy")),
        }

    def power_off(self) -> None:
        """Power loss: first the cable is dead, then everything on it is; nothing is written to its disk any more."""
        if not self.on:
            raise RigError(f"{self.name} is off already")
        self.instance.ip("link", "set", self.name, "down")
        os.kill(self.programs.pid(self.name) or 0, signal.SIGKILL)
        self._clear()

    def _clear(self) -> None:
        """Ends what is left of its last life, and takes its network away."""
        self.group.kill()
        self.group.remove()
        run("ip", "netns", "del", self.net, check=False)
        self.instance.ip("link", "del", self.name, check=False)

    def _wire(self) -> None:
        run("ip", "netns", "add", self.net)
        peer = ("peer", self.name, "netns", self.instance.control_net)
        run("ip", "link", "add", "eth0", "netns", self.net, "type", "veth", *peer)
        self.instance.ip("link", "set", self.name, "master", "br0", "up")
        self.instance.ip("route", "replace", self.pods, "via", self.address)
        inside = ("nsenter", f"--net=/run/netns/{self.net}")
        for arguments in (
            "link set lo up",
            # The same card at each boot, or the others would go on sending to the last one's address.
            f"link set eth0 address 02:00:0a:4d:00:{self.number:02x} up",
            f"addr add {self.address}/24 dev eth0",
        ):
            run(*inside, "ip", *arguments.split())
        run(*inside, "ip", "route", "add", "default", "via", CONTROL_ADDRESS)
        run(*inside, "sysctl", "-qw", "net.ipv4.ip_forward=1")

    def connect(self, connected: bool) -> None:
        """Plugs its cable in, or pulls it out: a partition from everything."""
        if not self.on:
            raise RigError(f"{self.name} is off")
        self.instance.ip("link", "set", self.name, "up" if connected else "down")

    def freeze(self, frozen: bool) -> None:
        """Stops every process of the node where it is, or lets them go on."""
        if not self.on:
            raise RigError(f"{self.name} is off")
        self.group.freeze(frozen)

    def set_gpu(self, index: int, healthy: bool) -> None:
        """An unhealthy one is no longer allocatable; a pod that has it keeps it."""
        if not 0 <= index < self.gpus:
            raise RigError(f"GPU: got {index}, expected one below {self.gpus}")
        file = self.unhealthy / str(index)
        if healthy:
            file.unlink(missing_ok=True)
        else:
            file.touch()

    def pid(self, program: str) -> int:
        """Of the kubelet, say, as it is numbered on this machine."""
        for pid in sorted(self.group.pids()):
            try:
                if Path(f"/proc/{pid}/comm").read_text().strip() == program[:15]:
                    return pid
            except FileNotFoundError:
                continue
        raise RigError(f"{program} does not run on {self.name}")
