"""The record as one self-contained HTML file, in the style of the runs' reports."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment

from tierdrill.gameday.record.gameday_record import Record, utc_minute, utc_second
from tierdrill.gameday.record.record_markdown import tally
from tierdrill.judge.verdict import Status
from tierdrill.report.format import UNICODE, show_seconds
from tierdrill.report.html_template import page_environment


def record_html(record: Record) -> str:
    """The record as a document."""
    state = record.state
    assert state.document is not None
    document = state.document
    return (
        _environment()
        .get_template("record.html")
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
