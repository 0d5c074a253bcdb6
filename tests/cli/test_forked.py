"""The forked command of the tests says and does what a process that is started does."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.cli import forked
from tests.cli.support import COMMAND, ROOT, environment


def started(home: Path, cwd: Path, *words: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [*COMMAND, *words], cwd=cwd, env=environment(home), stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, ("plan", "node-loss", "--json")),
        (2, ("run", "node-los")),
        (0, ("init", "mine")),
        (0, ("halt", "--reason", "caf\udce9", "--author", "zoë")),
    ],
)
def test_it_ends_and_says_as_a_started_one(tmp_path: Path, code: int, words: tuple[str, ...]) -> None:
    told = []
    for name in ("started", "forked"):
        home, cwd = tmp_path / name / "home", tmp_path / name / "cwd"
        cwd.mkdir(parents=True)
        ended = started(home, cwd, *words) if name == "started" else forked.run([*words], cwd, environment(home), 60)
        there = sorted(str(one.relative_to(home.parent)) for one in home.parent.rglob("*") if one.suffix != ".db-shm")
        told.append((ended[0], *(text.replace(str(home.parent), "") for text in ended[1:]), there))
    assert told[0] == told[1]
    assert told[1][0] == code


def test_what_only_a_start_would_read_is_left_to_a_start(tmp_path: Path) -> None:
    assert forked.takes(environment(tmp_path, NO_COLOR=""))
    for name in ("TZ", "PYTHONUTF8", "LC_ALL", "PYTHONPATH"):
        assert not forked.takes(environment(tmp_path, **{name: "Asia/Tokyo"}))


def test_it_is_killed_when_its_time_is_over(tmp_path: Path) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        forked.run(["web", "--port", "0"], ROOT, environment(tmp_path / "home"), 0.2)
