"""The one image of the cluster, made without a registry: a static busybox, into which pods mount the host's Python."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
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
