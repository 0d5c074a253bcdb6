"""Drawing a scenario as the field would: the common ones often, the rare ones seldom. Pure but for the dice."""

from __future__ import annotations

import random
from collections.abc import Iterable

from tierdrill.documents.models.scenario import Scenario


def draw_scenario(scenarios: Iterable[Scenario], level: str | None, seed: int | None) -> str:
    """The name of one, each with its `weight`; the same for the same seed. LookupError where there is none to draw."""
    fitting = sorted(
        (one for one in scenarios if level in (None, one.level) and one.weight > 0), key=lambda one: one.metadata.name
    )
    if not fitting:
        raise LookupError(f"no scenario of level {level} with a weight" if level else "no scenario with a weight")
    # What is drawn must be hard to guess for nobody but people.
    dice = random.Random(seed)  # noqa: S311
    return dice.choices([one.metadata.name for one in fitting], [one.weight for one in fitting])[0]
