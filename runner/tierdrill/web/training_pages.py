"""Exercises: beginning one, the trainee's pager and tools, the facilitator's page apart from them, and debriefs.

Everything goes over the socket that `tierdrill ops` and `tierdrill facilitate` use: the exercise answers as it does
there, and refuses what it refuses there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from tierdrill.documents.models.scenario import LEVELS
from tierdrill.history.history_store import HistoryStore, run_named
from tierdrill.history.sealed import EXERCISE
from tierdrill.home import run_folder
from tierdrill.process.safe_files import write_private
from tierdrill.training.facilitator.facilitator_console import HELP, BadLine, show, understood
from tierdrill.training.protocol import Answer, NoExercise, exchange, exercise_links, find_exercise
from tierdrill.web.access_tokens import Right
from tierdrill.web.page_answers import Ask, fragment, page_of_its_own
from tierdrill.web.request_guard import Refused
from tierdrill.web.tools_and_transcripts import Said

if TYPE_CHECKING:
    from tierdrill.web.dashboard_state import Dashboard

EVERY_S = 1.0
NOTICED_CSS = {"page": "failed", "good": "passed", "message": "inconclusive"}
DEBRIEF = "debrief.html"


def in_progress(home: Path) -> list[str]:
    """The exercises that answer."""
    links = exercise_links(home)
    for link in links.values():
        link.close()
    return list(links)


async def training_page(ask: Ask) -> Response:
    """For a trainee the exercise itself; for others what there is and was."""
    home = ask.dashboard.options.home
    going = await asyncio.to_thread(in_progress, home)
    if not ask.visitor.may(Right.SEE) and len(going) == 1:
        return ask.go(f"/training/{going[0]}")
    documents = await ask.dashboard.documents()
    order = {level: number for number, level in enumerate(LEVELS)}
    scenarios = sorted(documents.catalogue.scenarios.values(), key=lambda one: (order[one.level], one.metadata.name))
    past = await asyncio.to_thread(_past, home) if ask.visitor.may(Right.FACILITATE) else []
    parts = going_parts(ask, going)
    return await ask.html("training.html", parts=parts, scenarios=scenarios, past=past, live="/training/live")


async def training_live(ask: Ask) -> Response:
    async def render() -> Mapping[str, str]:
        return going_parts(ask, await asyncio.to_thread(in_progress, ask.dashboard.options.home))

    return ask.live(f"training for a {ask.visitor.role}", render, EVERY_S)


def going_parts(ask: Ask, going: Sequence[str]) -> dict[str, str]:
    """The exercises that go on, as who has this role is told of them."""
    sees, facilitates = ask.visitor.may(Right.SEE), ask.visitor.may(Right.FACILITATE)
    return {"going": fragment("exercises-now.html", going=going, sees=sees, facilitates=facilitates)}


async def begin_exercise(ask: Ask) -> Response:
    """As `tierdrill train`; the facilitator's page of the exercise that began."""
    form = await ask.form()
    scenario, trainee = form.get("scenario", ""), form.get("trainee", "").strip()
    known = (await ask.dashboard.documents()).catalogue.scenarios
    if scenario and scenario not in known:
        raise Refused(422, f"There is no scenario {scenario!r}.")
    home, starts = ask.dashboard.options.home, ask.dashboard.starts
    words = ["train", *([scenario] if scenario else ["--draw"]), *(["--trainee", trainee] if trainee else [])]
    async with starts.one_at_a_time:
        before = set(await asyncio.to_thread(in_progress, home))

        def fresh() -> list[str]:
            return [name for name in in_progress(home) if name not in before]

        await starts.begin(f"train-{time.time():.0f}", words, ask.visitor.person, lambda: bool(fresh()))
        return ask.go(f"/training/{(await asyncio.to_thread(fresh))[0]}/facilitator")


async def exercise_page(ask: Ask) -> Response:
    if ask.name not in await asyncio.to_thread(in_progress, ask.dashboard.options.home):
        return await _over(ask)
    parts = await exercise_parts(ask.dashboard, ask.name)
    return await ask.html(
        "exercise.html",
        exercise=ask.name,
        parts=parts,
        tools=ask.dashboard.options.tools(),
        live=f"/training/{ask.name}/live",
    )


async def exercise_live(ask: Ask) -> Response:
    return ask.live(f"exercise {ask.name}", partial(exercise_parts, ask.dashboard, ask.name), EVERY_S)


async def use_tool(ask: Ask) -> Response:
    """One of the trainee's tools; its answer is in the transcript."""
    form = await ask.form()
    name = form.get("tool", "")
    tool = next((one for some in ask.dashboard.options.tools().values() for one in some if one.name == name), None)
    if tool is None:
        raise Refused(422, f"There is no tool {name!r}.")
    said: dict[str, Any] = {}
    for one in tool.fields:
        value = form.get(one.name, "").strip()
        if one.flag and value:
            said[one.name] = True
        elif value:
            said[one.name] = int(value) if value.isdecimal() and one.name == "lines" else value
        elif one.required:
            raise Refused(422, f"{tool.name}: missing {one.label}.")
    words = " ".join([tool.name, *(str(value) for value in said.values())])
    await _put(ask, tool.question, said, words)
    return ask.go(f"/training/{ask.name}")


async def facilitator_page(ask: Ask) -> Response:
    if ask.name not in await asyncio.to_thread(in_progress, ask.dashboard.options.home):
        return await _over(ask)
    parts = await facilitator_parts(ask.dashboard, ask.name)
    return await ask.html(
        "facilitator.html", exercise=ask.name, parts=parts, help=HELP, live=f"/training/{ask.name}/facilitator/live"
    )


async def facilitator_live(ask: Ask) -> Response:
    return ask.live(f"facilitator {ask.name}", partial(facilitator_parts, ask.dashboard, ask.name), EVERY_S)


async def facilitate(ask: Ask) -> Response:
    """One line, as on the facilitator's terminal."""
    line = (await ask.form()).get("line", "")
    try:
        do, said = understood(line)
    except BadLine as error:
        raise Refused(422, str(error)) from error
    home = ask.dashboard.options.home
    token = await asyncio.to_thread(_token, home, ask.name)
    await _put(ask, f"facilitator/{do}", said, line, token, of=f"{ask.name}/facilitator")
    return ask.go(f"/training/{ask.name}/facilitator")


async def _over(ask: Ask) -> Response:
    """The page of an exercise that answers no more: its debrief, once it is there."""
    await asyncio.to_thread(_known, ask)
    parts = await ended_parts(ask)
    live = None if _debrief(ask).exists() else f"/training/{ask.name}/ended/live"
    return await ask.html("exercise-over.html", exercise=ask.name, parts=parts, live=live)


async def ended_live(ask: Ask) -> Response:
    await asyncio.to_thread(_known, ask)
    return ask.live(f"ended {ask.name}", partial(ended_parts, ask), EVERY_S)


async def ended_parts(ask: Ask) -> dict[str, str]:
    return {"over": fragment("exercise-ended.html", exercise=ask.name, debrief=_debrief(ask).exists())}


def _known(ask: Ask) -> None:
    """Refused for a name that no exercise of this home has."""
    home = ask.dashboard.options.home
    record = run_named(home, ask.name)
    if record is None or record.variant != EXERCISE:
        raise Refused(404, f"There is no exercise {ask.name!r} in this home.")


def _debrief(ask: Ask) -> Path:
    return run_folder(ask.dashboard.options.home, Path(ask.name).name) / DEBRIEF


async def debrief_page(ask: Ask) -> Response:
    path = _debrief(ask)
    if not path.exists():
        raise Refused(404, "There is no debrief yet: it is written when the exercise ends.")
    return page_of_its_own(await asyncio.to_thread(path.read_text, "utf-8"))


async def exercise_parts(dashboard: Dashboard, exercise: str) -> dict[str, str]:
    """What the trainee sees without asking: the pager, messages, tiers, and what came of what they did."""
    told = (await asyncio.to_thread(_ask_all, dashboard.options.home, exercise, [("desk", {})])).get("desk")
    desk = told["data"] if told is not None and told["ok"] else None
    pages = [one for one in desk["pages"]["data"] if one["state"] != "resolved"] if desk else []
    said = dashboard.transcripts.of(exercise)
    return {
        "pager": fragment("exercise-pager.html", desk=desk, pages=pages, exercise=exercise),
        "state": fragment("exercise-state.html", desk=desk, css=NOTICED_CSS),
        "answers": fragment("exercise-answers.html", said=said),
    }


async def facilitator_parts(dashboard: Dashboard, exercise: str) -> dict[str, str]:
    """The truth, for the facilitator alone."""

    def ask() -> Answer | None:
        token = _token(dashboard.options.home, exercise)
        return _ask_all(dashboard.options.home, exercise, [("facilitator/truth", {})], token).get("facilitator/truth")

    told = await asyncio.to_thread(ask)
    truth = told["data"] if told is not None and told["ok"] else None
    text = "" if told is None else str(told["text"]) if truth is None else show(truth)
    said = dashboard.transcripts.of(f"{exercise}/facilitator")
    return {"truth": fragment("facilitator-truth.html", text=text, lines=_lines(truth) if truth else (), said=said)}


def _lines(truth: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Lines of the facilitator's that need nothing typed, and what their buttons say."""
    injects = [(f"inject {one['name']}", f"Inject {one['name']} ({one['kind']})") for one in truth["injects"]]
    flow = ("resume", "Resume") if truth["paused"] else ("pause", "Pause")
    return [*injects, flow, ("end", "End the exercise")]


async def _put(ask: Ask, do: str, said: dict[str, Any], words: str, token: str = "", of: str = "") -> None:
    home, exercise = ask.dashboard.options.home, ask.name
    found = (await asyncio.to_thread(_ask_all, home, exercise, [(do, said)], token)).get(do)
    if found is None:
        raise Refused(409, f"The exercise {exercise} has ended.")
    told = Said(time.time(), ask.visitor.person, words, str(found["text"]), bool(found["ok"]))
    ask.dashboard.transcripts.add(of or exercise, told)


def _ask_all(
    home: Path, exercise: str, questions: Sequence[tuple[str, dict[str, Any]]], token: str = ""
) -> dict[str, Answer]:
    """The answers by question; empty where the exercise has ended."""
    try:
        name, link = find_exercise(home, exercise)
        with closing(link):
            return {do: exchange(link, name, do, said, token) for do, said in questions}
    except NoExercise:
        return {}


def _token(home: Path, exercise: str) -> str:
    """The facilitator's token of this dashboard: the seat is taken with the first question."""
    kept = home / "web" / f"facilitator-{Path(exercise).name}"
    with suppress(FileNotFoundError):
        return kept.read_text(encoding="utf-8")
    joined = _ask_all(home, exercise, [("facilitator/join", {})]).get("facilitator/join")
    if joined is None or not joined["ok"]:
        return ""
    token = str(joined["data"]["token"])
    write_private(kept, token)
    return token


def _past(home: Path) -> list[str]:
    """Exercises that have ended and have a debrief, the newest first."""
    with HistoryStore.kept(home) as store:
        kept = store.runs(limit=500) if store else []
    runs = [one.run for one in kept if one.variant == EXERCISE and one.status is not None]
    return [run for run in runs if (run_folder(home, run) / DEBRIEF).exists()]


PAGES = (
    ("GET", "/training", Right.TRAIN, training_page),
    ("GET", "/training/live", Right.TRAIN, training_live),
    ("POST", "/training/begin", Right.FACILITATE, begin_exercise),
    ("GET", "/training/{name}", Right.TRAIN, exercise_page),
    ("GET", "/training/{name}/live", Right.TRAIN, exercise_live),
    ("GET", "/training/{name}/ended/live", Right.TRAIN, ended_live),
    ("POST", "/training/{name}/tool", Right.TRAIN, use_tool),
    ("GET", "/training/{name}/facilitator", Right.FACILITATE, facilitator_page),
    ("GET", "/training/{name}/facilitator/live", Right.FACILITATE, facilitator_live),
    ("POST", "/training/{name}/facilitator", Right.FACILITATE, facilitate),
    ("GET", "/training/{name}/debrief", Right.TRAIN, debrief_page),
)
