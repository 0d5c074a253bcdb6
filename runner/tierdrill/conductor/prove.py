"""Proving a drill: it passes, its blip twin is silent, and it fails for the named reason each time its net is cut.

A drill that cannot fail is no drill; this is how that is shown. Ablation shows the same of the platform: each of its
protections and playbooks is needed, for without it a promise breaks in some drill.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from tierdrill.conductor.run import Listener, RunOptions, RunOutcome, run_drill
from tierdrill.judge.proof import Ablation, ProofRow, ablation_variant, row_of, variants_of
from tierdrill.spec.catalogue import DrillSetting

OnRow = Callable[[ProofRow, RunOutcome], None]


async def prove(
    setting: DrillSetting,
    options: RunOptions,
    listeners: Sequence[Listener] = (),
    on_row: OnRow = lambda row, outcome: None,
    variants: Sequence[str] | None = None,
) -> list[ProofRow]:
    """Run the drill, its blip twin and every sabotage, one after the other.

    A run that a person stopped, or that left something injected, ends the proof; one that its own guardrail aborted
    came to that, and the next follows.
    """
    rows = []
    for variant in variants if variants is not None else variants_of(setting):
        began = time.monotonic()
        outcome = await run_drill(setting, replace(options, variant=variant), listeners)
        row = row_of(setting, variant, outcome.verdict, time.monotonic() - began)
        rows.append(row)
        on_row(row, outcome)
        if row.ends_the_proof:
            break
    return rows


async def ablate(
    parts: Mapping[str, Sequence[DrillSetting]],
    options: RunOptions,
    listeners: Sequence[Listener] = (),
    on_row: OnRow = lambda row, outcome: None,
) -> tuple[dict[str, ProofRow], list[Ablation]]:
    """Take each part away alone, in one of its drills after the other until one notices.

    Returns how each drill came out with everything in place, by its name, and what came of each part. A drill that does
    not pass by itself can notice nothing and is not asked. What ends a proof ends it all.
    """
    whole: dict[str, ProofRow] = {}
    found: list[Ablation] = []
    for part, settings in parts.items():
        rows: list[ProofRow] = []
        drills: list[str] = []
        for setting in settings:
            name = setting.drill.metadata.name
            if name not in whole:
                (whole[name],) = await prove(setting, options, listeners, on_row, ["drill"])
                if whole[name].ends_the_proof:
                    return whole, found
            if not whole[name].ok:
                continue
            rows += await prove(setting, options, listeners, on_row, [ablation_variant(part)])
            drills.append(name)
            if rows[-1].ok or rows[-1].ends_the_proof:
                break
        found.append(Ablation(part, tuple(rows), tuple(drills)))
        if rows and rows[-1].ends_the_proof:
            break
    return whole, found
