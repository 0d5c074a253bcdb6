"""Erasing a trainee: their name leaves the results, the histories and the debriefs of exercises in this home.

The exercises themselves stay, as those of "a trainee". The name is looked for as a whole word, also in what people said
in an exercise.
"""

import html
import json
import os
import re
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tierdrill.history.database_file import MARK
from tierdrill.history.erase import erase_from_runs
from tierdrill.history.history_store import HistoryStore
from tierdrill.home import run_folder
from tierdrill.report.format import markdown_text
from tierdrill.text import Explained
from tierdrill.training.exercise_setting import NotAnExercise
from tierdrill.training.results.debrief import NOBODY, debrief_of
from tierdrill.training.results.debrief_views import HTML, write_debrief
from tierdrill.training.results.progress import EXERCISE, FILE, ProgressStore

PIECE_BYTES, OVERLAP_BYTES = 4 * 1024 * 1024, 4096
WORDY = frozenset(
    {
        "trainee", "by", "text", "reason", "seen", "why", "summary", "about", "sender", "hint", "author", "owner",
        "error", "detail", "subject",
    }
)  # fmt: skip
"""Fields of events that hold names, or words that people or programs wrote."""
SEALED = "exercises"


class StillGoingOn(Explained, RuntimeError):
    """An exercise goes on: it would write the name again when it ends."""


@dataclass(frozen=True)
class Forgotten:
    """What was changed: results, exercises whose history named them, files; and files that still hold the name."""

    results: int
    exercises: tuple[str, ...]
    files: tuple[str, ...]
    left: tuple[str, ...]

    @property
    def nothing(self) -> bool:
        """Whether there was no trace at all."""
        return not (self.results or self.exercises or self.files)


def forget(home: Path, name: str) -> Forgotten:
    """Erase the name. StillGoingOn while an exercise lives; HistoryError or ProgressError where a file cannot be
    rewritten: it may be asked for again, and does what is left.
    """
    if _going_on(home):
        raise StillGoingOn(
            f"an exercise is in progress in {home}; wait for its end (`tierdrill recover` ends a dead one)"
        )
    eraser = Eraser(name)
    with ProgressStore.kept(home) as store:
        results = store.forget(name) if store else 0
    exercises = erase_from_runs(home, EXERCISE, eraser.in_data)
    files = _again(home, exercises)
    # A broken copy of the results may hold the name in any shape; what it told is in the new one.
    for broken in (*home.glob(f"{FILE}.broken-*"), *home.glob(f"{FILE}{MARK}*")):
        broken.unlink()
        files.append(broken.name)
    for path in _texts(home, exercises):
        if eraser.in_file(path):
            files.append(str(path.relative_to(home)))
    left = [str(path.relative_to(home)) for path in _every_file(home) if eraser.is_in(path)]
    return Forgotten(results, tuple(sorted(exercises)), tuple(sorted(set(files))), tuple(sorted(left)))


def _going_on(home: Path) -> bool:
    folder = home / SEALED
    return folder.is_dir() and any(folder.iterdir())


def _again(home: Path, exercises: Iterable[str]) -> list[str]:
    """Write the debriefs of these exercises anew from their histories; the files."""
    written = []
    for exercise in exercises:
        folder = run_folder(home, exercise)
        if not (folder / HTML).exists():
            continue
        with closing(HistoryStore(home)) as store:
            events = store.events(exercise)
        try:
            written.append(str(write_debrief(debrief_of(events), folder).relative_to(home)))
        except NotAnExercise:
            continue
    return written


def _texts(home: Path, exercises: Iterable[str]) -> list[Path]:
    """Files of exercises, and the log of the home: what may hold a name and is text."""
    folders = [run_folder(home, exercise) for exercise in _exercises(home) | set(exercises)]
    found = [path for folder in folders if folder.is_dir() for path in folder.rglob("*") if path.is_file()]
    return sorted([*found, *home.glob("*.log"), *home.glob("*.log.*")])


def _exercises(home: Path) -> set[str]:
    with HistoryStore.kept(home) as store:
        runs = store.runs(limit=1_000_000) if store else []
    return {record.run for record in runs if record.variant == EXERCISE}


def _every_file(home: Path) -> Iterable[Path]:
    for where, _, names in os.walk(home):
        for name in names:
            path = Path(where, name)
            if path.is_file() and not path.is_symlink():
                yield path


class Eraser:
    """Finds a name as a whole word and puts "a trainee" in its place, in the spellings that our files use."""

    def __init__(self, name: str) -> None:
        if not name.strip():
            raise ValueError("got an empty name, expected the NAME that was given with --trainee")
        spellings = {name, html.escape(name), html.escape(name, quote=False)}
        spellings |= {markdown_text(name), json.dumps(name)[1:-1]}
        spellings |= {one.replace("&#x27;", "&#39;").replace("&quot;", "&#34;") for one in spellings}
        self._words = re.compile("|".join(_word(one) for one in sorted(spellings, key=len, reverse=True)))
        self._bytes = [one.encode() for one in spellings]
        self._name = name

    def in_text(self, text: str) -> str:
        return self._words.sub(NOBODY, text)

    def in_data(self, value: Any) -> Any:
        """Plain data without the name, in the fields that hold names or words; the trainee's own field becomes none."""
        if isinstance(value, str):
            return self.in_text(value)
        if isinstance(value, list):
            return [self.in_data(item) if isinstance(item, dict | list) else item for item in value]
        if not isinstance(value, dict):
            return value
        return {key: self._field(key, item) for key, item in value.items()}

    def _field(self, key: str, item: Any) -> Any:
        if key == "trainee" and item == self._name:
            return None
        if isinstance(item, str):
            return self.in_text(item) if key in WORDY else item
        return self.in_data(item)

    def in_file(self, path: Path) -> bool:
        """Rewrite a text file in place; whether it had the name."""
        if not self.is_in(path):
            return False
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            return False
        fresh = self.in_text(text)
        if fresh == text:
            return False
        beside = path.with_name(f".{path.name}.new")
        beside.write_text(fresh, encoding="utf-8")
        beside.chmod(path.stat().st_mode & 0o777)
        beside.replace(path)
        return True

    def is_in(self, path: Path) -> bool:
        """Whether the file has the name as a whole word. A file that is gone has not."""
        before = b""
        try:
            with path.open("rb") as file:
                while piece := file.read(PIECE_BYTES):
                    raw = before + piece
                    found = any(one in raw for one in self._bytes)
                    if found and self._words.search(raw.decode("utf-8", "replace")):
                        return True
                    before = raw[-OVERLAP_BYTES:]
        except OSError:
            return False
        return False


def _word(text: str) -> str:
    return rf"(?<!\w){re.escape(text)}(?!\w)"
