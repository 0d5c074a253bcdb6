"""`tierdrill gameday`: several drills in one sitting, with people; and what was written down about them."""

from __future__ import annotations

import sys
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from tierdrill.cli.completion import complete_gameday, complete_gameday_document
from tierdrill.cli.errors import Refusal, say
from tierdrill.cli.folders import Surroundings
from tierdrill.cli.options import echo_json, json_option, maintenance_option, no_color_option
from tierdrill.text import table, utc

if TYPE_CHECKING:
    from tierdrill.gameday.gameday_commands import Command
    from tierdrill.gameday.journal import GameDayRecord, Journal

HOLD = "hold"
_FILE = click.Argument(["file"])
_author = click.option("--author", metavar="WHO", help="Your name, or a participant's role.")
_which = click.option(
    "--gameday", metavar="ID", shell_complete=complete_gameday,
    help="ID of the game day [default: the open one, or the last]."
)


class _HoldByDefault(click.Group):
    """`tierdrill gameday FILE` is `tierdrill gameday hold FILE`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # With nothing on the line yet, tab completion offers the commands and the game days alike.
        bare = not args and not ctx.resilient_parsing
        if bare or (args and args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = [HOLD, *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        found = super().shell_complete(ctx, incomplete)
        documents = complete_gameday_document(ctx, _FILE, incomplete)
        return found + [one for one in documents if one.type != "file" or not found]


@click.group("gameday", cls=_HoldByDefault)
def command() -> None:
    """Run a game day: several drills in one session, with people in roles.

    `tierdrill gameday FILE` starts one (`hold` may be omitted), `tierdrill gameday --resume` returns to one.
    Its screen shows the drill, the tiers' health, alerts and playbooks; `h` there shows the keys. It ends in a record.
    """


@command.command(HOLD, short_help="Run or resume a game day.")
@click.argument("file", required=False, shell_complete=complete_gameday_document)
@click.option(
    "--resume",
    is_flag=False,
    flag_value="",
    metavar="[ID]",
    shell_complete=complete_gameday,
    help="Resume the open game day, or the one named.",
)
@click.option("--take-over", is_flag=True, help="With --resume: take over from the current facilitator.")
@click.option("--yes", is_flag=True, help="Run unattended: do not wait for the facilitator between steps.")
@click.option("--no-pauses", is_flag=True, help="Skip the pauses between steps.")
@click.option("--lab", metavar="NAME", help="Use a running lab instead of a new one per drill.")
@maintenance_option
@_author
@click.option("--plain", is_flag=True, help="Print plain lines even on a terminal.")
@no_color_option
@click.pass_obj
def hold(
    here: Surroundings,
    file: str | None,
    resume: str | None,
    take_over: bool,
    yes: bool,
    no_pauses: bool,
    lab: str | None,
    in_maintenance: str,
    author: str | None,
    plain: bool,
    plain_colors: bool,
) -> int:
    """Run the game day of FILE (a path, or a name in the catalogue), or --resume one.

    Drills run independently of this terminal: a lost connection does not affect them, and --resume reconnects. Ctrl-C
    aborts cleanly, twice at once; neither leaves a fault injected. Exit code 0 if every drill passed and every
    hypothesis that was judged held, 1 if not; 3 if nothing can be said, 4 aborted, 5 unclean; 0 after detaching.
    """
    from tierdrill.cli.gameday_session import begin, sit_down, take_up

    if (file is None) == (resume is None):
        raise click.UsageError("expected a game day's FILE or --resume" if file is None else
                               "FILE and --resume are mutually exclusive")  # fmt: skip
    if resume is None and take_over:
        raise click.UsageError("--take-over needs --resume")
    if resume is not None and (no_pauses or lab or yes or in_maintenance):
        raise click.UsageError("--yes, --no-pauses, --lab and --in-maintenance cannot be changed with --resume")
    if file is not None:
        journal, seat = begin(
            here, file, author, lab=lab, unattended=yes, pauses=not no_pauses, plain=plain,
            in_maintenance=in_maintenance,
        )  # fmt: skip
    else:
        journal, seat = take_up(here, resume or None, author, take_over=take_over)
    return sit_down(here, journal, seat, author, plain=plain, color=here.color and not plain_colors)


@command.command("watch", short_help="Watch a game day and take notes.")
@click.argument("gameday", required=False, metavar="[ID]", shell_complete=complete_gameday)
@_author
@click.option("--plain", is_flag=True, help="Print plain lines even on a terminal.")
@no_color_option
@click.pass_obj
def watch(here: Surroundings, gameday: str | None, author: str | None, plain: bool, plain_colors: bool) -> int:
    """Watch a game day (default: the open one) and take notes, from any terminal."""
    from tierdrill.cli.gameday_session import look_on

    return look_on(here, _find(here, gameday), author, plain=plain, color=here.color and not plain_colors)


@command.command("note", short_help="Add a note, finding or lesson to a game day.")
@click.argument("words", nargs=-1, required=True, metavar="TEXT...")
@_which
@_author
@click.option("--finding", is_flag=True, help="Record it as a finding: something to fix.")
@click.option("--owner", default="", metavar="WHO", help="With --finding: who owns the fix.")
@click.option("--due", default="", metavar="DATE", help="With --finding: due date, such as 2027-01-31.")
@click.option("--lesson", is_flag=True, help="Record it as a lesson learned.")
@click.pass_obj
def note(
    here: Surroundings,
    words: tuple[str, ...],
    gameday: str | None,
    author: str | None,
    finding: bool,
    owner: str,
    due: str,
    lesson: bool,
) -> None:
    """Add TEXT to a game day with time and author, also from another terminal or afterwards.

    "scribe: ..." attributes it to the scribe.
    """
    from tierdrill.gameday.gameday_commands import Command

    if finding and lesson:
        raise click.UsageError("--finding and --lesson are mutually exclusive")
    if not finding and (owner or due):
        raise click.UsageError("--owner and --due need --finding")
    verb: Any = "finding" if finding else "lesson" if lesson else "note"
    _write(here, gameday, author, Command(verb, text=" ".join(words), owner=owner.strip(), due=due.strip()))


@command.command("close", short_help="Close a finding.")
@click.argument("finding")
@_which
@_author
@click.option("--how", default="", metavar="TEXT", help="How it was resolved.")
@click.pass_obj
def close(here: Surroundings, finding: str, gameday: str | None, author: str | None, how: str) -> None:
    """Close a FINDING (F1, F2, ...) of a game day."""
    from tierdrill.gameday.gameday_commands import Command

    _write(here, gameday, author, Command("close", text=finding, owner=how.strip()))


@command.command("abort", short_help="Abort a game day.")
@click.argument("gameday", required=False, metavar="[ID]", shell_complete=complete_gameday)
@click.option("--reason", default="tierdrill gameday abort", show_default=True, help="Reason, recorded with it.")
@_author
@click.pass_obj
def abort(here: Surroundings, gameday: str | None, reason: str, author: str | None) -> int:
    """Abort a game day: stop its run, wait for the clean-up and end it."""
    from tierdrill.cli.gameday_session import abort_everything

    return abort_everything(here, _find(here, gameday, only_open=True), author, reason)


@command.command("list")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Show at most this many.")
@json_option
@click.pass_obj
def list_gamedays(here: Surroundings, limit: int, as_json: bool) -> None:
    """List the game days, newest first."""
    from tierdrill.gameday.console.facilitator_lock import Seat
    from tierdrill.gameday.journal import all_gamedays, gamedays_folder

    rows = []
    for one in all_gamedays(here.home)[:limit]:
        seat = Seat(gamedays_folder(here.home) / one.identity)
        holder = seat.holder() if seat.taken() else None
        rows.append((one, str(holder) if holder else ""))
    if as_json:
        echo_json(
            [
                {
                    "gameday": one.identity,
                    "document": one.document,
                    "opened": one.opened_at,
                    "ended": one.ended_at,
                    "status": one.outcome or "open",
                    "summary": one.summary,
                    "facilitator": holder or None,
                }
                for one, holder in rows
            ]
        )
        return
    lines = [
        (
            one.identity,
            utc(one.opened_at, "%Y-%m-%d %H:%M"),
            one.outcome or "open",
            one.summary or (f"facilitated by {holder}" if holder else "no facilitator (use --resume)"),
        )
        for one, holder in rows
    ]
    click.echo(table(lines, ("game day", "opened (UTC)", "status", "")) or f"no game days in {here.home}")


@command.command("report", short_help="Write a game day's record again.")
@click.argument("gameday", required=False, metavar="[ID]", shell_complete=complete_gameday)
@json_option
@click.pass_obj
def report(here: Surroundings, gameday: str | None, as_json: bool) -> None:
    """Write a game day's record again (default: the open one, or the last) and print its path.

    record.md for the team's folder, with the findings as a table for a tracker; record.html and record.json beside it.
    """
    from tierdrill.gameday.record.record_files import record_document, write_record

    with closing(_journal(here, _find(here, gameday))) as journal:
        record, path = write_record(journal)
    if as_json:
        echo_json(record_document(record))
    else:
        click.echo(str(path))


@command.command("compare", short_help="Show what became better or worse from A to B.")
@click.argument("before", metavar="A", shell_complete=complete_gameday)
@click.argument("after", metavar="B", shell_complete=complete_gameday)
@json_option
@click.pass_obj
def compare_gamedays(here: Surroundings, before: str, after: str, as_json: bool) -> None:
    """Show what became better or worse from game day A to B.

    Per drill and tier with intervals where the samples allow; hypotheses that now hold; findings that were closed.
    """
    from tierdrill.gameday.record.comparison import compare
    from tierdrill.gameday.record.comparison_text import comparison_document, comparison_lines
    from tierdrill.gameday.record.gameday_record import record_of
    from tierdrill.report.format import glyphs_for

    records = []
    for named in (before, after):
        with closing(_journal(here, _find(here, named))) as journal:
            records.append(record_of(journal.events()))
    found = compare(records[0], records[1], datetime.now(UTC).date())
    if as_json:
        echo_json(comparison_document(found))
        return
    for line in comparison_lines(found, glyphs_for(sys.stdout)):
        click.echo(line)


def _find(here: Surroundings, named: str | None, *, only_open: bool = False) -> GameDayRecord:
    from tierdrill.gameday.journal import find_gameday

    try:
        return find_gameday(here.home, named, only_open=only_open)
    except LookupError as error:
        raise Refusal(str(error.args[0])) from error


def _journal(here: Surroundings, record: GameDayRecord) -> Journal:
    from tierdrill.gameday.journal import Journal

    journal = Journal(here.home, record.identity)
    if journal.read().document is None:
        raise Refusal(f"game day {record.identity} cannot be read: {record.summary or 'its journal has no beginning'}")
    return journal


def _write(here: Surroundings, named: str | None, author: str | None, wanted: Command) -> None:
    """Carry out what changes nothing of the course; a record that is written already is written again."""
    from dataclasses import replace

    from tierdrill.cli.gameday_session import who
    from tierdrill.gameday.gameday_engine import Engine
    from tierdrill.gameday.record.record_files import MARKDOWN, write_record
    from tierdrill.gameday.record.step_outcome import speaker

    with closing(_journal(here, _find(here, named))) as journal:
        document = journal.state.document
        assert document is not None
        me = who(author, document, "")
        if wanted.verb in ("note", "lesson", "finding"):
            said_by, words = speaker(wanted.text, document.participants, me)
            wanted = replace(wanted, author=said_by, text=words)
        decision = Engine(journal, me, hands_off=True).do(wanted)
        if not decision.ok:
            raise Refusal(decision.say)
        click.echo(f"{decision.say} ({journal.identity})")
        if (journal.folder / MARKDOWN).exists():
            try:
                write_record(journal)
            except OSError as error:
                say(f"the record could not be written again: {error.strerror}")

