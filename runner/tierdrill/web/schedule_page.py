"""The page "schedule": which slots come, what holds them back, and what became of those before."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from tierdrill.documents.timetable import Timetable, timetable_of
from tierdrill.schedule.slots import Showing, ShownSlot, disabled_entries, next_slots
from tierdrill.schedule.store.slot_records import words_of
from tierdrill.schedule.store.slot_store import ScheduleStore, StoreCorrupt
from tierdrill.schedule.store.store_summary import slot_data, summary
from tierdrill.web.page_answers import Ask

if TYPE_CHECKING:
    from tierdrill.documents.catalogue import Catalogue

NEXT, PAST = 20, 30
GOOD, BAD = ("passed",), ("failed", "unclean", "lost", "missed", "refused")


async def schedule_page(ask: Ask) -> Response:
    documents = await ask.dashboard.documents()
    shown, disabled = await asyncio.to_thread(_coming, documents.catalogue)
    told, past, why = await asyncio.to_thread(_past, ask.dashboard.options.home)
    return await ask.html(
        "schedule.html",
        slots=shown,
        disabled=disabled,
        told=told,
        past=past,
        why=why,
        problems=documents.problems,
        words=_words,
        css=slot_css,
    )


def _coming(catalogue: Catalogue) -> tuple[list[ShownSlot], list[str]]:
    """The next slots, and the entries that are not enabled."""
    timetables: dict[str, Timetable] = {
        name: timetable_of(calendar, catalogue.paths["Calendar", name])
        for name, calendar in sorted(catalogue.calendars.items())
    }
    showing = Showing(catalogue, timetables)
    slots = [showing.of(slot) for slot in next_slots(timetables.values(), datetime.now(UTC), NEXT)]
    return slots, disabled_entries(timetables)


def _past(home: Path) -> tuple[dict[str, Any] | None, list[dict[str, Any]], str]:
    """What the store says and its latest slots, or why it says nothing."""
    try:
        with ScheduleStore.kept(home) as store:
            if store is None:
                return None, [], "No scheduler has run in this home: tierdrill scheduler starts one."
            latest = [slot_data(record, store.attempts(record.slot.key)) for record in store.latest(PAST)]
            return summary(store), latest, ""
    except StoreCorrupt as error:
        return None, [], f"{error}; the scheduler keeps a copy and begins a new one."


def _words(slot: dict[str, Any]) -> str:
    return words_of(slot["state"], slot["outcome"], slot["reason"])


def slot_css(slot: dict[str, Any]) -> str:
    """How a slot is coloured: by its outcome, or by why there is none."""
    outcome = slot["outcome"] or slot["state"]
    return "passed" if outcome in GOOD else "failed" if outcome in BAD else "inconclusive"
