"""The kill switch as buttons: the same calls as `tierdrill halt` and `tierdrill resume`, under the person's name."""

from __future__ import annotations

import asyncio
from contextlib import closing

from starlette.responses import Response

from tierdrill.history.ledger import Ledger, throw_kill_switch
from tierdrill.web.page_answers import Ask
from tierdrill.web.request_guard import Refused


async def halt_home(ask: Ask) -> Response:
    reason = await _reason(ask)
    unrecorded = await asyncio.to_thread(throw_kill_switch, ask.dashboard.options.home, ask.visitor.person, reason)
    if unrecorded:
        message = f"Halted: no run starts until somebody resumes. It is not recorded in the ledger: {unrecorded}"
        return await ask.html("told.html", message=message)
    return ask.go("/now")


async def resume_home(ask: Ask) -> Response:
    reason = await _reason(ask)

    def lift() -> None:
        with closing(Ledger(ask.dashboard.options.home)) as ledger:
            ledger.resume(ask.visitor.person, reason)

    await asyncio.to_thread(lift)
    return ask.go("/now")


async def _reason(ask: Ask) -> str:
    reason = " ".join((await ask.form()).get("reason", "").split())
    if not reason:
        raise Refused(422, "Say why: the reason is shown to everybody it stops.")
    return reason
