"""The HTML report: whole, self-contained, small, and safe whatever the documents and events say."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from report_synthetic import Made, drill, sabotage, setting, without_samples

from tierdrill.history.events import Event
from tierdrill.judge.judge import judge
from tierdrill.judge.verdict import Check, Status, Verdict
from tierdrill.report.run.html_report import html_report
from tierdrill.report.run.terminal_summary import summary_text

VOID = {"meta", "link", "br", "hr", "img", "input", "wbr"}


class _Reader(HTMLParser):
    """Checks nesting, and collects ids, links and text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id" and value:
                self.ids.append(value)
            if name in ("href", "src") and value:
                self.links.append(value)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        self.text += data


def _read(html: str) -> _Reader:
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert not reader.open
    return reader


def _render(made: Made) -> str:
    return html_report(made.setting, made.events, made.verdict)


@pytest.mark.parametrize("made", [drill(), sabotage(), without_samples(drill())], ids=["drill", "sabotage", "empty"])
def test_whole_self_contained_and_small(made: Made) -> None:
    html = _render(made)
    page = _read(html)
    assert len(html.encode()) < 200_000
    assert len(page.ids) == len(set(page.ids))
    for link in page.links:
        assert link == "data:," or (link.startswith("#") and link[1:] in page.ids), link
    assert not re.search(r"https?://|@import|url\((?!#)", html)
    assert "script" not in page.tags
    assert "None" not in page.text and "nan" not in page.text.split()
    for name in ("Timeline", "Blast radius", "Checks", "Evidence", "Provenance"):
        assert name in page.text


def test_the_same_input_gives_the_same_bytes() -> None:
    assert _render(drill()) == _render(drill())


def test_what_a_reader_must_see() -> None:
    text = " ".join(_read(_render(drill())).text.split())
    for words in (
        *("passed node-loss", "node power loss on node-2", "fired +3.9 s", "done +5.7 s", "7 of 7 objectives held"),
        *("GPUs are emulated", "tierdrill run node-loss", "assistant-1", "silent, as they must be", "3f9d2c1"),
    ):
        assert words in text, words
    failed = " ".join(_read(_render(sabotage())).text.split())
    for words in ("This run had to fail", "it did.", "never ran", "What decided", "skipped: disabled", "1 page"):
        assert words in failed, words


def test_numbers_keep_to_their_units_and_no_escape_is_shown() -> None:
    made = drill()
    page = _render(made)
    assert "\u00a0" in page and "\\u" not in page


def test_status_is_also_in_words() -> None:
    html = _render(sabotage())
    assert html.count('class="pill failed">failed') >= 7


def test_nothing_in_the_data_becomes_markup() -> None:
    evil = "<script>alert(1)</script>\"'><img src=x onerror=y>"
    made = drill()
    verdict = replace(
        made.verdict,
        summary=evil,
        notes=(evil,),
        checks=(*made.verdict.checks, Check("run/evil", "run", Status.FAILED, evil, evil, evil, (1,))),
        reasons=("run/evil",),
    )
    events = [
        *made.events,
        Event(made.events[-1].at, "run.note", evil, {"text": evil}, 1000),
        Event(made.events[-1].at, "alert.state", "x", {"alert": evil, "state": "firing", "labels": {"a": evil}}, 1001),
        Event(made.events[-1].at, "ledger.open", "x", {"faults": [evil]}, 1002),
    ]
    page = _read(html_report(made.setting, events, verdict))
    assert "script" not in page.tags and "img" not in page.tags
    assert evil in page.text


@pytest.mark.parametrize("status", list(Status))
def test_a_history_of_nothing_still_makes_a_page(status: Status) -> None:
    verdict = Verdict("run", "node-loss", "blip", status, "Nothing was recorded.", ("run/gone",), ())
    page = _read(html_report(setting(), [], verdict))
    assert status.value in page.text and "Blip twin" in page.text


def test_every_cut_of_a_run_makes_a_page() -> None:
    made = drill()
    for length in range(0, len(made.events), 9):
        _read(html_report(made.setting, made.events[:length], made.verdict))


def test_a_long_run_is_drawn_in_wider_steps() -> None:
    made = drill()
    stretched = [replace(event, at=made.events[0].at + (event.at - made.events[0].at) * 60) for event in made.events]
    assert "Each step is 14 seconds" in html_report(made.setting, stretched, made.verdict)


@pytest.mark.parametrize("made", [drill(), sabotage()], ids=["drill", "sabotage"])
def test_the_judges_own_verdict_fits_every_view(made: Made) -> None:
    verdict = judge(made.events)
    assert {check.id for check in verdict.checks if check.group == "slo"} >= {"slo/critical/latency-p99"}
    text = " ".join(_read(html_report(made.setting, made.events, verdict)).text.split())
    assert "p99 latency" in text and "not judged" not in text.partition("best-effortrank 3")[0]
    lines = summary_text(made.setting, made.events, verdict, report="/r.html").splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 80
