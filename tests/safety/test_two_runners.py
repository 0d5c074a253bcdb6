"""Two runners and one lab: at most one gets it, whichever environment each came by, and the other says by whom."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tierdrill.conductor.run_start import _may_start
from tierdrill.history.ledger import Ledger

RUNNER = """
import sys
from contextlib import closing
from pathlib import Path
from tierdrill.conductor.run_start import RunRefused
from tierdrill.conductor.run_start import _may_start
from tierdrill.history.ledger import Ledger
home, run, environment = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
print("ready", flush=True)
sys.stdin.readline()
with closing(Ledger(home)) as ledger:
    try:
        _may_start(ledger, run, f"{environment}/kept", run, "kept")
        print("mine", flush=True)
    except RunRefused as error:
        print(error, flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("environments", [("lab", "lab"), ("lab", "other"), ("lab", "other", "lab", "third")])
def test_at_most_one_has_it(environments: tuple[str, ...], tmp_path: Path) -> None:
    def start(number: int, environment: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", RUNNER, str(tmp_path), f"run-{number}", environment]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    runners = [start(number, environment) for number, environment in enumerate(environments)]
    try:
        for one in runners:
            assert one.stdout is not None and one.stdout.readline() == "ready\n"
        for one in runners:
            assert one.stdin is not None
            one.stdin.write("\n")
            one.stdin.flush()
        said = [one.stdout.readline().strip() for one in runners if one.stdout is not None]
        assert said.count("mine") <= 1
        for words in said:
            assert words == "mine" or "is in use by run run-" in words or "is in use by run" in words
        with closing(Ledger(tmp_path)) as ledger:
            held = [run for _, run, _, _ in ledger.locks(living=True)]
            assert len(held) == said.count("mine")
    finally:
        for one in runners:
            one.kill()
            one.communicate()


def test_what_a_dead_runner_held_is_free(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RUNNER, str(tmp_path), "run-0", "lab"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdin is not None and first.stdout is not None
        first.stdin.write("\n")
        first.stdin.flush()
        assert [first.stdout.readline(), first.stdout.readline()] == ["ready\n", "mine\n"]
        first.kill()
    with closing(Ledger(tmp_path)) as ledger:
        _may_start(ledger, "run-1", "lab/kept", "ben", "kept")
        ledger.unlock("lab/kept", "run-1")
