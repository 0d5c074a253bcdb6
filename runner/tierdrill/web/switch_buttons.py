"""The kill switch as buttons: the same calls as `tierdrill halt` and `tierdrill resume`, under the person's name."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import closing

from starlette.responses import Response

from tierdrill.history.kill_switch import throw_kill_switch
from tierdrill.history.ledger import Ledger
from tierdrill.text import Explained
from tierdrill.web.page_answers import Ask
from tierdrill.web.request_guard import Refused


async def halt_home(ask: Ask) -> Response:
    """The home first, whatever becomes of a cluster: its own runs stop on every target."""
    form, person = await ask.form(), ask.visitor.person
    reason = _reason(form)
    unrecorded = await asyncio.to_thread(throw_kill_switch, ask.dashboard.options.home, person, reason)
    trouble = [f"It is not recorded in the ledger: {unrecorded}"] if unrecorded else []
    trouble += await _switch_cluster(ask, form, f"{reason} ({person})")
    if trouble:
        message = f"Halted: no run of this home starts until somebody resumes. {' '.join(trouble)}"
        return await ask.html("told.html", message=message)
    return ask.go("/now")


async def resume_home(ask: Ask) -> Response:
    form = await ask.form()
    reason = _reason(form)
    if trouble := await _switch_cluster(ask, form, None):
        raise Refused(503, f"Not resumed: {trouble[0]}")

    def lift() -> None:
        with closing(Ledger(ask.dashboard.options.home)) as ledger:
            ledger.resume(ask.visitor.person, reason)

    await asyncio.to_thread(lift)
    return ask.go("/now")


async def _switch_cluster(ask: Ask, form: Mapping[str, str], why: str | None) -> list[str]:
    """The kill switch of the cluster that was chosen, on or off; why it could not be."""
    if not (name := form.get("cluster", "")):
        return []
    settings = ask.dashboard.clusters.get(name)
    if settings is None:
        return [f"The catalogue has no environment {name!r} on a cluster."]
    from tierdrill.targets.kubernetes.lease import lease_of

    try:
        await asyncio.to_thread(lambda: lease_of(settings).halt(why))
    except (Explained, OSError) as error:
        return [f"The cluster of {name} was not reached: {error}"]
    return []


def _reason(form: Mapping[str, str]) -> str:
    reason = " ".join(form.get("reason", "").split())
    if not reason:
        raise Refused(422, "Say why: the reason is shown to everybody it stops.")
    return reason
