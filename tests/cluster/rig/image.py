"""The one image of the cluster, made without a registry: a static busybox, into which pods mount the host's Python."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sys
import sysconfig
import tarfile
from pathlib import Path
from typing import Any

NAME = "tierdrill.local/base:1"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
FOLDERS = ("bin", "dev", "etc", "proc", "root", "run", "sys", "tmp", "usr", "var")
TOOLS = ("sh", "sleep", "cat", "ls", "ip", "ps", "kill", "wget", "nc", "env")


def _add(archive: tarfile.TarFile, name: str, data: bytes = b"", mode: int = 0o644, **kind: Any) -> None:
    member = tarfile.TarInfo(name)
    member.mode, member.size = mode, len(data)
    for attribute, value in kind.items():
        setattr(member, attribute, value)
    archive.addfile(member, io.BytesIO(data))


def write(archive: Path) -> None:
    """A docker-archive, which `ctr images import` reads."""
    busybox = shutil.which("busybox") or "/bin/busybox"
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for folder in FOLDERS:
            _add(tar, folder, mode=0o1777 if folder == "tmp" else 0o755, type=tarfile.DIRTYPE)
        _add(tar, "bin/busybox", Path(busybox).read_bytes(), 0o755)
        for tool in TOOLS:
            _add(tar, f"bin/{tool}", type=tarfile.SYMTYPE, linkname="busybox")
        _add(tar, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n")
        _add(tar, "etc/group", b"root:x:0:\nnogroup:x:65534:\n")
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    config = {
        "architecture": machine,
        "os": "linux",
        "config": {"Cmd": ["sleep", "1000000000"], "Env": [f"PATH={PATH}"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    files = {
        "config.json": json.dumps(config).encode(),
        "layer.tar": layer.getvalue(),
        "manifest.json": json.dumps([{"Config": "config.json", "RepoTags": [NAME], "Layers": ["layer.tar"]}]).encode(),
    }
    with tarfile.open(archive, "w") as tar:
        for name, data in files.items():
            _add(tar, name, data)


def host_python() -> dict[str, Any]:
    """What a pod needs to run this machine's Python with this checkout's packages, all of it read-only.

    `command` begins a container's command; `volumes` go into the pod's spec, `volumeMounts` and `image` into the
    container's.
    """
    wanted = [Path(sys.prefix), Path(sys.base_prefix), Path(sysconfig.get_path("stdlib"))]
    wanted += [path for path in map(Path, ("/usr", "/lib", "/lib64", "/etc/alternatives")) if path.exists()]
    wanted += [Path(entry) for entry in sys.path if entry and Path(entry).is_dir() and "site-packages" not in entry]
    kept: list[Path] = []
    for path in sorted({path.absolute() for path in wanted}):
        if not any(path.is_relative_to(above) for above in kept):
            kept.append(path)
    return {
        "image": NAME,
        "command": [str(Path(sys.prefix) / "bin" / "python3")],
        "volumes": [{"name": f"host-{i}", "hostPath": {"path": str(path)}} for i, path in enumerate(kept)],
        "volumeMounts": [{"name": f"host-{i}", "mountPath": str(p), "readOnly": True} for i, p in enumerate(kept)],
    }
