"""Calendars as tests write them: YAML text in, a timetable out."""

from __future__ import annotations

from pathlib import Path

from tierdrill.documents.catalogue_reader import FROM_DOCUMENT
from tierdrill.documents.models.calendar import Calendar
from tierdrill.documents.reading.yaml_positions import read_text
from tierdrill.documents.timetable import Timetable, timetable_of


def timetable(entries: str, rest: str = "", folder: Path = Path(), name: str = "nightly") -> Timetable:
    """The timetable of a calendar with these entries (a list in YAML) and whatever else it says."""
    head = f"apiVersion: tierdrill/v1\nkind: Calendar\nmetadata: {{name: {name}}}\n"
    sources, problems = read_text("calendar.yaml", f"{head}{rest}\nentries: {entries}\n".encode())
    assert problems == []
    data = sources[0].data
    data["entries"] = [
        {"name": f"entry-{number}", "drill": "node-loss", **one} for number, one in enumerate(data["entries"])
    ]
    return timetable_of(Calendar.model_validate(data, context=FROM_DOCUMENT), folder / "calendar.yaml")
