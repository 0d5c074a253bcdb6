"""The summary fits its screen, obeys NO_COLOR, and does without UTF-8."""

import io
from dataclasses import replace

import pytest
from report_synthetic import Made, drill, sabotage, setting, without_samples

from tierdrill.judge.verdict import Check, Status, Verdict
from tierdrill.report.format import ASCII
from tierdrill.report.run.terminal_summary import make_console, print_summary, summary_text

MADE = [drill(), sabotage(), without_samples(drill())]


@pytest.mark.parametrize("made", MADE, ids=["drill", "sabotage", "empty"])
def test_fits_one_screen(made: Made) -> None:
    lines = summary_text(made.setting, made.events, made.verdict, report="/tmp/report.html").splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert lines[0].split()[1] == made.verdict.status.value.upper()
    assert lines[-1].endswith("/tmp/report.html")


@pytest.mark.parametrize("width", [20, 40, 60, 72, 80, 200])
@pytest.mark.parametrize("height", [5, 24, 100])
def test_never_wider_than_the_terminal(width: int, height: int) -> None:
    for made in MADE:
        text = summary_text(made.setting, made.events, made.verdict, width=width, height=height)
        assert max(map(len, text.splitlines())) <= width


def test_more_room_shows_every_objective() -> None:
    made = sabotage()
    small = summary_text(made.setting, made.events, made.verdict)
    assert "and 5 other objectives: 2 not held" in small
    large = summary_text(made.setting, made.events, made.verdict, width=120, height=60)
    assert "first token" in large and "time to mitigate" in large and "other objectives" not in large


def test_says_what_matters() -> None:
    made = drill()
    text = summary_text(made.setting, made.events, made.verdict)
    for words in (
        "99.82%",
        "≥ 99%",
        "99.55%–99.93%",
        "2,240",
        "landed +0.0 s, gone +21.2 s",
        "fired +3.9 s",
        "done +5.7 s",
    ):
        assert words in text, words
    assert "detect 3.9 s · mitigate 2.0 s · recover 21.2 s" in text
    assert "never ran (disabled)" in summary_text(made.setting, sabotage().events, sabotage().verdict)


def test_a_check_without_figures_leaves_room_for_the_names_beside_it() -> None:
    made = sabotage()
    check = Check(
        "slo/critical/fault-phase-times",
        "slo",
        Status.FAILED,
        "critical",
        "no promised time is shown to be broken while the fault was in effect",
        "p99 latency 573.1ms (95%: 570.8ms to 575.1ms)",
    )
    text = summary_text(made.setting, made.events, replace(made.verdict, checks=(check, *made.verdict.checks)))
    header = next(line for line in text.splitlines() if "promise" in line)
    assert {"tier", "promise", "limit", "seen"} < {*header.split()}


def test_a_run_in_which_nothing_was_measured_says_so_in_one_line() -> None:
    made = without_samples(drill())
    unseen = tuple(
        replace(check, status=Status.INCONCLUSIVE, samples=0) if check.group == "slo" else check
        for check in made.verdict.checks
    )
    text = summary_text(made.setting, made.events, replace(made.verdict, checks=unseen))
    assert "nothing was measured" in text
    assert "promise" not in text


def test_plain_ascii_where_the_encoding_is_not_utf8() -> None:
    for made in MADE:
        summary_text(made.setting, made.events, made.verdict, glyphs=ASCII).encode("ascii")
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", errors="strict")
    made = sabotage()
    print_summary(make_console(stream, width=60, height=24), made.setting, made.events, made.verdict, "/r.html")
    stream.flush()
    assert b"x FAILED" in raw.getvalue() and b">= 99%" in raw.getvalue()


@pytest.mark.parametrize("how", ["flag", "environment"])
def test_no_color(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    made = drill()
    if how == "environment":
        monkeypatch.setenv("NO_COLOR", "1")
    plain, colored = io.StringIO(), io.StringIO()
    print_summary(make_console(plain, color=how != "flag", width=80), made.setting, made.events, made.verdict)
    assert "\x1b[" not in plain.getvalue()
    monkeypatch.delenv("NO_COLOR", raising=False)
    print_summary(make_console(colored, width=80), made.setting, made.events, made.verdict)
    assert "\x1b[" in colored.getvalue()


def test_escape_sequences_in_the_data_do_not_reach_the_terminal() -> None:
    verdict = Verdict("r", "d\x1b]0;x\x07", "drill", Status.FAILED, "\x1b[2Jgone\nsecond", (), (), notes=("\x1b[31m",))
    text = summary_text(setting(), [], verdict)
    assert "\x1b" not in text and "\x07" not in text


@pytest.mark.parametrize("status", list(Status))
def test_a_history_of_nothing(status: Status) -> None:
    assert status.value.upper() in summary_text(setting(), [], Verdict("r", "d", "drill", status, "-", (), ()))
