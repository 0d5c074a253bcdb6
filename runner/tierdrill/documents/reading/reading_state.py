"""What has been read so far: the catalogue, where each document stands in its file, and what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from tierdrill.did_you_mean import nearest
from tierdrill.documents.catalogue import Catalogue
from tierdrill.documents.models.environment import Environment
from tierdrill.documents.problems import Problem, shown
from tierdrill.documents.reading.yaml_positions import Key, Source
from tierdrill.text import either

EXPERIMENT = "Experiment"

_DIGITS = re.compile(r"[0-9]+")

KnownAlerts = Mapping[str, Collection[str]] | Callable[[Catalogue], Mapping[str, Collection[str]]]
"""Alert names with the labels each carries (none: any), or a function that derives them from the catalogue's tiers."""

Absent = Mapping[str, Mapping[str, str]]
"""What a target does not have: by what it is ("fault", "remedy", "sabotage", "use"), by name, the reason."""

AbsentIn = Callable[[Environment], Absent]


def nothing_absent(environment: Environment) -> Absent:
    """Where nobody says what is."""
    return {}


@dataclass
class Reading:
    """One reading of a folder tree or of some files.

    `names` are those of each kind, also of documents with problems of their own: they are not missing. `suspects` are
    words that look like names in files whose text could not be read. `experiments` are the files (as shown) that hold
    an experiment or should, each with its name.
    """

    catalogue: Catalogue
    sources: dict[tuple[str, str], Source] = field(default_factory=dict)
    names: dict[str, set[str]] = field(default_factory=dict)
    suspects: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)
    experiments: dict[str, str] = field(default_factory=dict)

    def named(self, kind: str) -> set[str]:
        return self.names.setdefault(kind, set())

    def place(self, kind: str, name: str) -> Place:
        """Where problems of that document are reported."""
        return Place(self.sources[kind, name], self.problems, (), self.catalogue.warnings)


@dataclass(frozen=True)
class Place:
    """A spot in one document to report problems at; `at` goes deeper."""

    source: Source
    problems: list[Problem]
    path: tuple[Key, ...] = ()
    warnings: list[Problem] = field(default_factory=list)

    def at(self, *steps: Key) -> Place:
        """A spot further in."""
        return Place(self.source, self.problems, (*self.path, *steps), self.warnings)

    def report(self, found: str, allowed: str, hint: str = "", *, key: bool = False) -> None:
        self.problems.append(self.source.problem(self.path, found, allowed, hint, key=key))

    def warn(self, found: str, allowed: str, *, key: bool = False) -> None:
        """As `report`, of what is worth a look and keeps nothing from being used."""
        self.warnings.append(self.source.problem(self.path, found, allowed, key=key))

    def lenient(self) -> Place:
        """The same spot, where what is reported is worth a look only."""
        return Place(self.source, self.warnings, self.path, self.warnings)

    def written(self) -> Any:
        """What the document says here; None if nothing."""
        data = self.source.data
        for step in self.path:
            try:
                data = data[step]
            except (KeyError, IndexError, TypeError):
                return None
        return data

    def known(self, word: str, what: str, allowed: Collection[str]) -> bool:
        """Whether the word is one of the allowed; reports a dangling reference otherwise."""
        if word in allowed:
            return True
        names = sorted(allowed)
        hint = nearest(word, names)
        # Of node-1 to node-3 none is nearer to node-7 than the others.
        hint = "" if _DIGITS.sub("", hint) == _DIGITS.sub("", word) else hint
        self.report(f"no {what} named {shown(word)}", f"expected {either(names)}" if names else "there is none", hint)
        return False

    def unique(self, words: list[str], what: str, *deeper: Key) -> None:
        """Reports each word that is in the list twice, at its second place."""
        first: dict[str, int] = {}
        for number, word in enumerate(words):
            if word in first:
                spot = self.at(number, *deeper)
                line, column = self.at(first[word], *deeper).source.value_at((*self.path, first[word], *deeper))
                spot.report(f"a second {what} {shown(word)}", f"each stands once; it is already at {line}:{column}")
            first.setdefault(word, number)
