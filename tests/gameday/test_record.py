"""The record: what a participant reads, in three forms that say the same."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gameday.support import ANA, AT, begun, document, finished, journal, opened
from tierdrill.gameday.journal import all_gamedays
from tierdrill.gameday.record.gameday_record import record_of
from tierdrill.gameday.record.record_files import (
    close_books,
    record_document,
    record_html,
    record_markdown,
    tally,
    write_record,
)
from tierdrill.history.events import Event
from tierdrill.report.format import markdown_text as text

STORY = [{"at": AT + 40, "text": "alert NodeNotReady node-2 firing", "level": "warn"}]
CHECKS: list[dict[str, Any]] = [
    {"id": "playbook/reschedule-critical/fired", "title": "fired", "status": "passed", "seen": "s", "expected": "e"}
]
EVENTS = (
    opened(),
    Event(AT + 1, "checklist.ticked", ANA, {"list": "before", "item": 0, "done": True}),
    Event(AT + 2, "announcement.told", ANA, {"announcement": 1, "step": None}),
    begun(),
    Event(AT + 50, "note.taken", "Cleo (scribe)", {"text": "the | pager <rang>"}),
    finished(times={"mttd": 4.1, "mtta": None, "mitigate": 0.0, "mttr": 16.4}, story=STORY, checks=CHECKS,
             emulated=["GPUs are emulated."]),
    Event(AT + 110, "finding.raised", "Ben (on-call)", {"text": "no | runbook", "owner": "Ben", "due": "2026-10-01"}),
    Event(AT + 120, "lesson.learned", "Ben (on-call)", {"text": "look at the node first"}),
    Event(AT + 130, "hypothesis.answered", ANA, {"step": 0, "hypothesis": 1, "held": "not held"}),
    Event(AT + 140, "step.skipped", ANA, {"step": 1, "reason": "no time"}),
    Event(AT + 150, "gameday.ended", ANA, {"outcome": "completed", "reason": ""}),
)  # fmt: skip


def test_it_reads_as_a_participant_would_want() -> None:
    page = record_markdown(record_of(EVENTS))
    for line in (
        "# Game day: Two \\| quick ones",
        "**failed**: 1 of 1 drill passed (1 not run), 1 of 2 hypotheses held, 1 finding.",
        "| node-loss | the playbook runs | held | 1 of 1 checks passed |",
        "| node-loss | Ben names the node | not held | said by Ana Ruiz (facilitator) |",
        "| node-loss | passed | 4.1 s | – | 0 s | 16.4 s | so it went | r0-1 |",
        "| without-the-playbook (sabotage playbook-disabled) | skipped | – | – | – | – | no time |  |",
        "| F1 | no \\| runbook | Ben | 2026-10-01 | open |",
        "- look at the node first (Ben (on-call))",
        "“the \\| pager \\<rang\\>”",
        "| node-loss | alert NodeNotReady node-2 firing |",
        "- [x] before: everybody is here",
        "- [ ] before: nothing is injected",
        "- [x] support by chat: it begins (told 14:13:22)",
        "- [ ] support by chat: it is over (not told)",
        "- GPUs are emulated.",
    ):
        assert line in page, line


def test_the_timeline_is_in_order_with_the_runs_own_story() -> None:
    moments = record_of(EVENTS).timeline
    assert [one.at for one in moments] == sorted(one.at for one in moments)
    words = [one.text for one in moments]
    assert words.index("node-loss begins") < words.index("alert NodeNotReady node-2 firing") < words.index(
        "the | pager <rang>"
    )


class _Page(HTMLParser):
    """Every tag closed, nothing loaded from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.outside: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)
        self.outside += [str(v) for k, v in attrs if k in ("src", "href") and v and not v.startswith(("#", "data:"))]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def test_the_page_stands_alone_and_says_the_same() -> None:
    page = _Page()
    page.feed(record_html(record_of(EVENTS)))
    assert page.open == [] and page.outside == []
    for words in ("the | pager <rang>", "no | runbook", "look at the node first", "16.4 s", "not held", "emulated."):
        assert words in page.words


def test_for_machines_it_is_the_same_every_time() -> None:
    document = record_document(record_of(EVENTS))
    assert json.dumps(document, sort_keys=True) == json.dumps(record_document(record_of(EVENTS)), sort_keys=True)
    assert document["status"] == "failed" and document["exit_code"] == 1
    assert document["drills"][0]["times"] == {"mttd": 4.1, "mtta": None, "mitigate": 0.0, "mttr": 16.4}


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ((), "inconclusive"),
        ((begun(), finished(checks=CHECKS)), "inconclusive"),
        ((begun(), finished(checks=CHECKS), begun(1, at=AT + 200), finished(1, at=AT + 300)), "passed"),
        ((begun(), finished(status="failed", checks=CHECKS)), "failed"),
        ((begun(), finished(status="inconclusive")), "inconclusive"),
        ((begun(), finished(status="refused")), "inconclusive"),
        ((begun(), finished(status="aborted")), "aborted"),
        ((begun(), finished(status="unclean")), "unclean"),
    ],
)
def test_what_it_all_came_to(events: tuple[Event, ...], status: str) -> None:
    skips = [Event(AT + 900, "step.skipped", ANA, {"step": 1, "reason": "x"})] if len(events) in (2,) else []
    made = [opened(), *events, *skips]
    ended = Event(AT + 999, "gameday.ended", ANA, {"outcome": "completed"})
    if status == "inconclusive" and len(events) == 2 and events[1].data["status"] == "passed":
        # Not ended: nothing can be said yet.
        assert record_of(made).status == status
    else:
        assert record_of([*made, ended]).status == status


def test_a_game_day_that_ran_nothing_says_so() -> None:
    ended = Event(AT + 999, "gameday.ended", ANA, {"outcome": "aborted", "reason": "no"})
    assert tally(record_of([opened(), ended])).startswith("no drill was run, ")


@given(st.text(max_size=60))
def test_no_words_break_a_table(words: str) -> None:
    event = Event(AT, "finding.raised", "x", {"text": words, "owner": words, "due": ""})
    page = record_markdown(record_of([opened(), event]))
    lines = page.partition("## Findings\n\n")[2].partition("\n\n## What we learned")[0].split("\n")
    assert len(lines) == 3 and "\n" not in lines[2]
    bare = lines[2].replace("\\\\", "").replace("\\|", "")
    assert bare.count("|") == 6
    assert "\n" not in text(words)


def test_the_files_are_written_and_the_list_knows_what_came_of_it(tmp_path: Path) -> None:
    made = journal(tmp_path, *EVENTS[1:])
    record, path = write_record(made)
    close_books(made)
    assert path == tmp_path / "gamedays" / "quick-1" / "record.md"
    assert sorted(one.name for one in path.parent.glob("record.*")) == ["record.html", "record.json", "record.md"]
    [one] = all_gamedays(tmp_path)
    assert (one.identity, one.outcome, one.summary) == (
        "quick-1", "failed", "1 of 1 drill passed (1 not run), 1 of 2 hypotheses held, 1 finding",
    )  # fmt: skip
    assert path.parent.stat().st_mode & 0o077 == 0
    assert record.state.document == document()
