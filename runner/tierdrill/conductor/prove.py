"""Proving a drill: it passes, its blip twin is silent, and it fails for the named reason each time its net is cut.

A drill that cannot fail is no drill; this is how that is shown. Ablation shows the same of the platform: each of its
protections and playbooks is needed, for without it a promise breaks in some drill. What each run must come to is in
judge/proof.py.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tierdrill.conductor.run import Listener, RunOptions, RunOutcome, run_drill
from tierdrill.documents.catalogue import DrillSetting
from tierdrill.judge.proof import Ablation, ProofRow, ablation_variant, row_of, variants_of

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


@dataclass
class Ablations:
    """What is to be taken away, each with the drills that may notice, and how far that has come.

    `whole` is how each drill came out with everything in place, `tried` how it did without a part, by its name.
    """

    parts: Mapping[str, Sequence[DrillSetting]]
    whole: dict[str, ProofRow] = field(default_factory=dict)
    tried: dict[str, dict[str, ProofRow]] = field(default_factory=dict)

    def to_ask(self, part: str) -> list[str]:
        """The drills that are still to be asked about a part: none once one has noticed."""
        rows = self.tried.get(part, {})
        drills = [setting.drill.metadata.name for setting in self.parts[part]]
        return [] if any(row.ok for row in rows.values()) else [name for name in drills if not self._asked(name, rows)]

    def _asked(self, drill: str, rows: Mapping[str, ProofRow]) -> bool:
        whole = self.whole.get(drill)
        row = whole if whole is None or not whole.ok else rows.get(drill)
        return row is not None and not row.ends_the_proof

    @property
    def left(self) -> list[str]:
        """The parts of which it is still open whether a drill notices."""
        return [part for part in self.parts if self.to_ask(part)]

    @property
    def found(self) -> list[Ablation]:
        """What came of each part about which a drill was asked, or none is there to ask."""
        left = self.left
        asked = {part: self.tried.get(part, {}) for part in self.parts if part in self.tried or part not in left}
        return [Ablation(part, tuple(rows.values()), tuple(rows)) for part, rows in asked.items()]

    @property
    def runs_left(self) -> int:
        """How many runs it still takes at the most, the one under way among them."""
        to_ask = [drill for part in self.parts for drill in self.to_ask(part)]
        return len(to_ask) + len(set(to_ask) - set(self.whole))


async def ablate(
    ablations: Ablations,
    options: RunOptions,
    listeners: Sequence[Listener] = (),
    on_row: OnRow = lambda row, outcome: None,
) -> None:
    """Take each part away alone, in one of its drills after the other until one notices.

    A drill that does not pass by itself can notice nothing and is not asked. What ends a proof ends it all.
    """
    for part, settings in ablations.parts.items():
        for setting in settings:
            name = setting.drill.metadata.name
            if name not in ablations.whole:
                (ablations.whole[name],) = await prove(setting, options, listeners, on_row, ["drill"])
                if ablations.whole[name].ends_the_proof:
                    return
            if not ablations.whole[name].ok:
                continue
            (row,) = await prove(setting, options, listeners, on_row, [ablation_variant(part)])
            ablations.tried.setdefault(part, {})[name] = row
            if row.ends_the_proof:
                return
            if row.ok:
                break
