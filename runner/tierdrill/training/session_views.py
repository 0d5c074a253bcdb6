"""What an exercise tells of itself: to the trainee its state, to the Tab key words, to the facilitator the truth."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tierdrill.documents.models.protections import ALL_FLAGS
from tierdrill.training.columns import clock as shown_time
from tierdrill.training.columns import columns
from tierdrill.training.ops.action_parser import names_of
from tierdrill.training.protocol import Answer, answer

if TYPE_CHECKING:
    from tierdrill.training.exercise_session import Session


def show_status(session: Session, said: Mapping[str, Any]) -> Answer:
    """Time, brief, automation as a trainee may know it, open pages."""
    scenario, elapsed = session.setting.scenario, session.clock.elapsed
    data = {
        "exercise": session.exercise,
        "elapsed_s": round(elapsed, 1),
        "duration_s": scenario.duration,
        "paused": session.clock.paused,
        "automation": "off" if session.setting.automation == "off" else "on",
        "brief": scenario.brief,
        "updates_every_s": scenario.updates_every,
        "open_pages": len(session.pages.unresolved),
    }
    lines = [
        f"{session.exercise}: {shown_time(elapsed)} of {shown_time(scenario.duration)}"
        + (", paused" if data["paused"] else ""),
        scenario.brief,
        f"automation is {data['automation']}; during an incident, an update every {scenario.updates_every:g} s",
        f"{data['open_pages']} open pages",
    ]
    return answer("\n".join(lines), data)


def show_messages(session: Session, said: Mapping[str, Any]) -> Answer:
    """What people have written."""
    rows = [(shown_time(one["elapsed_s"]), one["sender"], one["text"]) for one in session.messages]
    return answer(columns(("at", "from", "message"), rows), session.messages)


def show_actions(session: Session, said: Mapping[str, Any]) -> Answer:
    """What the trainee did."""
    data = [action.to_json() for action in session.remedies.actions]
    rows = [(one["number"], one["action"], one["target"], one["state"], one["seen"]) for one in data]
    return answer(columns(("action", "what", "target", "state", "seen"), rows), data)


def complete(session: Session, said: Mapping[str, Any]) -> Answer:
    """Every name of the kind that the Tab key asks for."""
    inventory = session.platform.inventory
    known: dict[str, list[str]] = {
        "link": [f"{gateway}>{node.name}" for gateway in inventory.gateways for node in inventory.nodes],
        "page": [one["id"] for one in session.pages.to_json() if one["state"] != "resolved"],
        "playbook": sorted(session.hand.playbooks),
        "fits": [target for name, target in session.hand.proposals() if name == said.get("playbook")],
        "log": sorted(session.platform.session.logs()),
        "action": [str(one.number) for one in session.remedies.actions if one.back is not None],
        "role": sorted({role for tier in session.setting.tiers.tiers for role in tier.override_by}),
    }
    names = [
        known[kind] if kind in known else names_of(kind, inventory, session.setting.tiers, list(ALL_FLAGS))
        for kind in str(said.get("kind")).split("|")
    ]
    return answer("", [name for some in names for name in some])


def truth_of(session: Session) -> dict[str, Any]:
    """What is really happening, for the facilitator."""
    scenario = session.setting.scenario
    return {
        "exercise": session.exercise,
        "scenario": scenario.metadata.name,
        "title": scenario.metadata.title,
        "truth": scenario.truth,
        "trainee": session.trainee,
        "automation": session.setting.automation,
        "wrong": session.setting.wrong.model_dump(mode="json") if session.setting.wrong else None,
        "elapsed_s": round(session.clock.elapsed, 1),
        "duration_s": scenario.duration,
        "paused": session.clock.paused,
        "incidents": [
            {**one.model_dump(mode="json"), "happened": any(done["incident"] == one.name for done in session.happened)}
            for one in scenario.incidents
        ],
        "happened": list(session.happened),
        "injects": [one.model_dump(mode="json", exclude_none=True) for one in scenario.injects],
        "pages": session.pages.to_json(),
        "actions": [action.to_json() for action in session.remedies.actions],
        "tiers": [fare.to_json() for fare in session.pulse.fares(time.time())],
        "deeds": session.wellness.deeds[-40:],
        "not_relieved": session.wellness.not_relieved(),
    }


VIEWS = {"status": show_status, "messages": show_messages, "actions": show_actions, "complete": complete}
