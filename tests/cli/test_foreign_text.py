"""What others wrote (documents, calendars, reasons, alerts, silences) acts on no terminal, no log and no page."""

from __future__ import annotations

import io
import logging
import re
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.support import copied_catalogue, tierdrill
from tierdrill.cli.logs import log_lines, log_to_file
from tierdrill.cli.standard_streams import _Output
from tierdrill.history.kill_switch import throw_kill_switch
from tierdrill.history.ledger import Ledger
from tierdrill.report.html_template import page_environment
from tierdrill.report.run.terminal_summary import make_console
from tierdrill.schedule.gates.gate_rules import AlertFacts, alerts
from tierdrill.text import table

NASTY = "a\x1b]0;title\x07b\x9b2Kc\u202ed\re\nf\x00g"
"""A window's title, a line deleted, right to left, back to the start of the line, a line of its own."""

ACTS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def output() -> tuple[io.BytesIO, _Output]:
    raw = io.BytesIO()
    return raw, _Output(raw, "utf-8", errors="backslashreplace")


def test_nothing_that_is_printed_acts() -> None:
    raw, stream = output()
    stream.write(f"{NASTY}\n\ttab\n")
    stream.flush()
    written = raw.getvalue().decode()
    assert not ACTS.search(written)
    assert written.count("\n") == 3 and "\ttab" in written


def test_views_that_colour_still_can() -> None:
    raw, stream = output()
    console = make_console(stream)
    assert console.file is not stream
    console.file.write("\x1b[1mbold\x1b[0m")
    console.file.flush()
    assert raw.getvalue() == b"\x1b[1mbold\x1b[0m"


def test_a_cell_of_a_table_is_one_line() -> None:
    (line,) = table([[NASTY, "x"]]).splitlines()
    assert not ACTS.search(line)


def test_a_record_of_the_log_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.Logger("root")
    monkeypatch.setattr(logging, "root", root)
    monkeypatch.setattr(logging.Logger, "root", root)
    log_to_file(tmp_path)
    root.warning("held: %s", NASTY)
    root.handlers[0].close()
    root.handlers.clear()
    raw, stream = output()
    monkeypatch.setattr("sys.stderr", stream)
    for as_json in (False, True):
        log_lines(as_json=as_json)
        root.warning("held: %s", NASTY)
        root.handlers.clear()
    stream.flush()
    for written in ((tmp_path / "tierdrill.log").read_text(), raw.getvalue().decode()):
        assert not ACTS.search(written)
        assert all("held: " in line for line in written.splitlines())


def test_what_a_gate_says_of_alerts_is_one_line() -> None:
    reason = alerts(AlertFacts(silenced=(f"x by y: {NASTY}",), source="Alertmanager"), "held").reason
    assert not ACTS.search(reason) and "\n" not in reason


def test_a_page_shows_it_and_obeys_nothing() -> None:
    environment = page_environment({}, "tierdrill.report")
    page = environment.from_string("<p>{{ text }}</p>\n").render(text=NASTY)
    assert not ACTS.search(page)
    assert "\\u202e" in page


def test_titles_and_reasons_on_the_terminal(tmp_path: Path) -> None:
    catalogue = copied_catalogue(tmp_path / "catalogue")
    path = catalogue / "drills" / "node-loss.yaml"
    title = r'  title: "Node loss\e]0;title\a\nforged line"'
    path.write_text(re.sub(r"  title: .*", lambda found: title, path.read_text(), count=1))
    home = tmp_path / "home"
    with closing(Ledger(home)) as ledger:
        throw_kill_switch(ledger.home, NASTY, NASTY)
    for words in (("--catalogue", catalogue, "plan", "node-loss"), ("--catalogue", catalogue, "list"), ("status",)):
        done = tierdrill(home, *words)
        assert done.code == 0, done.err
        assert not ACTS.search(done.out)
        assert not any(line.startswith(("forged", "f\\u0000g")) for line in done.out.splitlines())
