"""What `tierdrill prove` tells of its runs, and with which exit code it ends."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tierdrill.cli.commands.prove import exit_code
from tierdrill.judge.proof import ProofRow

DRILL = ProofRow("drill", "passed", "passed", (), (), True, "r1", 50.0)
NOTICED = ProofRow("sabotage:s", "failed", "failed", ("slo/a/b",), ("slo/a/b",), True, "r2", 50.0)
BROKE = "critical availability under 50% over 4s"


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([DRILL, NOTICED], 0),
        ([], 1),
        ([DRILL, replace(NOTICED, status="passed", ok=False)], 1),
        ([DRILL, replace(NOTICED, status="inconclusive", ok=False)], 3),
        # A guardrail's abort: the drill failed, a sabotage shows what was seen by then or nothing.
        ([replace(DRILL, status="aborted", ok=False, guardrail=BROKE), NOTICED], 1),
        ([DRILL, replace(NOTICED, status="aborted", guardrail=BROKE)], 0),
        ([DRILL, replace(NOTICED, status="aborted", guardrail=BROKE, failed_checks=(), ok=False)], 3),
        ([DRILL, replace(NOTICED, status="aborted", ok=False)], 4),
        ([DRILL, replace(NOTICED, status="unclean", ok=False)], 5),
    ],
)
def test_the_exit_code_is_the_gravest_of_what_is_wrong(rows: list[ProofRow], code: int) -> None:
    assert exit_code(rows) == code
