"""A lab on a machine that gives little: it comes up or says why not, and leaves nothing; and a user who is not root."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.home import COMMAND, ROOT, environment, processes
from tierdrill.lab.lab_files import find_lab

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(240)]
MIB = 1024 * 1024
AS_SOMEBODY = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
MAPPED = shutil.which("unshare") and subprocess.run([*AS_SOMEBODY, "true"], capture_output=True, check=False)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    made = tmp_path / "home"
    made.mkdir()
    yield made
    for process in processes(made):
        process.kill()


def tierdrill(
    home: Path, *words: str, limit: tuple[int, int] | None = None, before: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """The command under a limit of the kernel's, or run by another program."""

    def limited() -> None:
        if limit is not None:
            resource.setrlimit(limit[0], (limit[1], limit[1]))

    return subprocess.run(
        [*before, *COMMAND, *words],
        cwd=ROOT,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        preexec_fn=limited,
    )


def left_nothing(home: Path) -> None:
    assert [" ".join(process.cmdline()) for process in processes(home)] == []
    assert find_lab(home, "lab") is None


@pytest.mark.parametrize("files", [24, 64])
def test_few_file_descriptors(home: Path, files: int) -> None:
    _up_or_refused(home, (resource.RLIMIT_NOFILE, files))


@pytest.mark.parametrize("mib", [150, 400])
def test_little_memory(home: Path, mib: int) -> None:
    _up_or_refused(home, (resource.RLIMIT_AS, mib * MIB))


@pytest.mark.skipif(os.geteuid() == 0, reason="root is not held to a number of processes")
def test_few_processes(home: Path) -> None:
    _up_or_refused(home, (resource.RLIMIT_NPROC, 10))


def _up_or_refused(home: Path, limit: tuple[int, int]) -> None:
    """Either the lab is up and can be ended, or the command says in a line why not; nothing is left in either case."""
    up = tierdrill(home, "lab", "up", limit=limit)
    if up.returncode == 0:
        assert tierdrill(home, "lab", "down").returncode == 0
    else:
        # Python itself may not even begin with so little memory.
        assert up.returncode in (1, 2, 3, -6, -11, 134), (up.returncode, up.stderr)
        assert up.stderr.strip(), up
    left_nothing(home)
    assert tierdrill(home, "status").returncode == 0
    assert tierdrill(home, "recover").returncode == 0


@pytest.mark.skipif(not MAPPED or MAPPED.returncode != 0, reason="this user may not make user namespaces")
def test_a_user_without_root(home: Path) -> None:
    before = tuple(AS_SOMEBODY)
    assert subprocess.run([*before, "id", "-u"], capture_output=True, text=True, check=True).stdout.strip() == "1000"
    up = tierdrill(home, "lab", "up", before=before)
    assert up.returncode == 0, up.stderr
    # Each time as somebody who is not root, in another user namespace of the same user.
    assert "lab lab is up" in tierdrill(home, "status", before=before).stdout
    assert tierdrill(home, "recover", before=before).returncode == 0
    assert tierdrill(home, "halt", "--reason", "x", before=before).returncode == 0
    assert tierdrill(home, "resume", "--reason", "x", before=before).returncode == 0
    down = tierdrill(home, "lab", "down", before=before)
    assert down.returncode == 0, down.stderr + down.stdout
    left_nothing(home)
