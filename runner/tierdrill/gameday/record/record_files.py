"""The record of a game day as Markdown, HTML and JSON in its folder, and a line for the list of game days.

Equal journals give equal bytes.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment

from tierdrill.gameday.journal import Journal
from tierdrill.gameday.record.gameday_record import Record, record_of, utc_minute, utc_second
from tierdrill.judge.verdict import Status
from tierdrill.process.safe_files import write_atomic
from tierdrill.report.format import UNICODE, show_seconds
from tierdrill.report.html_template import page_environment
from tierdrill.text import plural

FORMAT = "tierdrill/gameday-record/v1"


def record_document(record: Record) -> dict[str, Any]:
    """The record as plain data; moments are Unix seconds."""
    state = record.state
    assert state.document is not None
    document = state.document
    return {
        "format": FORMAT,
        "gameday": state.identity,
        "document": document.metadata.name,
        "goal": document.goal,
        "environment": document.environment,
        "lab": state.lab,
        "status": record.status,
        "exit_code": record.exit_code,
        "outcome": state.outcome or None,
        "reason": state.reason,
        "opened": state.opened,
        "begun": state.begun,
        "ended": state.ended,
        "facilitator": state.author,
        "unattended": state.unattended,
        "participants": [one.model_dump(mode="json") for one in document.participants],
        "hypotheses": [
            {"step": row.step, "words": row.words, "held": row.held, "because": row.because}
            for row in record.hypotheses
        ],
        "drills": [
            {
                "step": row.step,
                "drill": row.drill,
                "variant": row.variant,
                "attempts": row.attempts,
                "run": row.run,
                "status": row.status,
                "summary": row.summary,
                "times": row.times,
            }
            for row in record.drills
        ],
        "timeline": [{"at": one.at, "who": one.who, "text": one.text, "level": one.level} for one in record.timeline],
        "findings": [
            {
                "finding": one.name,
                "text": one.text,
                "owner": one.owner,
                "due": one.due,
                "raised_by": one.author,
                "raised_at": one.at,
                "closed_at": one.closed_at,
                "closed_by": one.closed_by,
                "closed_how": one.closed_how,
            }
            for one in record.findings
        ],
        "learned": [{"at": one.at, "by": one.author, "text": one.text} for one in record.lessons],
        "emulated": list(record.emulated),
    }


def record_json(record: Record) -> str:
    return json.dumps(record_document(record), sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def tally(record: Record) -> str:
    """ "2 of 3 drills passed, 4 of 5 hypotheses held, 1 finding"."""
    ran = [row for row in record.drills if row.attempts and row.skipped is None]
    passed = sum(row.status == "passed" for row in ran)
    held = sum(row.held == "held" for row in record.hypotheses)
    count = len(record.hypotheses)
    hypotheses = f"{held} of {plural(count, 'hypothesis', 'hypotheses')} held"
    drills = f"{passed} of {plural(len(ran), 'drill')} passed" if ran else "no drill was run"
    left = len(record.drills) - len(ran)
    drills += f" ({left} not run)" if ran and left else ""
    return f"{drills}, {hypotheses}, {plural(len(record.findings), 'finding')}"


def record_markdown(record: Record) -> str:
    return _rendered("record.md", record).rstrip() + "\n"


def record_html(record: Record) -> str:
    return _rendered("record.html", record)


def _rendered(template: str, record: Record) -> str:
    state = record.state
    assert state.document is not None
    document = state.document
    return (
        _environment()
        .get_template(template)
        .render(
            record=record,
            state=state,
            document=document,
            title=document.metadata.title or document.metadata.name,
            tally=tally(record),
            lasted=show_seconds(state.ended - state.begun) if state.ended and state.begun else "not ended",
            checklist=[
                (which, number, text)
                for which in ("before", "after")
                for number, text in enumerate(state.checklist(which))
            ],
            announcements=[
                (one, [utc_second(told.at) for told in state.told if told.announcement == number])
                for number, one in enumerate(document.communications)
            ],
        )
    )


@cache
def _environment() -> Environment:
    return page_environment(
        {
            "minute": utc_minute,
            "second": utc_second,
            "icon": lambda status: UNICODE.status(Status(status)),
        },
        "tierdrill.gameday",
    )


MARKDOWN, HTML, JSON = "record.md", "record.html", "record.json"


def write_record(journal: Journal) -> tuple[Record, Path]:
    """Write the record from the journal; the path of the Markdown file. OSError where it cannot be written."""
    record = record_of(journal.events())
    for name, body in ((HTML, record_html(record)), (JSON, record_json(record)), (MARKDOWN, record_markdown(record))):
        # Whole or not at all: two terminals may write it at the same moment.
        write_atomic(journal.folder / name, body)
    return record, journal.folder / MARKDOWN


def close_books(journal: Journal) -> None:
    """Keep what the ended game day came to for the list. It can be said again at any time."""
    record = record_of(journal.events())
    if record.state.ended is not None:
        journal.finish(record.state.ended, record.status, tally(record))
