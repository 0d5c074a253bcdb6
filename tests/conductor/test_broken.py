"""A run that had begun and broke is no bad input; and no log keeps anything from being done."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.judge.build import shipped
from tierdrill.cli.errors import explain
from tierdrill.cli.folders import author
from tierdrill.cli.logs import LOG, log_to_file
from tierdrill.conductor.phases import DrillRun
from tierdrill.conductor.provenance import _git
from tierdrill.conductor.run import RunOptions, run_drill
from tierdrill.conductor.run_start import RunBroken
from tierdrill.history.history_store import HistoryError
from tierdrill.history.ledger import Ledger
from tierdrill.process.spawn import open_log


@pytest.mark.parametrize(
    "error", [PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/x"), HistoryError("history.db: locked")]
)
@pytest.mark.parametrize("left", [False, True])
def test_a_run_that_broke_is_inconclusive_or_unclean_and_never_bad_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, left: bool
) -> None:
    async def breaks(run: DrillRun) -> None:
        if left:
            with closing(Ledger(tmp_path)) as ledger:
                ledger.intend("f1", run.plan.run, {"kind": "x"}, {}, 60.0)
        raise error

    monkeypatch.setattr(DrillRun, "go", breaks)
    options = RunOptions(home=tmp_path, tools=tmp_path, variant="drill", lab=None, author="ann", argv=(), run="r1")
    with pytest.raises(RunBroken) as raised:
        asyncio.run(run_drill(shipped(), options))
    assert explain(raised.value, tmp_path) == (5 if left else 3)
    said = capsys.readouterr().err
    assert said.startswith("tierdrill: run r1 failed: ") and ("tierdrill recover" in said) == left
    with closing(Ledger(tmp_path)) as ledger:
        assert ledger.locks() == []


def test_a_log_that_cannot_be_opened_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "log", tmp_path / "file" / "log"):
        with open_log(path) as log:
            subprocess.run([sys.executable, "-c", "print(1)"], stdout=log, check=True)
    with open_log(tmp_path / "new" / "log") as log:
        log.write(b"x")
    assert (tmp_path / "new" / "log").read_bytes() == b"x"


def test_a_record_that_cannot_be_logged_raises_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / LOG).mkdir()
    root = logging.Logger("root")
    monkeypatch.setattr(logging, "root", root)
    monkeypatch.setattr(logging.Logger, "root", root)
    log_to_file(tmp_path)
    root.error("an undo that failed")
    assert list((tmp_path / LOG).iterdir()) == []


def test_what_git_says_may_be_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git = tmp_path / "git"
    git.write_text("#!/bin/sh\nprintf 'caf\\351'\n")
    git.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert _git(tmp_path, "rev-parse") == "caf\ufffd"
    monkeypatch.setenv("USER", "Jos\udce9")
    git.write_text("#!/bin/sh\nexit 1\n")
    assert author() == "Jos\ufffd"
