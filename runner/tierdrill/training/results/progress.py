"""What is kept of exercises over time: one row for each, in `training.db` of the home. Names only where one was given.

It is derived from the history and can be made again from it: a file that is broken is set aside and a new one made.
"""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tierdrill.documents.models.scenario import LEVELS
from tierdrill.history.database_file import DatabaseFile, execute_all, inode_of, is_corrupt, set_aside
from tierdrill.history.erase import scrub
from tierdrill.history.events import Event
from tierdrill.history.history_store import HistoryStore
from tierdrill.text import Explained
from tierdrill.training.exercise_setting import NotAnExercise, begin_of, documents_in
from tierdrill.training.scoring.exercise_score import score_history
from tierdrill.training.scoring.score_points import ScoreCard

FILE = "training.db"
EXERCISE = "exercise"
"""The variant of exercises in the history."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS results (
  exercise TEXT PRIMARY KEY, trainee TEXT, scripted TEXT, scenario TEXT NOT NULL, level TEXT NOT NULL, at REAL NOT NULL,
  score REAL, out_of REAL NOT NULL, card TEXT NOT NULL
) STRICT;
"""


class ProgressError(Explained):
    """What is kept of exercises cannot be read or written; the message names the file and the reason."""


@dataclass(frozen=True)
class Result:
    """One exercise of the past. `trainee` is None where no name was given, `scripted` the policy of a scripted one."""

    exercise: str
    trainee: str | None
    scripted: str | None
    scenario: str
    level: str
    at: float
    score: float | None
    out_of: float
    card: dict[str, Any]

    @property
    def share(self) -> float | None:
        """The score as a share of what could be had; None where there is none."""
        return self.score / self.out_of if self.score is not None and self.out_of > 0 else None


def result_of(events: Sequence[Event], card: ScoreCard) -> Result:
    """The row of an exercise; NotAnExercise if it is none."""
    documents = documents_in(events)
    started, said = begin_of(events)
    return Result(
        exercise=card.exercise,
        trainee=documents.trainee,
        scripted=said.responder or None,
        scenario=card.scenario,
        level=card.level,
        at=started.at,
        score=card.score,
        out_of=card.out_of,
        card=card.to_json(),
    )


class ProgressStore(DatabaseFile):
    """The results of one home; `set_aside` names the copy of a broken file, which was replaced. One per thread."""

    FILE, VERSION, FAILURE = FILE, 1, ProgressError

    def __init__(self, home: Path) -> None:
        self.set_aside: Path | None = None
        super().__init__(home)
        if self.set_aside is not None:
            self.make_again(home)

    def _begin(self) -> None:
        inode = inode_of(self.path)
        try:
            self._database = self._open()
        except sqlite3.Error as error:
            if not is_corrupt(error):
                raise
            self.set_aside = set_aside(self.path, inode)
            self._database = self._open()
        self._do("PRAGMA secure_delete=ON")

    def _change(self, database: sqlite3.Connection, version: int) -> None:
        execute_all(database, _SCHEMA)

    def keep(self, result: Result) -> None:
        """Store a result, in place of a former one of the same exercise."""
        columns = {**vars(result), "card": json.dumps(result.card, sort_keys=True)}
        names = ", ".join(columns)
        places = ", ".join("?" * len(columns))
        self._do(f"INSERT OR REPLACE INTO results ({names}) VALUES ({places})", *columns.values())  # noqa: S608

    def results(self) -> list[Result]:
        """Every result, oldest first."""
        rows = self._rows(
            "SELECT exercise, trainee, scripted, scenario, level, at, score, out_of, card FROM results ORDER BY at"
        )
        return [Result(*(*row[:-1], json.loads(row[-1]))) for row in rows]

    def make_again(self, home: Path) -> int:
        """Score every exercise of the history again; how many there are."""
        made = 0
        with HistoryStore.kept(home) as history:
            if history is None:
                return made
            for record in history.runs(limit=1_000_000):
                if record.variant != EXERCISE:
                    continue
                events = history.events(record.run)
                try:
                    self.keep(result_of(events, score_history(events)))
                    made += 1
                except NotAnExercise:
                    continue
        return made

    def forget(self, name: str) -> int:
        """Take a name off its results, beyond recovery from the file; how many there were."""
        with self._explained():
            changed = self._database.execute("UPDATE results SET trainee = NULL WHERE trainee = ?", (name,))
            scrub(self._database)
        return changed.rowcount


def keep_result(home: Path, events: Sequence[Event]) -> tuple[Result, Path | None]:
    """Score an exercise that has ended and keep it; the row, and the copy of a broken file that had to be set aside."""
    result = result_of(events, score_history(events))
    with closing(ProgressStore(home)) as store:
        store.keep(result)
        return result, store.set_aside


NO_NAME = "(no name)"
FAMILIES = ("acknowledge", "hypothesis", "mitigation", "priority", "playbook", "objectives", "harm", "updates")


@dataclass(frozen=True)
class Progress:
    """A person over time. `strengths` is the mean share of points by family of lines, of their last few exercises."""

    trainee: str
    steps: tuple[Result, ...]
    strengths: dict[str, float]

    @property
    def shares(self) -> list[float]:
        """The scores as shares, oldest first."""
        return [step.share for step in self.steps if step.share is not None]

    @property
    def weakest(self) -> str | None:
        """The family with the least share; None where nothing was lost."""
        low = min(self.strengths.items(), key=lambda item: item[1], default=None)
        return low[0] if low is not None and low[1] < 1.0 else None


@dataclass(frozen=True)
class Cell:
    """What a person has done of one scenario: how often, best share, and when last."""

    times: int
    best: float | None
    last_at: float


@dataclass(frozen=True)
class Coverage:
    """Persons by scenarios. `cells` has what was practised only; `levels` what a person has done of each level."""

    people: tuple[str, ...]
    scenarios: tuple[tuple[str, str], ...]
    cells: dict[tuple[str, str], Cell]
    levels: dict[str, dict[str, int]]

    @property
    def gaps(self) -> tuple[str, ...]:
        done = {scenario for _, scenario in self.cells}
        return tuple(name for name, _ in self.scenarios if name not in done)


LAST = 5
"""How many exercises say how somebody does now."""


def progress_of(results: Sequence[Result], name: str | None = None) -> list[Progress]:
    """Everybody's progress by name, or one person's. Scripted responders are no people."""
    by_person: dict[str, list[Result]] = {}
    for result in sorted(results, key=lambda one: one.at):
        if result.scripted is None and result.trainee is not None and name in (None, result.trainee):
            by_person.setdefault(result.trainee, []).append(result)
    return [
        Progress(
            person,
            tuple(mine),
            _strengths(mine[-LAST:]),
        )
        for person, mine in sorted(by_person.items())
    ]


def _strengths(results: Sequence[Result]) -> dict[str, float]:
    points: dict[str, float] = {}
    most: dict[str, float] = {}
    for result in results:
        for line in result.card.get("lines", ()):
            family = str(line["id"]).partition("/")[0]
            if family in FAMILIES and line["judged"] and line["of"] > 0:
                points[family] = points.get(family, 0.0) + float(line["points"])
                most[family] = most.get(family, 0.0) + float(line["of"])
    return {family: round(points[family] / most[family], 4) for family in FAMILIES if family in most}


def coverage_of(results: Sequence[Result], scenarios: Sequence[tuple[str, str]]) -> Coverage:
    """The matrix over the catalogue's scenarios (name, level) and those that results name besides.

    An exercise without a score (nothing was broken yet, or it broke itself) is no practice.
    """
    people = [one for one in results if one.scripted is None and one.score is not None]
    known = dict(scenarios)
    known.update({one.scenario: one.level for one in people if one.scenario not in known})
    order = sorted(known.items(), key=lambda item: (LEVELS.index(item[1]) if item[1] in LEVELS else 9, item[0]))
    cells: dict[tuple[str, str], Cell] = {}
    levels: dict[str, dict[str, int]] = {}
    for one in people:
        person = one.trainee or NO_NAME
        old = cells.get((person, one.scenario))
        best = max([share for share in (old.best if old else None, one.share) if share is not None], default=None)
        cells[person, one.scenario] = Cell(
            times=(old.times if old else 0) + 1, best=best, last_at=max(one.at, old.last_at if old else 0.0)
        )
        mine = levels.setdefault(person, dict.fromkeys(LEVELS, 0))
        mine[one.level] = mine.get(one.level, 0) + 1
    names = sorted(levels, key=lambda name: (name == NO_NAME, name))
    return Coverage(tuple(names), tuple(order), cells, levels)
