"""Readers that go away and streams that are closed: no verdict comes of them, and no traceback."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.support import COMMAND, ROOT, environment, with_runs
from tests.judge.build import Run


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_runs(tmp_path_factory.mktemp("home"), **{"node-loss-a1": Run()})


@pytest.mark.parametrize("words", [("list",), ("judge",), ("judge", "--json"), ("history",), ("--help",)])
def test_output_that_nobody_reads_neither_passes_nor_fails(home: Path, words: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [*COMMAND, *words],
            cwd=ROOT, env=environment(home), stdin=subprocess.DEVNULL, stdout=writing, stderr=subprocess.PIPE,
            check=False, timeout=60,
        )  # fmt: skip
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize(("closed", "code"), [(">&-", 0), ("2>&-", 0), ("<&- >&- 2>&-", 0)])
def test_a_closed_stream_is_as_if_nobody_looked(home: Path, closed: str, code: int) -> None:
    line = f'exec "$@" {closed}'
    done = subprocess.run(
        ["sh", "-c", line, "sh", *COMMAND, "history", "--format", "jsonl"],
        cwd=ROOT, env=environment(home), capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (code, b"")
    assert not (home / "crashes").exists()
