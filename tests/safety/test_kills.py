"""kill -9 while faults and remedies are in force, in a lab that stays: nothing stays changed, status tells the truth.

TIERDRILL_KILLS sets the number of trials (200 under ./test --all, an hour), TIERDRILL_KILLS_SEED the first one's seed.
A trial is its seed: what is killed, when, and in which drill. Each is printed (-s).
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.safety.kept import DRILLS, LAB, Kept, kept_home

TRIALS = int(os.environ.get("TIERDRILL_KILLS", "200"))
FIRST = int(os.environ.get("TIERDRILL_KILLS_SEED", "9000"))
VICTIMS = (
    ("runner",), ("runner", "reaper"), ("reaper",), ("network",), ("experiment",), ("load",), ("prometheus",),
    ("supervisor",), ("runner", "reaper", "experiment"), ("network", "runner"),
)  # fmt: skip
LATER_S = 0.8
MENDED_WITHIN_S = 60.0


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    made = kept_home(tmp_path_factory.mktemp("kills"))
    try:
        yield made
    finally:
        made.end()


@pytest.mark.slow
@pytest.mark.lab
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(FIRST, FIRST + TRIALS))
def test_nothing_stays_changed_after_a_kill(seed: int, kept: Kept) -> None:
    chooser = random.Random(seed)
    victims, drill = VICTIMS[seed % len(VICTIMS)], chooser.choice(DRILLS)
    remedies, later_s = chooser.random() < 0.8, chooser.uniform(0.0, LATER_S)
    when = f"{'remedies' if remedies else 'faults'} + {later_s:.2f} s"
    print(f"seed {seed}: kill {' and '.join(victims)} in {drill}, {when}")
    kept.up()
    runner = kept.run(drill)
    output = kept.home / "output.txt"
    try:
        # A slow look may come after what is in force was given back: it counts if the ledger had it before and after.
        still = False
        while not still:
            assert kept.await_force(runner, remedies), output.read_text()[-2000:]
            told = kept.status()
            still = kept.in_force(remedies)
        assert told["faults"] and (told["remedies"] or not remedies) and told["clean"], told
        found = [kept.victim(role, runner) for role in victims]
        with contextlib.suppress(subprocess.TimeoutExpired):
            runner.wait(later_s)
        for victim in found:
            if victim is not None and victim.is_running():
                victim.send_signal(signal.SIGKILL)
        if "runner" not in victims:
            runner.wait(60)
        runner.wait(10)
        # Whatever is looked at from now on: it is either told or as it was.
        kept.status()
        kept.until("it is mended", lambda: _mended(kept, victims), MENDED_WITHIN_S)
        document = kept.status()
        assert document["clean"] and not document["runs"], document
        if any(lab["name"] == LAB for lab in document["labs"]):
            now = kept.until("the lab is as before", lambda: kept.now() == kept.before and kept.now())
            assert now == kept.before
            assert kept.serves() == []
    finally:
        if runner.poll() is None:
            runner.kill()
            runner.wait(10)


def _mended(kept: Kept, victims: tuple[str, ...]) -> bool:
    """Whether nothing is left; a person asks `recover`, where the reaper was killed too or the lab with it."""
    if "supervisor" in victims or {"runner", "reaper"} <= set(victims):
        kept("recover")
    return kept.status()["clean"]
