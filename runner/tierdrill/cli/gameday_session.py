"""Sitting down at a game day from the command line: finding its document, the right face for this terminal, the end."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import closing
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import click

from tierdrill.cli.drill_documents import catalogue_of, check_place, whole_catalogue
from tierdrill.cli.errors import INTERRUPTED, Refusal, say
from tierdrill.cli.folders import Surroundings, author
from tierdrill.cli.logs import log_to_file

if TYPE_CHECKING:
    from tierdrill.documents.catalogue import Catalogue
    from tierdrill.documents.models.gameday import GameDay
    from tierdrill.gameday.console.console_loop import Ending, Face
    from tierdrill.gameday.console.facilitator_lock import Seat
    from tierdrill.gameday.gameday_engine import Engine
    from tierdrill.gameday.journal import GameDayRecord, Journal

STDIN = 0


def who(named: str | None, document: GameDay, role: str) -> str:
    """Who is at the keyboard, as it is shown: with the role in the document, or the one given.

    The facilitator who gives no name is the document's, if it has one only.
    """
    from tierdrill.gameday.record.step_outcome import author_of, shown

    name = named.strip() if named and named.strip() else ""
    in_role = [one for one in document.participants if one.role == role]
    if not name and role == "facilitator" and len(in_role) == 1:
        return shown(in_role[0])
    name = name or author()
    known = author_of(name, document.participants)
    return known if known != name or not role else f"{name} ({role})"


def begin(
    here: Surroundings, file: str, named: str | None, *, lab: str | None, unattended: bool, pauses: bool, plain: bool,
    in_maintenance: str,
) -> tuple[Journal, Seat]:
    """Open a new game day and take its seat. Refusal or SpecError where it cannot be held; nothing is written then."""
    from tierdrill.documents.catalogue import setting_of
    from tierdrill.gameday.console.facilitator_lock import Seat
    from tierdrill.gameday.journal import all_gamedays
    from tierdrill.gameday.step_runs import Opening, open_gameday

    document, catalogue = _document(here, file)
    check_place(here, [setting_of(catalogue, step.drill) for step in document.steps], lab)
    _refuse_halted(here)
    if not unattended and not _has_input():
        raise Refusal("standard input is neither a terminal nor a pipe (use --yes to run unattended)")
    still_open = [one.identity for one in all_gamedays(here.home) if one.outcome is None]
    me = who(named, document, "facilitator")
    journal = open_gameday(here.home, document, catalogue, Opening(me, lab, unattended, pauses, in_maintenance))
    if still_open:
        say(f"open game days: {', '.join(still_open[:3])} (tierdrill gameday --resume ID, or abort ID)")
    seat = Seat(journal.folder)
    seat.take(me)
    return journal, seat


def _document(here: Surroundings, file: str) -> tuple[GameDay, Catalogue]:
    """The game day of a file, or of that name in the catalogue, and the catalogue that it is held against."""
    from tierdrill.did_you_mean import did_you_mean, nearest
    from tierdrill.text import listed

    path = Path(file)
    if path.is_file():
        root = catalogue_of(path)
        catalogue = whole_catalogue(root) if root is not None else whole_catalogue(here.catalogue, [path.resolve()])
        for name, document in catalogue.gamedays.items():
            if catalogue.paths["GameDay", name].resolve() == path.resolve():
                return document, catalogue
        raise Refusal(f"{file}: not a game day, expected a file with kind: GameDay")
    catalogue = whole_catalogue(here.catalogue)
    if file in catalogue.gamedays:
        return catalogue.gamedays[file], catalogue
    near = nearest(file, catalogue.gamedays)
    known = listed(sorted(catalogue.gamedays))
    raise Refusal(f"no file and no game day named {file!r}, expected a path, or one of: {known}{did_you_mean(near)}")


def _refuse_halted(here: Surroundings) -> None:
    from tierdrill.history.kill_switch import halted

    halt = halted(here.home)
    if halt is not None:
        raise Refusal(
            f"the kill switch is on: {halt.reason} ({halt.author}); `tierdrill resume --reason ...` turns it off"
        )


def _has_input() -> bool:
    """Whether anything can be typed or piped in; a device that is no terminal (/dev/null) is nothing."""
    try:
        return os.isatty(STDIN) or not stat.S_ISCHR(os.fstat(STDIN).st_mode)
    except OSError:
        return False


def take_up(here: Surroundings, named: str | None, who_named: str | None, *, take_over: bool) -> tuple[Journal, Seat]:
    """The open game day and its seat; Refusal where there is none or somebody sits there."""
    from tierdrill.gameday.console.facilitator_lock import Seat, SeatTaken
    from tierdrill.gameday.journal import Journal, find_gameday

    try:
        record = find_gameday(here.home, named, only_open=True)
    except LookupError as error:
        raise Refusal(str(error.args[0])) from error
    journal = Journal(here.home, record.identity)
    document = _begun(journal)
    seat = Seat(journal.folder)
    me = who(who_named, document, "facilitator")
    try:
        (seat.take_over if take_over else seat.take)(me)
    except SeatTaken as taken:
        again = "they did not leave" if take_over else "or take over with --resume --take-over"
        raise Refusal(f"{taken}; `tierdrill gameday watch {record.identity}` watches it, {again}") from taken
    return journal, seat


def _begun(journal: Journal) -> GameDay:
    """The game day's document; Refusal where its journal does not begin with it."""
    document = journal.read().document
    if document is None:
        raise Refusal(f"game day {journal.identity} cannot be read: its journal has no start")
    return document


def sit_down(
    here: Surroundings, journal: Journal, seat: Seat, named: str | None, *, plain: bool, color: bool
) -> int:
    """Facilitate until the game day ends or the person leaves; the exit code."""
    from tierdrill.gameday.console.console_loop import Sitting
    from tierdrill.gameday.console.facilitator_lock import environment_held
    from tierdrill.gameday.gameday_engine import Engine
    from tierdrill.history.events import event
    from tierdrill.history.kinds.exercise_kinds import FacilitatorJoined

    log_to_file(here.home)
    state = journal.read()
    assert state.document is not None
    me = who(named, state.document, "facilitator")
    journal.write([event(FacilitatorJoined(pid=os.getpid(), login=author()), me)])
    engine = Engine(journal, me)
    face = _face(engine, plain=plain, color=color, reads=not state.unattended)
    try:
        with environment_held(here.home, state.document.environment, journal.identity, me):
            ending = Sitting(engine, face, stays_without_face=state.unattended).hold()
    finally:
        seat.leave()
    return _conclude(journal, ending, color)


def _face(engine: Engine, *, plain: bool, color: bool, reads: bool) -> Face:
    from tierdrill.gameday.console.line_face import LineFace
    from tierdrill.gameday.console.terminal_face import PatientStream, TerminalFace
    from tierdrill.report.run.terminal_summary import make_console

    terminal = os.isatty(STDIN) and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    if terminal and not plain:
        stream = PatientStream(os.ttyname(sys.stdout.fileno()))
        return TerminalFace(engine, make_console(cast(IO[str], stream), color=color), stream, STDIN)
    return LineFace(engine, STDIN if reads and _has_input() else None)


def _conclude(journal: Journal, ending: Ending, color: bool) -> int:
    from tierdrill.gameday.record.record_files import close_books

    identity = journal.identity
    if ending == "ended":
        close_books(journal)
        return _tell_end(journal, color)
    try:
        if ending == "killed":
            say("stopped at once: the reaper undoes the faults (see `tierdrill status`); "
                f"`tierdrill gameday --resume {identity}` finishes the record")  # fmt: skip
        else:
            goes_on = "its run continues; " if journal.state.stage == "running" else ""
            click.echo(f"{goes_on}no further step starts until `tierdrill gameday --resume {identity}`")
    except OSError:
        pass
    journal.close()
    return INTERRUPTED if ending == "killed" else 0


def _tell_end(journal: Journal, color: bool) -> int:
    from tierdrill.gameday.console.facilitator_screen import STATUS_STYLES
    from tierdrill.gameday.record.gameday_record import record_of
    from tierdrill.gameday.record.record_files import HTML, tally, write_record
    from tierdrill.report.run.terminal_summary import make_console

    try:
        record, path = write_record(journal)
        files = [str(path), str(path.with_name(HTML))]
    except OSError as error:
        record, files = record_of(journal.events()), []
        say(f"the record could not be written: {error.strerror}; `tierdrill gameday report` writes it later")
    journal.close()
    try:
        console = make_console(color=color)
        reason = f" ({record.state.reason})" if record.state.reason else ""
        style = STATUS_STYLES.get(record.status, "")
        console.print(f"{record.status.upper()}  game day {journal.identity}", style=style)
        click.echo(f"{tally(record)}{reason}")
        for row in record.drills:
            click.echo(f"  {row.step}: {row.status}{': ' + row.summary if row.summary else ''}")
        for file in files:
            click.echo(f"record  {file}")
        sys.stdout.flush()
    except OSError:
        pass
    return record.exit_code


def look_on(here: Surroundings, record: GameDayRecord, named: str | None, *, plain: bool, color: bool) -> int:
    """Watch a game day, hands off."""
    from tierdrill.gameday.console.console_loop import Sitting
    from tierdrill.gameday.gameday_engine import Engine
    from tierdrill.gameday.journal import Journal

    log_to_file(here.home)
    with closing(Journal(here.home, record.identity)) as journal:
        document = _begun(journal)
        engine = Engine(journal, who(named, document, "observer"), hands_off=True)
        Sitting(engine, _face(engine, plain=plain, color=color, reads=True)).hold()
        if journal.state.ended is not None:
            click.echo(f"game day {record.identity} has ended: {journal.state.outcome}")
    return 0


def abort_everything(here: Surroundings, record: GameDayRecord, named: str | None, reason: str) -> int:
    """Ask for it, and see it done: by the facilitator's engine where there is one, else by one of our own."""
    from tierdrill.gameday.console.console_loop import Sitting
    from tierdrill.gameday.console.facilitator_lock import Seat, SeatTaken
    from tierdrill.gameday.console.line_face import LineFace
    from tierdrill.gameday.gameday_commands import Command
    from tierdrill.gameday.gameday_engine import Engine
    from tierdrill.gameday.journal import Journal

    journal = Journal(here.home, record.identity)
    document = _begun(journal)
    me = who(named, document, "")
    Engine(journal, me, hands_off=True).do(Command("abort", text=reason))
    seat = Seat(journal.folder)
    try:
        seat.take(me)
        engine = Engine(journal, me)
    except SeatTaken as taken:
        say(f"{taken}; they stop it")
        engine = Engine(journal, me, hands_off=True)
    try:
        ending = Sitting(engine, LineFace(engine, None), stays_without_face=True).hold()
    finally:
        seat.leave()
    return _conclude(journal, ending, here.color)
