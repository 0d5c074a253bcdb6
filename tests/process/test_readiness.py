"""What a lab program is told at start: files, and single values by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tierdrill.process.ready_line import program_arguments


def test_of_several_files_and_values_the_later_counts(tmp_path: Path) -> None:
    (tmp_path / "common.json").write_text('{"name": "", "slots": 4}')
    (tmp_path / "token.json").write_text('{"token": "secret"}')
    argv = ["--config", str(tmp_path / "common.json"), "--config", str(tmp_path / "token.json")]
    argv += ["--set", "name=assistant-abc", "--set", "node=a=b"]
    assert program_arguments("replica", argv).config == {
        "name": "assistant-abc",
        "slots": 4,
        "token": "secret",
        "node": "a=b",
    }


@pytest.mark.parametrize("written", ["name", "=value"])
def test_a_value_without_a_name_is_refused(tmp_path: Path, written: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "common.json").write_text("{}")
    with pytest.raises(SystemExit) as ended:
        program_arguments("replica", ["--config", str(tmp_path / "common.json"), "--set", written])
    assert ended.value.code == 2
    assert "expected NAME=VALUE" in capsys.readouterr().err
