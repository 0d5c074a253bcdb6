"""The commands of exercises as a person types them: what may be left out, help, and the Tab key."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def completed(home: Path, *words: str) -> set[str]:
    """What the Tab key offers after these words; the last one is unfinished."""
    done = subprocess.run(
        [sys.executable, "-c", "from tierdrill.cli.main import cli; cli(prog_name='tierdrill')"],
        cwd=ROOT,
        env={
            **os.environ,
            "TIERDRILL_HOME": str(home),
            "COMP_WORDS": " ".join(("tierdrill", *words)),
            "COMP_CWORD": str(len(words)),
            "_TIERDRILL_COMPLETE": "bash_complete",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return {line.partition(",")[2] for line in done.stdout.splitlines() if line}


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("train", "amb"), {"amber-kettle"}),
        (("train", "--auto", "g"), {"good"}),
        (("train", "amber-kettle", "--automation", "w"), {"wrong"}),
        (("train", "prog"), {"progress"}),
        (("ops", "resc"), {"reschedule"}),
        (("ops", "flag", "retries", "o"), {"on", "off"}),
        (("ops", "drain", "node"), set()),
    ],
)
def test_the_tab_key_offers(words: tuple[str, ...], offered: set[str], tmp_path: Path) -> None:
    assert completed(tmp_path, *words) == offered


def test_the_start_may_be_left_out_and_the_help_shows_it_all() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tierdrill", "train", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for word in ("--draw", "--auto", "--trainee", "progress", "forget"):
        assert word in done.stdout
    assert "start" not in done.stdout.replace("starts", "")
