"""Which documents a command was given: the whole catalogue, or files and folders, each held against its catalogue."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tierdrill.cli.drill_documents import all_seen_from_here, read
from tierdrill.cli.folders import FOLDERS
from tierdrill.text import plural

if TYPE_CHECKING:
    from tierdrill.documents.catalogue import Catalogue
    from tierdrill.documents.problems import Problem

CALENDAR_FILE = ".ics"


def groups(paths: Sequence[Path], default: Path) -> list[tuple[Path, list[Path] | None]]:
    """Which roots to read, and which files of each count (None: all)."""
    if not paths:
        return [(default, None)]
    found: dict[Path, list[Path] | None] = {}
    for path in paths:
        full = _real(path)
        if full.is_dir() and _is_catalogue(full):
            found[full] = None
            continue
        files = [file for file in sorted(full.rglob("*")) if _is_document(file)] if full.is_dir() else [full]
        for file in files or [full]:
            kept = found.setdefault(_root_of(file), [])
            if kept is not None:
                kept.append(file)
    return list(found.items())


def read_group(root: Path, only: Sequence[Path] | None) -> tuple[Catalogue, list[Problem]]:
    """What is at a root, and the problems (and warnings) of the files that count.

    A calendar's iCalendar files count with it.
    """
    if only is None:
        return read(root, unused=True)
    catalogue, problems = read(root, _not_in(root, only), unused=True) if _is_catalogue(root) else _read_files(only)
    wanted = {_real(path) for path in only}
    wanted |= {_real(file) for path in only for file in calendar_files(catalogue, path)}
    # Who asks about a file by its name wants to know whether it is good, whoever uses it.
    problems += catalogue.excused
    catalogue.excused.clear()
    catalogue.warnings[:] = [warning for warning in catalogue.warnings if _real(Path(warning.path)) in wanted]
    return catalogue, [problem for problem in problems if _real(Path(problem.path)) in wanted]


def problem_count(problems: Sequence[Problem]) -> str:
    return f"{plural(len(problems), 'problem')} in {plural(len({one.path for one in problems}), 'file')}"


def _is_document(file: Path) -> bool:
    """Whether a file is read where its folder was named: as its catalogue would be."""
    from tierdrill.documents.catalogue import SCHEMAS
    from tierdrill.documents.catalogue_reader import ENDINGS

    return file.suffix in ENDINGS and file.parent.name != SCHEMAS.name


def _not_in(root: Path, only: Sequence[Path]) -> list[Path]:
    """Of files below a catalogue those that it does not read by itself, such as drill.txt."""
    from tierdrill.documents.catalogue_reader import catalogue_files

    read_anyway = {_real(path) for path in catalogue_files(root) or ()}
    return [path for path in only if _real(path) not in read_anyway and path.suffix != CALENDAR_FILE]


def calendar_files(catalogue: Catalogue, document: Path) -> list[Path]:
    """The iCalendar files that the calendars of that document name."""
    found = []
    for name, calendar in catalogue.calendars.items():
        path = catalogue.paths["Calendar", name]
        if _real(path) == _real(document):
            for blackouts in (calendar.blackouts, *(entry.blackouts for entry in calendar.entries)):
                found += [path.parent / one.file for one in blackouts.files]
    return found


def _real(path: Path) -> Path:
    """The path with its links followed; unlike `Path.resolve` it stands links that go in a circle."""
    return Path(os.path.realpath(path))


def _is_catalogue(folder: Path) -> bool:
    return any((folder / name).is_dir() for name in FOLDERS)


def _root_of(path: Path) -> Path:
    """The catalogue a file is in; its own folder if it is in none."""
    for parent in path.parents:
        if parent.name in FOLDERS:
            return parent.parent
    return path.parent


def _read_files(files: Sequence[Path]) -> tuple[Catalogue, list[Problem]]:
    from tierdrill.documents.catalogue_reader import load_documents
    from tierdrill.monitoring.alert_names import KNOWN_ALERTS
    from tierdrill.targets.target_registry import absent_in

    root = files[0].parent
    catalogue, problems = load_documents(files, root, KNOWN_ALERTS, absent=absent_in)
    return catalogue, all_seen_from_here(catalogue, problems, root)
