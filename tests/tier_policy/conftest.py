"""What tests of tier policy share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.support import ROOT, Done
from tests.tier_policy.support import Tierdrill
from tierdrill.cli.main import main


@pytest.fixture
def tierdrill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Tierdrill:
    """The command, with a home of its own."""
    monkeypatch.setenv("TIERDRILL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(ROOT)

    def run(*arguments: str | Path) -> Done:
        capsys.readouterr()
        code = main([str(one) for one in arguments])
        told = capsys.readouterr()
        return Done(code, told.out, told.err)

    return run
