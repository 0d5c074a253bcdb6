"""The three scripted responders in real exercises of every shipped scenario: the score puts them in the right order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.home import tierdrill
from tests.shipped import shipped_documents

SCENARIOS = sorted(shipped_documents().scenarios)
DISTANCE = 0.1


def played(home: Path, scenario: str, policy: str) -> dict[str, Any]:
    """The last line of one exercise."""
    done = tierdrill(home, "train", scenario, "--auto", policy, "--json", timeout=600.0)
    assert done.returncode == 0, done.stderr
    line = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(line, dict)
    assert line["score"] is not None, line["no_score"]
    return line


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.timeout(2000)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_good_beats_slow_and_slow_beats_harmful(scenario: str, tmp_path: Path) -> None:
    lines = {policy: played(tmp_path / policy, scenario, policy) for policy in ("good", "slow", "harmful")}
    # What could not be judged is left out of a score, so shares are compared.
    good, slow, harmful = (lines[policy]["share"] for policy in ("good", "slow", "harmful"))
    told = "\n".join(
        f"{policy} {one['score']}: {row['id']} {row['points']}/{row['of']} {row['seen']}"
        for policy, one in lines.items() for row in one["lines"]
    )  # fmt: skip
    assert good >= slow + DISTANCE, told
    assert slow >= harmful + DISTANCE, told
    page = Path(lines["good"]["debrief"])
    assert "What really happened" in page.read_text(encoding="utf-8")
