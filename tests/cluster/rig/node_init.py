"""Process 1 of a node, in namespaces of its own: runs containerd, kubelet, kube-proxy and the emulated GPUs.

What ends is started again.

    node_init.py SETTINGS.json
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

SETTINGS = json.loads(Path(sys.argv[1]).read_text())
FOLDER = SETTINGS["folder"]
CONTAINERD = "/run/containerd/containerd.sock"
FILES = {
    "/proc/sys/kernel/random/boot_id": f"{uuid.uuid4()}",
    # What a kubelet sets for the whole machine: it finds it set here, and leaves the machine's as it is.
    "/proc/sys/vm/overcommit_memory": "1",
    "/proc/sys/kernel/panic": "10",
    "/proc/sys/kernel/panic_on_oops": "1",
    "/proc/sys/kernel/keys/root_maxkeys": "1000000",
    "/proc/sys/kernel/keys/root_maxbytes": "25000000",
}
CNI = {
    "cniVersion": "0.4.0",
    "name": "pods",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": True,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "dataDir": "/run/containerd/addresses",
                "ranges": [[{"subnet": SETTINGS["pods"]}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}
CONTAINERD_SETTINGS = """
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "tierdrill.local/base:1"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""
KUBELET = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "kind": "KubeletConfiguration",
    "authentication": {
        "anonymous": {"enabled": False},
        "webhook": {"enabled": True},
        "x509": {"clientCAFile": SETTINGS["ca"]},
    },
    "authorization": {"mode": "Webhook"},
    "cgroupDriver": "cgroupfs",
    "cgroupRoot": f"/{SETTINGS['group']}",
    "enforceNodeAllocatable": [],
    "failSwapOn": False,
    "failCgroupV1": False,
    "containerRuntimeEndpoint": f"unix://{CONTAINERD}",
    "evictionHard": {
        "memory.available": "0%",
        "nodefs.available": "0%",
        "imagefs.available": "0%",
        "nodefs.inodesFree": "0%",
    },
    "nodeStatusUpdateFrequency": "2s",
    "nodeLeaseDurationSeconds": 6,
    "makeIPTablesUtilChains": False,
    "localStorageCapacityIsolation": False,
    "imageMinimumGCAge": "24h",
}
PROXY = {
    "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
    "kind": "KubeProxyConfiguration",
    "mode": "iptables",
    "clusterCIDR": SETTINGS["all_pods"],
    "clientConnection": {"kubeconfig": SETTINGS["proxy_kubeconfig"]},
    "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    "hostnameOverride": SETTINGS["name"],
}
PROGRAMS = {
    "containerd": ["containerd", "-c", f"{FOLDER}/containerd.toml"],
    "kubelet": [
        f"{SETTINGS['binaries']}/kubelet",
        f"--config={FOLDER}/kubelet.json",
        f"--kubeconfig={SETTINGS['kubelet_kubeconfig']}",
        f"--hostname-override={SETTINGS['name']}",
        f"--node-ip={SETTINGS['address']}",
        "--node-labels=" + ",".join(f"{key}={value}" for key, value in SETTINGS["labels"].items()),
    ],
    "kube-proxy": [f"{SETTINGS['binaries']}/kube-proxy", f"--config={FOLDER}/proxy.json"],
    "gpus": [
        f"{SETTINGS['binaries']}/gpus",
        f"-node={SETTINGS['name']}",
        f"-count={SETTINGS['gpus']}",
        f"-unhealthy={SETTINGS['unhealthy']}",
    ],
}


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def own_files() -> None:
    """Folders and files that this node has for itself, where every program expects them."""
    mount("--make-rprivate", "/")
    for name in SETTINGS["mounts"]:
        mount("--bind", f"{FOLDER}{name}", name)
        mount("--make-rshared", name)
    for number, (name, text) in enumerate(FILES.items()):
        if Path(name).exists():
            own = Path(FOLDER, f"proc-{number}")
            own.write_text(f"{text}\n")
            mount("--bind", str(own), name)
    Path("/etc/cni/net.d").mkdir(exist_ok=True)
    Path("/etc/cni/net.d/10-pods.conflist").write_text(json.dumps(CNI))
    Path(FOLDER, "containerd.toml").write_text(CONTAINERD_SETTINGS)
    Path(FOLDER, "kubelet.json").write_text(json.dumps(KUBELET))
    Path(FOLDER, "proxy.json").write_text(json.dumps(PROXY))


def start(name: str) -> int:
    with Path(FOLDER, f"{name}.log").open("ab") as log:
        return subprocess.Popen(PROGRAMS[name], stdin=subprocess.DEVNULL, stdout=log, stderr=log).pid


def wait_for_containerd() -> None:
    for _ in range(600):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.connect(CONTAINERD)
            return
        time.sleep(0.05)
    raise SystemExit("containerd does not listen")


def main() -> None:
    socket.sethostname(SETTINGS["name"])
    own_files()
    running = {start("containerd"): "containerd"}
    wait_for_containerd()
    subprocess.run(["ctr", "-n", "k8s.io", "images", "import", SETTINGS["image"]], check=True)
    if not SETTINGS["gpus"]:
        del PROGRAMS["gpus"]
    running |= {start(name): name for name in PROGRAMS if name != "containerd"}
    while True:
        pid, _ = os.waitpid(-1, 0)
        if name := running.pop(pid, None):
            time.sleep(1)
            running[start(name)] = name


main()
