"""What the rig needs of a machine, and what of it is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from .build import GO_AT_LEAST, built, go_version
from .cgroups import hierarchies

PROGRAMS = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "busybox": "busybox-static",
    "ip": "iproute2",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "openssl": "openssl",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "mount": "mount",
    "sysctl": "procps",
}
"""Programs, and the Debian package that has each."""
FILES = {"/usr/lib/cni/bridge": "containernetworking-plugins", "/usr/bin/python3": "python3"}
"""Files that nodes and pods use, and the Debian package of each."""


def packages() -> list[str]:
    """Debian packages to install, in alphabetical order."""
    missing = {package for program, package in PROGRAMS.items() if not shutil.which(program)}
    missing |= {package for path, package in FILES.items() if not Path(path).exists()}
    return sorted(missing)


def missing() -> list[str]:
    """One line for each thing that is not there; empty where a cluster can be started."""
    found = []
    if os.geteuid() != 0:
        found.append("root: the cluster's nodes are namespaces, control groups and mounts, which only root can make")
    if wanted := packages():
        found.append(f"programs: apt-get install {' '.join(wanted)}")
    if not built():
        version = go_version()
        if version is None or version < GO_AT_LEAST:
            have = f"found {version[0]}.{version[1]}" if version else "not found"
            found.append(
                f"Go {'.'.join(map(str, GO_AT_LEAST))} or newer, to build Kubernetes ({have}): https://go.dev/dl/"
            )
    if os.geteuid() == 0 and shutil.which("unshare"):
        found += _rights()
    return found


def _rights() -> list[str]:
    """Whether root may do here what root may do: in many containers it may not."""
    tried = ["unshare", "--net", "--mount", "--pid", "--uts", "--fork", "--mount-proc", "mount", "--make-rprivate", "/"]
    done = subprocess.run(tried, capture_output=True, text=True)
    found = [f"rights: new namespaces: {done.stderr.strip()}"] if done.returncode else []
    roots = hierarchies()
    unwritable = [str(root) for root in roots if not os.access(root, os.W_OK) or _read_only(root)]
    if not roots or unwritable:
        found.append(f"rights: control groups: {', '.join(unwritable) or '/sys/fs/cgroup'} cannot be written")
    return found


def _read_only(folder: Path) -> bool:
    return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
