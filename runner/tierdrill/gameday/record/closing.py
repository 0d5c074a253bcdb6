"""What a game day leaves: its record as Markdown, HTML and JSON in its folder, and a line for the list of game days."""

from __future__ import annotations

from pathlib import Path

from tierdrill.gameday.journal import Journal
from tierdrill.gameday.record.gameday_record import Record, record_of
from tierdrill.gameday.record.record_html import record_html
from tierdrill.gameday.record.record_json import record_json
from tierdrill.gameday.record.record_markdown import record_markdown, tally
from tierdrill.process.atomic_file import write_atomic

MARKDOWN, HTML, JSON = "record.md", "record.html", "record.json"


def write_record(journal: Journal) -> tuple[Record, Path]:
    """Write the record from the journal; the path of the Markdown file. OSError where it cannot be written."""
    record = record_of(journal.events())
    for name, text in ((HTML, record_html(record)), (JSON, record_json(record)), (MARKDOWN, record_markdown(record))):
        # Whole or not at all: two terminals may write it at the same moment.
        write_atomic(journal.folder / name, text)
    return record, journal.folder / MARKDOWN


def close_books(journal: Journal) -> None:
    """Keep what the ended game day came to for the list. It can be said again at any time."""
    record = record_of(journal.events())
    if record.state.ended is not None:
        journal.finish(record.state.ended, record.status, tally(record))
