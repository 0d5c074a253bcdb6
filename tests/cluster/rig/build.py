"""Builds the programs of Kubernetes, and the rig's own two, from Go modules: once for each state of their sources."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path

from .instance import RigError, cache, locked
from .programs import say

SOURCES = Path(__file__).parent.parent / "go"
GO_AT_LEAST = (1, 26)
LINKS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
OWN = ("forward", "gpus")


def sources() -> list[Path]:
    return sorted([*SOURCES.glob("go.*"), *SOURCES.glob("*/*.go")])


def binaries() -> Path:
    """Where the programs of these sources are, or will be once they are built."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources())).hexdigest()
    return cache() / "bin" / digest[:16]


def built() -> bool:
    return all((binaries() / name).exists() for name in (*LINKS, *OWN))


def go() -> str | None:
    """The Go command on PATH or where its installer puts it."""
    return shutil.which("go") or shutil.which("/usr/local/go/bin/go")


def go_version() -> tuple[int, int] | None:
    if not (found := go()):
        return None
    version = subprocess.run([found, "env", "GOVERSION"], capture_output=True, text=True, cwd="/").stdout
    match = re.match(r"go(\d+)\.(\d+)", version)
    return (int(match[1]), int(match[2])) if match else None


def build() -> Path:
    """Builds what is not built yet, and returns the folder of the programs. About 10 minutes on two cores at first."""
    with locked("build"):
        if built():
            return binaries()
        found, version = go(), go_version()
        if not found or not version or version < GO_AT_LEAST:
            raise RigError(f"Go {'.'.join(map(str, GO_AT_LEAST))} or newer is needed: {SOURCES.parent}/cluster doctor")
        kubernetes = re.search(r"k8s.io/kubernetes (v(\d+)\.(\d+)\S*)", (SOURCES / "go.mod").read_text())
        assert kubernetes
        version_at = "k8s.io/component-base/version"
        flags = f"-s -w -X {version_at}.gitVersion={kubernetes[1]}"
        flags += f" -X {version_at}.gitMajor={kubernetes[2]} -X {version_at}.gitMinor={kubernetes[3]}"
        folder = binaries()
        unfinished = folder.with_name(f"{folder.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        say("building Kubernetes from its Go modules; the first time this takes about 10 minutes on two cores")
        _run_go([found, "build", "-v", "-trimpath", "-ldflags", flags, "-o", f"{unfinished}/", "./..."])
        for name in LINKS:
            (unfinished / name).symlink_to("kubernetes")
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
        for other in folder.parent.iterdir():
            if other != folder and time.time() - other.stat().st_mtime > 14 * 86400:
                shutil.rmtree(other, ignore_errors=True)
        return folder


def _run_go(argv: list[str]) -> None:
    """Tells every 15 s how many packages are compiled; RigError with Go's last lines where it fails."""
    environment = os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GOWORK": "off"}
    started = time.monotonic()
    lines: list[str] = []
    with subprocess.Popen(argv, cwd=SOURCES, env=environment, stderr=subprocess.PIPE, text=True) as child:
        over = threading.Event()

        def tell() -> None:
            while not over.wait(15):
                now = f"{len(lines)} packages, {lines[-1]}" if lines else "reading modules"
                say(f"  {time.monotonic() - started:4.0f} s: {now}")

        threading.Thread(target=tell, daemon=True).start()
        assert child.stderr
        lines.extend(line.strip() for line in child.stderr)
        over.set()
    if child.returncode:
        raise RigError("go build: " + " | ".join(lines[-3:]))
    say(f"  built in {time.monotonic() - started:.0f} s")
