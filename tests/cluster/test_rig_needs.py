"""What the rig says of a machine on which it cannot run, and what it hands to others. None of these needs a cluster."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from tests.cluster import conftest
from tests.cluster.conftest import RIG
from tests.cluster.rig import build, deployment, image, needs
from tests.cluster.rig.cgroups import CONTROLLERS, Group, hierarchies
from tests.cluster.rig.instance import PORTS, Instance, RigError


def doctor(**variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, RIG, "doctor"]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | variables)


def test_the_doctor_names_every_program_that_is_missing_by_its_package(tmp_path: Path) -> None:
    done = doctor(PATH=str(tmp_path))
    assert done.returncode == 1
    named = next(line for line in done.stdout.splitlines() if line.startswith("missing: programs: apt-get install "))
    wanted = {"busybox-static", "conntrack", "containerd", "iproute2", "iptables", "openssl", "runc", "util-linux"}
    assert set(named.split()) >= wanted


def test_the_doctor_asks_for_go_only_where_nothing_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "go_version", lambda: (1, 21))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    words = "Go 1.26 or newer, to build Kubernetes (found 1.21): https://go.dev/dl/"
    assert words in needs.missing()
    for name in (*build.LINKS, *build.OWN):
        (build.binaries() / name).parent.mkdir(parents=True, exist_ok=True)
        (build.binaries() / name).touch()
    assert words not in needs.missing()


def test_without_root_the_reason_is_the_first_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs.os, "geteuid", lambda: 1000)
    assert needs.missing()[0].startswith("root: ")
    why = conftest.why_no_rig()
    assert why is not None
    assert why.startswith("no cluster here: root: ")


def test_a_build_is_another_one_when_a_source_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "go.mod").write_text("module one\n")
    (tmp_path / "forward").mkdir()
    (tmp_path / "forward" / "main.go").write_text("package main\n")
    monkeypatch.setattr(build, "SOURCES", tmp_path)
    first = build.binaries()
    assert build.binaries() == first
    (tmp_path / "forward" / "main.go").write_text("package main // other\n")
    assert build.binaries() != first


def test_a_failing_build_ends_with_the_compilers_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\n[ $1 = env ] && echo go1.26.0 && exit\necho main.go:1: no such package >&2; exit 1\n")
    go.chmod(0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(build, "go", lambda: str(go))
    with pytest.raises(RigError, match=r"go build: .*no such package"):
        build.build()
    assert not build.built()


def test_the_image_is_one_that_a_registry_could_have_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    busybox = tmp_path / "busybox"
    busybox.write_bytes(b"program")
    monkeypatch.setattr(image, "shutil", SimpleNamespace(which=lambda name: str(busybox)))
    image.write(tmp_path / "image.tar")
    with tarfile.open(tmp_path / "image.tar") as archive:
        manifest = json.loads((archive.extractfile("manifest.json") or io.BytesIO()).read())
        layer = archive.extractfile(manifest[0]["Layers"][0])
        assert manifest[0]["RepoTags"] == [image.NAME]
        with tarfile.open(fileobj=layer) as files:
            assert files.extractfile("bin/busybox").read() == b"program"  # type: ignore[union-attr]
            assert files.getmember("bin/sh").linkname == "busybox"


def test_another_clusters_environment_differs_in_names_and_addresses_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    instance = Instance("other")
    instance.folder.mkdir(parents=True)
    instance.write_facts({"slot": 3, "nodes": 3})
    text = deployment.write_environment(instance, "uid-of-it").read_text()
    assert "run/drill" not in text
    found, committed = yaml.safe_load(text), yaml.safe_load(deployment.ENVIRONMENT.read_text())
    assert found["kubernetes"].pop("cluster") == "uid-of-it"
    assert found["kubernetes"]["kubeconfig"] == str(instance.kubeconfig)
    assert found["kubernetes"]["power"]["off"][1:3] == ["--name", "other"]
    assert found["load"]["url"] == f"http://127.0.0.1:{26400 + 300 + PORTS['gateway']}/v1"
    for name in ("tiers", "gateways", "exporter", "image"):
        assert found["kubernetes"][name].keys() == committed["kubernetes"][name].keys()


@pytest.fixture
def unified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Something that looks like cgroup v2."""
    hierarchies.cache_clear()
    monkeypatch.setattr("tests.cluster.rig.cgroups.hierarchies", lambda: (tmp_path,))
    (tmp_path / "cgroup.subtree_control").touch()
    return tmp_path


def test_with_cgroup_v2_a_nodes_group_hands_every_controller_on_and_has_no_process_itself(unified: Path) -> None:
    written: list[tuple[str, str]] = []
    original = Path.mkdir

    def mkdir(self: Path, *arguments: object, **more: object) -> None:
        original(self, *arguments, **more)  # type: ignore[arg-type]
        if self.is_relative_to(unified):
            (self / "cgroup.subtree_control").touch()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "mkdir", mkdir)
        patch.setattr(
            "tests.cluster.rig.cgroups._try_to_write",
            lambda path, text: written.append((str(path.parent.relative_to(unified)), text)),
        )
        Group("rig/node-1/system").make()
    handed_on = {folder for folder, text in written if text == "+memory"}
    assert handed_on == {".", "rig", "rig/node-1"}
    assert {text for _, text in written} == {f"+{controller}" for controller in CONTROLLERS}
