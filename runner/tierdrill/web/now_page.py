"""The page "now": how every tier stands, and what is being done to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from starlette.responses import Response

from tierdrill.web.page_answers import Ask, fragment
from tierdrill.web.tier_cards import cards_of

if TYPE_CHECKING:
    from tierdrill.web.dashboard_state import Now

EVERY_S = 2.0


async def now_page(ask: Ask) -> Response:
    now = await ask.dashboard.now()
    return await ask.html("now.html", parts=parts_of(now), problems=now.documents.problems, live="/now/live")


async def now_live(ask: Ask) -> Response:
    dashboard = ask.dashboard

    async def render() -> Mapping[str, str]:
        return parts_of(await dashboard.now())

    return ask.live("now", render, EVERY_S)


def parts_of(now: Now) -> dict[str, str]:
    """The parts of the page that live, by the ids of their elements."""
    places = [(place, figures, cards_of(place, figures)) for place, figures in now.places]
    return {
        "running": fragment("running.html", now=now),
        "places": fragment("places.html", places=places, overrides=now.home.overrides),
    }
