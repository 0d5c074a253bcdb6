"""Proving a drill: it passes, its blip twin is silent, and it fails for the named reason each time its net is cut.

A drill that cannot fail is no drill; this is how that is shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from tierdrill.conductor.run import Listener, RunOptions, RunOutcome, run_drill
from tierdrill.judge.proof import ProofRow, row_of, variants_of
from tierdrill.judge.verdict import Status
from tierdrill.spec.catalogue import DrillSetting


async def prove(
    setting: DrillSetting,
    options: RunOptions,
    listeners: Sequence[Listener] = (),
    on_row: Callable[[ProofRow, RunOutcome], None] = lambda row, outcome: None,
    variants: Sequence[str] | None = None,
) -> list[ProofRow]:
    """Run the drill, its blip twin and every sabotage, one after the other.

    A run stopped by a person ends the proof.
    """
    rows = []
    for variant in variants if variants is not None else variants_of(setting):
        began = time.monotonic()
        outcome = await run_drill(setting, replace(options, variant=variant), listeners)
        row = row_of(setting, variant, outcome.verdict, time.monotonic() - began)
        rows.append(row)
        on_row(row, outcome)
        if outcome.verdict.status in (Status.ABORTED, Status.UNCLEAN):
            break
    return rows
