"""The trend's views: words, sparklines, axis of dates, terminal, page and JSON."""

from __future__ import annotations

import io
import json
import random
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from tests.judge.nights import DAY, FIRST, Night, nights

from tierdrill.judge.trend.run_figures import Build, RunFigures
from tierdrill.judge.trend.whole_trend import Trend, trend_of
from tierdrill.report.charts.axis import date_ticks
from tierdrill.report.charts.sparkline import BLOCKS, PLAIN, sparkline
from tierdrill.report.format import ASCII, UNICODE
from tierdrill.report.run.terminal_summary import make_console
from tierdrill.report.trend.html_page import trend_html
from tierdrill.report.trend.json_data import trend_document
from tierdrill.report.trend.plot import span_of
from tierdrill.report.trend.plot_lanes import builds
from tierdrill.report.trend.terminal_table import print_trend
from tierdrill.report.trend.wording import regression_words, show_age, show_margin, show_score, stale_words

NOW = FIRST + 40 * DAY
CATALOGUE = {
    "node-loss": {"critical": 1, "standard": 2, "best-effort": 3},
    "slow-link": {"critical": 1},
}
NEW = Build("0.2.0", "aaaaaaa" + "0" * 33, False, "81c0" * 4)


def worse_and_new(number: int, night: Night, chooser: random.Random) -> Night:
    if number >= 20:
        night = replace(night, build=NEW)
    return replace(night, mttd=9.0 + chooser.random()) if number >= 33 else night


@pytest.fixture(scope="module")
def figures() -> list[RunFigures]:
    return nights(count=40, knob=worse_and_new)


@pytest.fixture(scope="module")
def trend(figures: list[RunFigures]) -> Trend:
    return trend_of(figures, NOW, catalogue=CATALOGUE)


def shown(trend: Trend, width: int = 100, encoding: str = "utf-8", **more: str) -> str:
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console: Console = make_console(out, color=False, width=width)
    print_trend(console, trend, **more)
    out.flush()
    return out.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]


def test_the_overview_says_scores_outcomes_and_what_became_worse(trend: Trend) -> None:
    text = shown(trend)
    assert re.search(r"critical +\d+ .* weakest slow-link, no run says", text)
    assert re.search(r"node-loss +✓{14} +40/40 +24 h +10 days old", text)
    assert "node-loss: time to detect rose: 4.4 s → 9.4 s" in text
    assert "slow-link: never run" in text


def test_one_drill_in_full_explains_its_points(trend: Trend) -> None:
    text = shown(trend, drill="node-loss")
    assert re.search(r"time to detect +[▁-█]+ +9\.\d s +worse: 4\.4 s", text)
    assert "60 of 60  passed, 24 h ago" in text
    assert "15 of 15  proven 10 days ago" in text
    assert "slow-link" not in text
    assert "standard" not in shown(trend, drill="node-loss", tier="critical").partition("regressed")[0]


@pytest.mark.parametrize("width", [40, 60, 80, 200])
@pytest.mark.parametrize("drill", [None, "node-loss"])
def test_no_line_is_wider_than_the_terminal(trend: Trend, width: int, drill: str | None) -> None:
    lines = shown(trend, width, **({"drill": drill} if drill else {})).splitlines()
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("drill", [None, "node-loss"])
def test_without_utf8_it_is_plain_ascii(trend: Trend, drill: str | None) -> None:
    shown(trend, 80, "ascii", **({"drill": drill} if drill else {})).encode("ascii")


def test_no_colours_where_none_are_wanted(trend: Trend) -> None:
    assert "\x1b" not in shown(trend)


class Page(HTMLParser):
    """What a page links to, what can be linked to, and whether its elements are closed in order."""

    VOID = frozenset({"meta", "link", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.sources: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        self.ids += [named["id"]] if "id" in named else []
        self.links += [named["href"]] if tag == "a" else []
        self.sources += [named[name] for name in ("src", "href") if name in named and tag != "a"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()
        else:
            self.wrong.append(tag)


def test_the_page_is_whole_and_every_point_leads_to_its_run(trend: Trend) -> None:
    page = Page(trend_html(trend, lambda run: f"runs/{run}/report.html" if run.endswith("39") else None))
    assert (page.wrong, page.open) == ([], [])
    inner = [link[1:] for link in page.links if link.startswith("#")]
    assert len(inner) > 200
    assert set(inner) <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert [link for link in page.links if not link.startswith("#")] == ["runs/node-loss-00039/report.html"]


def test_the_page_loads_nothing(trend: Trend) -> None:
    text = trend_html(trend)
    assert Page(text).sources == ["data:,"]
    assert not re.search(r"@import|url\((?!#)|https?://", text)


def test_the_page_marks_the_change_of_build_and_what_became_worse(trend: Trend) -> None:
    text = trend_html(trend)
    assert "tierdrill 0.1.0 → 0.2.0" in text
    assert 'class="band worse"' in text
    assert "time to detect rose" in text
    assert "slow-link: never run" in text


def test_names_from_outside_are_escaped() -> None:
    figures = [replace(run, drill="<script>x", doubt="<b>") for run in nights(count=3, proofs_every=0)]
    text = trend_html(trend_of(figures, NOW))
    assert "<script" not in text
    assert "<b>x" not in text.replace("<b>", "", 0) or "&lt;script&gt;x" in text


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_short_history_is_no_trouble(count: int) -> None:
    trend = trend_of(nights(count=count, proofs_every=0), FIRST + count * DAY)
    for text in (shown(trend), shown(trend, drill="node-loss"), trend_html(trend)):
        assert "too few runs" in text or "Nothing was shown" in text
    assert Page(trend_html(trend)).wrong == []


def test_only_doubtful_runs_are_told_as_such() -> None:
    figures = [replace(run, status="inconclusive") for run in nights(count=4, proofs_every=0)]
    trend = trend_of(figures, NOW)
    assert "no run of it has said anything yet" in shown(trend)
    assert re.search(r"critical +0 ", shown(trend))
    assert "0 of 0 passed" in trend_html(trend)


def test_a_page_of_many_years_stays_small() -> None:
    figures = [run for number in range(4) for run in nights(f"drill-{number}", count=800, seed=number)]
    text = trend_html(trend_of(figures, FIRST + 801 * DAY))
    assert len(text.encode()) < 2_000_000
    assert "The newest 1500 of" in text


def test_the_document_for_machines_is_stable_and_plain(trend: Trend, figures: list[RunFigures]) -> None:
    document = trend_document(trend)
    keys = {"format", "now", "since", "runs", "tiers", "drills", "regressions", "never_run", "false_alarms"}
    assert set(document) == keys
    assert json.dumps(document, allow_nan=False) == json.dumps(
        trend_document(trend_of(figures[::-1], NOW, catalogue=CATALOGUE)), allow_nan=False
    )
    assert document["never_run"] == ["slow-link"]
    [one] = document["regressions"]
    assert (one["key"], one["outlook"], one["drill"]) == ("node-loss/lab/mttd", "worse", "node-loss")
    assert one["earlier"]["runs"] + one["latest"]["runs"] <= 40
    [drill] = document["drills"]
    assert drill["runs"] == {"passed": 40}
    mttd = next(each for each in drill["measures"] if each["measure"] == "mttd")
    assert len(mttd["points"]) == 40
    only = trend_document(trend, "standard")
    assert [each["tier"] for each in only["tiers"]] == ["standard"]
    assert {each["tier"] for each in only["drills"][0]["measures"]} == {None, "standard"}


def test_a_regression_in_one_sentence(trend: Trend) -> None:
    [one] = trend.regressions
    words = regression_words(one)
    assert words.startswith("node-loss: time to detect rose: 4.4 s → 9.4 s, shift +5.0 s (98%: ")
    assert re.search(r"7 runs after 33, p < 0\.0001 \(Holm, 16 measures\); from node-loss-00033 on$", words)


def test_changes_of_build_that_cannot_be_told_apart_are_one_mark() -> None:
    def always_new(number: int, night: Night, chooser: random.Random) -> Night:
        return replace(night, build=Build("0.1.0", f"{number:07d}", False, "81c0"))

    trend = trend_of(nights(count=300, knob=always_new, proofs_every=0), FIRST + 300 * DAY)
    [one] = trend.drills
    marks = builds(one.runs.nights, span_of(trend))
    assert 10 < len(marks) < 80
    assert all(later.x - earlier.x >= 1.5 for earlier, later in pairwise(marks))
    assert sum(mark.title.count("commit") for mark in marks) == 299


@given(st.floats(0, 4e9), st.floats(60, 3e9), st.integers(3, 14))
def test_ticks_of_dates_are_few_whole_and_in_order(low: float, span: float, at_most: int) -> None:
    found = date_ticks(low, low + span, at_most)
    assert len(found) <= at_most
    assert all(low - 1e-3 <= at <= low + span for at, _ in found)
    assert all(earlier[0] < later[0] for earlier, later in pairwise(found))
    assert all(datetime.fromtimestamp(at, UTC).minute == datetime.fromtimestamp(at, UTC).second == 0 for at, _ in found)
    if span > 7 * 86400 and at_most >= 6:
        assert len(found) >= 2


@pytest.mark.parametrize(
    ("days", "labels"),
    [
        (0.5, ["1 Jan 00:00", "03:00", "06:00", "09:00", "12:00"]),
        (5, ["1 Jan 2026", "2 Jan", "3 Jan", "4 Jan", "5 Jan", "6 Jan"]),
        (30, ["5 Jan 2026", "12 Jan", "19 Jan", "26 Jan"]),
        (200, ["Jan 2026", "Feb", "Mar", "Apr", "May", "Jun", "Jul"]),
        (800, ["Jan 2026", "Apr", "Jul", "Oct", "Jan 2027", "Apr", "Jul", "Oct", "Jan 2028"]),
    ],
)
def test_ticks_as_people_count(days: float, labels: list[str]) -> None:
    assert [label for _, label in date_ticks(FIRST, FIRST + days * DAY, 9)] == labels


def test_sparklines_by_hand() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8, UNICODE) == BLOCKS
    assert sparkline([0, 7], 8, ASCII) == PLAIN[0] + PLAIN[-1]
    assert sparkline([5, 5, 5], 8, UNICODE) == "▄▄▄"
    assert sparkline([None, 1, None, 3], 8, UNICODE) == " ▁ █"
    assert sparkline([], 8, UNICODE) == ""
    assert sparkline([50, 100], 8, UNICODE, low=0) == "▅█"
    assert sparkline([12, 12], 8, UNICODE, low=0, high=100) == "▂▂"
    assert sparkline([0], 8, UNICODE, low=0, high=100) == "▁"


@given(st.lists(st.one_of(st.none(), st.floats(-1e9, 1e9)), max_size=200), st.integers(1, 40))
def test_a_sparkline_fits_and_the_largest_mean_stands_tallest(values: list[float | None], width: int) -> None:
    line = sparkline(values, width, UNICODE)
    assert len(line) == min(width, len(values))
    known = [value for value in values if value is not None]
    if len(values) <= width and known and max(known) > min(known):
        assert line[values.index(max(known))] == "█"


@pytest.mark.parametrize(
    ("value", "words"), [(0.312, "31%"), (-0.4, "−40%"), (-10.0, "−1000% or worse"), (None, "–"), (0.0, "0%")]
)
def test_margins_in_words(value: float | None, words: str) -> None:
    assert show_margin(value) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(None, "never"), (-5, "0 min"), (90, "2 min"), (7200, "2 h"), (1e6, "12 days")]
)
def test_ages_in_words(seconds: float | None, words: str) -> None:
    assert show_age(seconds) == words


@pytest.mark.parametrize(("score", "words"), [(None, "none"), (99.7, "99"), (100.0, "100"), (91.9, "92"), (0.0, "0")])
def test_a_hundred_means_all_points(score: float | None, words: str) -> None:
    assert show_score(score) == words


def test_what_is_stale_is_named(figures: list[RunFigures]) -> None:
    later = trend_of(figures, NOW + 70 * DAY, catalogue=CATALOGUE)
    lines = stale_words(later.drills, later.never)
    assert lines == [
        "node-loss: no run that says anything for 71 days",
        "slow-link: never run",
    ]
    much_later = trend_of(figures, NOW + 100 * DAY)
    assert "node-loss: its proof is 110 days old" in stale_words(much_later.drills, ())
