"""etcd, the API server, the controller manager and the scheduler in a network of their own, and what leads there."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from .api import Api
from .certificates import Certificates
from .instance import (
    CONTROL_ADDRESS,
    NODE_GRACE_S,
    POD_NETWORK,
    PORTS,
    SERVICE_NETWORK,
    SERVICES,
    Instance,
    RigError,
    cache,
    run,
)
from .programs import Programs, wait_until

AUDITED = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "Metadata", "users": ["admin"]},
        {"level": "Metadata", "userGroups": ["system:serviceaccounts:tierdrill"]},
        {"level": "None"},
    ],
}
"""The audit log counts the calls of whoever runs drills, and of nobody else."""
ETCD = "http://127.0.0.1:2379"
ORDER = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")


def take_slot(instance: Instance) -> int:
    """The number from which an instance's ports follow: 0 for the default one, the first free one for others."""
    taken = {json.loads(path.read_text())["slot"] for path in (cache() / "run").glob("*/facts.json")}
    return 0 if instance == Instance.named("drill") else next(slot for slot in range(1, 200) if slot not in taken)


class ControlPlane:
    def __init__(self, instance: Instance, binaries: Path) -> None:
        self.instance, self.binaries = instance, binaries
        self.programs = Programs(instance)
        self.certificates = Certificates(instance)
        self.group = instance.group.below("control-plane")

    def make_network(self) -> None:
        """One bridge, to which the nodes are wired; the host has no address there and no route."""
        run("ip", "netns", "add", self.instance.control_net)
        for arguments in ("link set lo up", "link add br0 type bridge", "link set br0 up"):
            self.instance.ip(*arguments.split())
        self.instance.ip("addr", "add", f"{CONTROL_ADDRESS}/24", "dev", "br0")
        run(*self.instance.in_control_net("sysctl", "-qw", "net.ipv4.ip_forward=1"))

    def forward(self) -> None:
        """Listens on loopback ports of this machine; connections are made from inside the cluster's network."""
        targets = {"api": f"{CONTROL_ADDRESS}:6443", **SERVICES}
        sockets, arguments = [], []
        for name in PORTS:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", self.instance.port(name)))
            except OSError as error:
                raise RigError(f"port {self.instance.port(name)} on 127.0.0.1, for {name}: {error.strerror}") from None
            listener.listen(128)
            sockets.append(listener)
            arguments.append(f"{listener.fileno()}={targets[name]}")
        pki = self.certificates.folder
        options = ("-server", f"https://{CONTROL_ADDRESS}:6443", "-ca", f"{pki}/ca.crt", "-token", f"{pki}/admin.token")
        argv = self.instance.in_control_net(str(self.binaries / "forward"), *options, *arguments)
        self.programs.start("forward", argv, self.group, [one.fileno() for one in sockets])
        for listener in sockets:
            listener.close()

    def start(self) -> None:
        """Everything, until the API server is ready; of the processors it gets half a node's share (node.WEIGHT)."""
        self.group.make().weigh(0.5)
        for name in ORDER:
            if name == "kube-controller-manager":
                self.wait_ready()
            options = getattr(self, f"_{name.replace('-', '_')}")()
            argv = self.instance.in_control_net(str(self.binaries / name), *options)
            self.programs.start(name, argv, self.group)

    def wait_ready(self, within_s: float = 120.0) -> None:
        """Until the API server says that it is; RigError where etcd or the API server ends before."""
        api = Api(self.instance)

        def ready() -> bool:
            for name in ORDER[:2]:
                if not self.programs.alive(name):
                    raise RigError(f"{name} has ended: {self.programs.last_words(name)}")
            return api.ready()

        wait_until(ready, within_s, "the API server is ready")

    def _etcd(self) -> list[str]:
        peers = "http://127.0.0.1:2380"
        return [
            f"--data-dir={self.instance.folder}/etcd",
            "--unsafe-no-fsync",
            "--log-level=error",
            f"--listen-client-urls={ETCD}",
            f"--advertise-client-urls={ETCD}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
        ]

    def _kube_apiserver(self) -> list[str]:
        pki = self.certificates.folder
        (self.instance.folder / "audit.json").write_text(json.dumps(AUDITED))
        return [
            f"--etcd-servers={ETCD}",
            "--bind-address=0.0.0.0",
            f"--advertise-address={CONTROL_ADDRESS}",
            "--secure-port=6443",
            f"--tls-cert-file={pki}/api.crt",
            f"--tls-private-key-file={pki}/api.key",
            f"--client-ca-file={pki}/ca.crt",
            f"--service-account-key-file={pki}/sa.pub",
            f"--service-account-signing-key-file={pki}/sa.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-cluster-ip-range={SERVICE_NETWORK}",
            f"--token-auth-file={self.certificates.tokens}",
            "--authorization-mode=Node,RBAC",
            "--allow-privileged=true",
            f"--kubelet-client-certificate={pki}/kubelet-client.crt",
            f"--kubelet-client-key={pki}/kubelet-client.key",
            "--kubelet-preferred-address-types=InternalIP",
            f"--audit-policy-file={self.instance.folder}/audit.json",
            f"--audit-log-path={self.programs.logs}/audit",
        ]

    def _kube_controller_manager(self) -> list[str]:
        return [
            f"--kubeconfig={self.certificates.kubeconfig('kube-controller-manager')}",
            f"--service-account-private-key-file={self.certificates.folder}/sa.key",
            f"--root-ca-file={self.certificates.ca}",
            "--use-service-account-credentials",
            "--leader-elect=false",
            "--allocate-node-cidrs=false",
            f"--cluster-cidr={POD_NETWORK}",
            f"--node-monitor-grace-period={NODE_GRACE_S}s",
            "--node-monitor-period=1s",
            "--kube-api-qps=300",
            "--kube-api-burst=600",
            "--bind-address=127.0.0.1",
        ]

    def _kube_scheduler(self) -> list[str]:
        kubeconfig = self.certificates.kubeconfig("kube-scheduler")
        return [f"--kubeconfig={kubeconfig}", "--leader-elect=false", "--bind-address=127.0.0.1"]
