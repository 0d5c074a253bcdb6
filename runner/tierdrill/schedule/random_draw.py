"""Which drills of a suite a slot runs where its entry draws them at random: by how often such faults come in the field.

The dice are the entry's seed and the slot's name: every machine, and a retry, draws the same for the same slot.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tierdrill.documents.catalogue import Catalogue
from tierdrill.documents.models.calendar import Calendar, CalendarEntry

FAMILY_SHARE = {"gpu": 0.60, "network": 0.10, "node": 0.05}
"""The part of the interruptions of large GPU clusters that each family has (Llama 3 training report, Delta, ByteRobust:
GPU, HBM, ECC and GSP about 60%, network 10%, host 5%).
"""
OTHER_SHARE = 0.25
"""What is left, software and configuration, is shared by all other families that a suite has."""


@dataclass(frozen=True)
class Drawn:
    """A drill that a slot runs, whole or as its blip twin."""

    drill: str
    blip: bool = False

    def __str__(self) -> str:
        return f"{self.drill} (blip)" if self.blip else self.drill


def drills_at(catalogue: Catalogue, calendar: Calendar, entry: CalendarEntry, key: str) -> tuple[Drawn, ...]:
    """What the slot of that key runs, one after the other: all that the entry names, or what it draws of them.

    Half of what is drawn runs as a blip, for as many faults are gone before anybody need act, where a drill has one.
    """
    names = calendar.drills_of(entry)
    if entry.draw is None:
        return tuple(Drawn(name) for name in names)
    dice = random.Random(f"{entry.seed} {key}")  # noqa: S311
    left, drawn = list(dict.fromkeys(names)), list[Drawn]()
    while left and len(drawn) < entry.draw:
        (name,) = dice.choices(left, weights(catalogue, left))
        left.remove(name)
        blip = dice.random() < 0.5 and catalogue.drills[name].blip is not None
        drawn.append(Drawn(name, blip))
    return tuple(drawn)


def weights(catalogue: Catalogue, names: Sequence[str]) -> list[float]:
    """How likely each drill is to be drawn: the share of its family, divided among the drills that are of it."""
    families = [catalogue.drills[name].experiment.split("/")[0] for name in names]
    families = [family if family in FAMILY_SHARE else "other" for family in families]
    count = Counter(families)
    return [FAMILY_SHARE.get(family, OTHER_SHARE) / count[family] for family in families]
