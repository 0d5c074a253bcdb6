"""./drill and ./test before they reach Python: what they start, from where, and what they say where nothing fits."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.support import ROOT

TOOLS = ("cat", "cksum", "cut", "dirname", "env", "find", "head", "id", "ls", "readlink", "sh")


def stamp(repository: Path) -> str:
    """What ./drill expects of an environment that is up to date."""
    script = 'cat "$1/requirements.lock" "$1/requirements-dev.lock" "$1/pyproject.toml" | cksum'
    summed = subprocess.run(["sh", "-c", script, "sh", str(repository)], capture_output=True, text=True, check=True)
    return f"{summed.stdout.strip()} {repository}"


def made_environment(folder: Path, repository: Path) -> Path:
    """An environment that looks ready, whose tierdrill only says how it was called."""
    program = folder / "bin" / "tierdrill"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "called with: $*"\n')
    program.chmod(0o755)
    (folder / ".tierdrill-run").write_text(stamp(repository) + "\n")
    return folder


@pytest.mark.parametrize(
    ("words", "called"),
    [
        ((), "run node-loss"),
        (("--blip",), "run node-loss --blip"),
        (("--sabotage", "wrong-target"), "run node-loss --sabotage wrong-target"),
        (("status", "--json"), "status --json"),
        (("run", "slow-link"), "run slow-link"),
        (("--help",), "--help"),
    ],
)
def test_drill_runs_node_loss_or_the_command_it_is_given(tmp_path: Path, words: tuple[str, ...], called: str) -> None:
    venv = made_environment(tmp_path / "venv", ROOT)
    link = tmp_path / "a link"
    link.symlink_to(ROOT / "drill")
    for script in (ROOT / "drill", link):
        done = subprocess.run(
            [str(script), *words],
            cwd=tmp_path,
            env={**os.environ, "TIERDRILL_VENV": str(venv)},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == f"called with: {called}"
        assert done.stderr == ""


def bare_path(folder: Path, python: str | None) -> Path:
    """A PATH with the few tools the scripts use, and this as python3."""
    folder.mkdir()
    for name in TOOLS:
        (folder / name).symlink_to(shutil.which(name) or f"/bin/{name}")
    if python is not None:
        (folder / "python3").write_text(python)
        (folder / "python3").chmod(0o755)
    return folder


@pytest.mark.parametrize("script", ["drill", "test"])
@pytest.mark.parametrize(
    ("python", "said"),
    [
        (None, "found: none"),
        ('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2" && exit 0\nexit 1\n', "found: Python 3.9.2 at "),
        ('#!/bin/sh\ncase "$2" in *ensurepip*) exit 1 ;; esac\nexit 0\n', "apt-get install python3-venv"),
    ],
)
def test_one_line_says_what_to_install(tmp_path: Path, script: str, python: str | None, said: str) -> None:
    path = bare_path(tmp_path / "bin", python)
    done = subprocess.run(
        [str(ROOT / script)],
        env={"PATH": str(path), "HOME": str(tmp_path), "TIERDRILL_VENV": str(tmp_path / "venv")},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert "python3-venv" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def run_drill(repository: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(repository / "drill"), "status"],
        env={"PATH": os.environ["PATH"], **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


@pytest.mark.parametrize("writable", ["", "bin", "bin/tierdrill"])
def test_an_environment_that_others_can_write_to_is_not_run(tmp_path: Path, writable: str) -> None:
    venv = made_environment(tmp_path / "venv", ROOT)
    (venv / writable).chmod(0o777)
    done = run_drill(ROOT, TIERDRILL_VENV=str(venv))
    assert (done.returncode, done.stdout) == (2, "")
    assert "others can write to it" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_an_environment_of_another_user_is_not_run(tmp_path: Path) -> None:
    venv = made_environment(tmp_path / "venv", ROOT)
    os.chown(venv / "bin" / "tierdrill", 12345, 12345)
    done = run_drill(ROOT, TIERDRILL_VENV=str(venv))
    assert (done.returncode, done.stdout) == (2, "")
    assert "belongs to another user" in done.stderr


def test_without_a_home_no_folder_of_tmp_is_used(tmp_path: Path) -> None:
    """A checkout that is not ours to write in, no HOME, no entry in the user database: a clear refusal."""
    functions = (ROOT / "tools" / "setup.sh").read_text()
    script = f'me=drill repo={tmp_path} PATH={bare_path(tmp_path / "path", None)}; unset HOME XDG_CACHE_HOME\n'
    done = subprocess.run(
        ["/bin/sh", "-c", f"{script}{functions}\ncache_folder"], capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "HOME is not set: TIERDRILL_VENV names" in done.stderr
    assert "/tmp/tierdrill-" not in functions


def test_the_lock_files_cover_what_the_project_asks_for() -> None:
    import tomllib

    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    locked = {}
    for name in ("requirements.lock", "requirements-dev.lock"):
        for line in (ROOT / name).read_text().splitlines():
            if line.startswith(" "):
                assert re.fullmatch(r" +--hash=sha256:[0-9a-f]{64}( \\)?", line), line
            elif not line.startswith("#"):
                package, _, version = line.partition("==")
                assert version.endswith(" \\"), f"{line}: no hash follows"
                locked[package] = version.removesuffix(" \\")
    wanted = [
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["dev"],
        *project["build-system"]["requires"],
    ]
    for requirement in map(Requirement, wanted):
        assert locked[requirement.name.lower().replace("_", "-")] in requirement.specifier, str(requirement)


def test_the_lock_files_name_all_that_their_packages_need() -> None:
    """They are installed without asking what a package needs."""
    from importlib.metadata import requires

    from packaging.requirements import Requirement

    text = "".join((ROOT / name).read_text() for name in ("requirements.lock", "requirements-dev.lock"))
    locked = set(re.findall(r"^([a-z0-9-]+)==", text, re.MULTILINE))
    for name in locked:
        for requirement in map(Requirement, requires(name) or []):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                needed = re.sub(r"[-_.]+", "-", requirement.name).lower()
                assert needed in locked, f"{name} needs {needed}"
    assert "jsonpath2" in locked, "the extra of chaostoolkit-lib that pyproject.toml asks for"
