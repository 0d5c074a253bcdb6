"""Game days: beginning one, the facilitator's desk, and the record.

The desk in the browser is the one on the terminal with other keys. `tierdrill gameday` itself facilitates in a process
that this dashboard started; what is pressed is written into the game day's journal, which that process carries out.
When the dashboard ends, it is as if the terminal had gone: a run goes on to its end, and nothing new begins.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError
from starlette.responses import Response

from tierdrill.did_you_mean import none_named
from tierdrill.gameday.console.facilitator_lock import Holder, Seat
from tierdrill.gameday.console.input_state import items
from tierdrill.gameday.gameday_commands import Command
from tierdrill.gameday.gameday_engine import Engine
from tierdrill.gameday.gameday_model import CANNOT_TELL, HELD, NOT_HELD, GameDayState
from tierdrill.gameday.journal import GameDayRecord, Journal, all_gamedays, find_gameday, gamedays_folder
from tierdrill.gameday.record.record_files import HTML
from tierdrill.gameday.record.step_outcome import author_of, judged
from tierdrill.web.access_tokens import Right
from tierdrill.web.page_answers import Ask, fragment, page_of_its_own
from tierdrill.web.request_guard import Refused

if TYPE_CHECKING:
    from tierdrill.web.dashboard_state import Dashboard

EVERY_S = 1.0
_COMMAND = TypeAdapter(Command)
LINES_SHOWN = 8
SIGNS = {HELD: ("passed", "✓"), NOT_HELD: ("failed", "✗"), CANNOT_TELL: ("inconclusive", "?")}
ANSWERS = {"held": HELD, "did not hold": NOT_HELD, "cannot tell": CANNOT_TELL}


@dataclass(frozen=True)
class Press:
    """A button: its words, and the command that it stands for as a form sends it."""

    words: str
    value: str
    done: bool = False


async def gamedays_page(ask: Ask) -> Response:
    documents = await ask.dashboard.documents()
    known = await asyncio.to_thread(all_gamedays, ask.dashboard.options.home)
    return await ask.html(
        "gamedays.html", gamedays=documents.catalogue.gamedays, known=known[:50], problems=documents.problems
    )


async def begin_gameday(ask: Ask) -> Response:
    """As `tierdrill gameday NAME`; the desk of the game day that it opened."""
    await ask.form()
    documents = await ask.dashboard.documents()
    if ask.name not in documents.catalogue.gamedays:
        raise Refused(404, none_named("game day", ask.name, documents.catalogue.gamedays))
    home, starts = ask.dashboard.options.home, ask.dashboard.starts
    async with starts.one_at_a_time:
        known = await asyncio.to_thread(all_gamedays, home)
        for one in known:
            holder = holder_of(home, one.identity) if (one.document, one.outcome) == (ask.name, None) else None
            if holder is not None:
                raise Refused(409, f"{ask.name} is already open: {holder.author} facilitates {one.identity}.")
        before = {one.identity for one in known}

        def opened() -> list[str]:
            return [one.identity for one in all_gamedays(home) if one.identity not in before]

        words = ["gameday", ask.name, "--plain", "--author", ask.visitor.person]
        label = f"gameday-{ask.name}-{time.time():.0f}"
        await starts.begin(label, words, ask.visitor.person, lambda: bool(opened()), stdin=True)
        return ask.go(f"/gamedays/{(await asyncio.to_thread(opened))[0]}")


async def take_up_gameday(ask: Ask) -> Response:
    """As `tierdrill gameday --resume`: sit down at one at whose desk nobody sits."""
    await ask.form()
    home, found = ask.dashboard.options.home, await asyncio.to_thread(_find, ask)
    words = ["gameday", "--resume", found.identity, "--plain", "--author", ask.visitor.person]
    label = f"gameday-{found.identity}-{time.time():.0f}"
    taken = Seat(gamedays_folder(home) / found.identity).taken
    await ask.dashboard.starts.begin(label, words, ask.visitor.person, taken, stdin=True)
    return ask.go(f"/gamedays/{found.identity}")


async def gameday_page(ask: Ask) -> Response:
    found = await asyncio.to_thread(_find, ask)
    state = await asyncio.to_thread(_state, ask.dashboard.options.home, found.identity)
    if state.document is None:
        raise Refused(404, f"Game day {found.identity} cannot be read: its journal has no start.")
    recorded = record_of(ask.dashboard.options.home, found.identity).exists()
    over = state.ended is not None and recorded
    parts = await desk_parts(ask.dashboard, found.identity, live=not over)
    live = None if over else f"/gamedays/{found.identity}/live"
    may = ask.visitor.may("facilitate")
    return await ask.html(
        "gameday.html", identity=found.identity, state=state, parts=parts, live=live, may=may, recorded=recorded
    )


async def gameday_live(ask: Ask) -> Response:
    identity = (await asyncio.to_thread(_find, ask)).identity
    return ask.live(f"gameday {identity}", partial(desk_parts, ask.dashboard, identity), EVERY_S)


async def gameday_command(ask: Ask) -> Response:
    """What a button or a form asks for, decided by the same rules as on the terminal."""
    form = await ask.form()
    identity, home = (await asyncio.to_thread(_find, ask)).identity, ask.dashboard.options.home
    command = read_command(form)

    def carry_out() -> None:
        with closing(Journal(home, identity)) as journal:
            document = journal.read().document
            participants = document.participants if document is not None else ()
            me = author_of(ask.visitor.person, participants)
            decision = Engine(journal, me, hands_off=True).do(replace(command, author=""))
            if not decision.ok:
                raise Refused(409, f"Not done: {decision.say}.")

    await asyncio.to_thread(carry_out)
    return ask.go(f"/gamedays/{identity}")


async def gameday_record(ask: Ask) -> Response:
    found = await asyncio.to_thread(_find, ask)
    path = record_of(ask.dashboard.options.home, found.identity)
    if not path.exists():
        raise Refused(404, "There is no record yet: it is written when the game day ends.")
    return page_of_its_own(await asyncio.to_thread(path.read_text, "utf-8"))


def read_command(form: Mapping[str, str]) -> Command:
    """The command that a form sends: `command` as JSON, with the further fields typed beside it. Refused otherwise."""
    try:
        command = _COMMAND.validate_json(form.get("command", ""))
    except ValidationError as error:
        raise Refused(422, "command: expected one of the desk's buttons") from error
    return replace(
        command,
        text=form.get("text", "").strip() or command.text,
        owner=form.get("owner", "").strip() or command.owner,
        due=form.get("due", "").strip() or command.due,
    )


def as_value(command: Command) -> str:
    """A command as the value of a button: its fields that say something, as JSON."""
    plain = asdict(command)
    return json.dumps({one.name: plain[one.name] for one in fields(command) if plain[one.name] != one.default})


def record_of(home: Path, identity: str) -> Path:
    """The record of a game day, which is written when it ends."""
    return gamedays_folder(home) / identity / HTML


def holder_of(home: Path, identity: str) -> Holder | None:
    """Who sits at the desk of a game day; None where nobody does."""
    seat = Seat(gamedays_folder(home) / identity)
    return seat.holder() if seat.taken() else None


async def desk_parts(dashboard: Dashboard, identity: str, *, live: bool = True) -> dict[str, str]:
    """The part of the desk that lives. A page that does not is not loaded again when the game day has ended."""
    home = dashboard.options.home
    state = await asyncio.to_thread(_state, home, identity)
    holder = await asyncio.to_thread(holder_of, home, identity)
    run = state.attempt.run if state.attempt is not None else None
    (followed,) = await asyncio.to_thread(dashboard.followers.follow, (run,)) if run else (None,)
    pressable = [Press(one.text, as_value(one.command), one.done) for one in items(state)]
    questions = [
        (
            hypothesis.words,
            [Press(words, as_value(Command("answer", step=step, number=number, held=held)))
             for words, held in ANSWERS.items()],
        )
        for step, number, hypothesis in state.open_questions()
    ]  # fmt: skip
    desk = fragment(
        "gameday-desk.html",
        state=state,
        over=live and state.ended is not None and record_of(home, identity).exists(),
        holder=holder,
        judged=judged,
        hypothesis_signs=SIGNS,
        lines=LINES_SHOWN,
        followed=followed,
        now=time.time(),
        flow=[Press(words, as_value(command)) for words, command in flow_of(state)],
        items=pressable,
        questions=questions,
    )
    return {"desk": desk}


def flow_of(state: GameDayState) -> list[tuple[str, Command]]:
    """The buttons that lead on from where the game day stands, with the step that each is meant for."""
    skip = ("skip the next step", Command("skip", step=state.at_hand))
    repeat = ("repeat the last step", Command("repeat"))
    match state.stage:
        case "before":
            return [("start the first drill", Command("next")), skip]
        case "running":
            return [("stop this drill and skip it", Command("skip", step=state.at_hand))]
        case "pause":
            extend = ("extend the pause", Command("extend"))
            return [("start the next drill", Command("next")), skip, extend, repeat]
        case "after":
            return [("end the game day", Command("next")), repeat]
    return []


def _state(home: Path, identity: str) -> GameDayState:
    with closing(Journal(home, identity)) as journal:
        return journal.read()


def _find(ask: Ask) -> GameDayRecord:
    try:
        found = find_gameday(ask.dashboard.options.home, ask.name)
    except LookupError as error:
        raise Refused(404, str(error.args[0])) from error
    if found.identity != ask.name:
        raise Refused(404, f"There is no game day {ask.name!r} in this home.")
    return found


PAGES = (
    ("GET", "/gamedays", Right.SEE, gamedays_page),
    ("POST", "/gamedays/{name}/begin", Right.FACILITATE, begin_gameday),
    ("GET", "/gamedays/{name}", Right.SEE, gameday_page),
    ("GET", "/gamedays/{name}/live", Right.SEE, gameday_live),
    ("GET", "/gamedays/{name}/record", Right.SEE, gameday_record),
    ("POST", "/gamedays/{name}/take-up", Right.FACILITATE, take_up_gameday),
    ("POST", "/gamedays/{name}/command", Right.FACILITATE, gameday_command),
)
