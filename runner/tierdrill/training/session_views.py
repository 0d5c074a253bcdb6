"""What an exercise tells of itself: to the trainee its state, to the Tab key words, to the facilitator the truth."""

import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from tierdrill.documents.models.protections import ALL_FLAGS
from tierdrill.training.columns import clock as shown_time
from tierdrill.training.columns import columns, listing
from tierdrill.training.exercise_clock import ExerciseClock
from tierdrill.training.exercise_ending import Wellness
from tierdrill.training.exercise_platform import Platform
from tierdrill.training.exercise_setting import ExerciseSetting
from tierdrill.training.ops.action_parser import names_of
from tierdrill.training.ops.inspection import Inspection
from tierdrill.training.ops.manual_playbooks import PlaybookHand
from tierdrill.training.ops.tier_health import Pulse
from tierdrill.training.ops.trainee_pager import PageBook
from tierdrill.training.ops.trainee_remedies import Remedies
from tierdrill.training.protocol import Answer, answer


class SessionViews:
    """What a session shows of itself, by `show_VIEW`."""

    exercise: str
    setting: ExerciseSetting
    platform: Platform
    trainee: str | None
    clock: ExerciseClock
    pages: PageBook
    pulse: Pulse
    hand: PlaybookHand
    remedies: Remedies
    wellness: Wellness
    looks: Inspection
    messages: list[dict[str, Any]]
    noticed: deque[dict[str, Any]]
    happened: list[dict[str, Any]]

    def show_status(self, said: Mapping[str, Any]) -> Answer:
        """Time, brief, automation as a trainee may know it, open pages."""
        scenario, elapsed = self.setting.scenario, self.clock.elapsed
        data = {
            "exercise": self.exercise,
            "elapsed_s": round(elapsed, 1),
            "duration_s": scenario.duration,
            "paused": self.clock.paused,
            "automation": "off" if self.setting.automation == "off" else "on",
            "brief": scenario.brief,
            "updates_every_s": scenario.updates_every,
            "open_pages": len(self.pages.unresolved),
        }
        lines = [
            f"{self.exercise}: {shown_time(elapsed)} of {shown_time(scenario.duration)}"
            + (", paused" if data["paused"] else ""),
            scenario.brief,
            f"automation is {data['automation']}; during an incident, an update every {scenario.updates_every:g} s",
            f"{data['open_pages']} open pages",
        ]
        return answer("\n".join(lines), data)

    def show_messages(self, said: Mapping[str, Any]) -> Answer:
        rows = [(shown_time(one["elapsed_s"]), one["sender"], one["text"]) for one in self.messages]
        return answer(columns(("at", "from", "message"), rows), self.messages)

    def show_actions(self, said: Mapping[str, Any]) -> Answer:
        data = [action.to_json() for action in self.remedies.actions]
        cells = {"action": "number", "what": "action", "target": "target", "state": "state", "seen": "seen"}
        return listing(data, cells)

    def show_complete(self, said: Mapping[str, Any]) -> Answer:
        """Every name of the kind that the Tab key asks for."""
        inventory = self.platform.inventory
        known: dict[str, list[str]] = {
            "link": [f"{gateway}>{node.name}" for gateway in inventory.gateways for node in inventory.nodes],
            "page": [one["id"] for one in self.pages.to_json() if one["state"] != "resolved"],
            "playbook": sorted(self.hand.playbooks),
            "fits": [target for name, target in self.hand.proposals() if name == said.get("playbook")],
            "log": sorted(self.platform.session.logs()),
            "action": [str(one.number) for one in self.remedies.actions if one.back is not None],
            "role": sorted({role for tier in self.setting.tiers.tiers for role in tier.may_override}),
        }
        names = [
            known[kind] if kind in known else names_of(kind, inventory, self.setting.tiers, list(ALL_FLAGS))
            for kind in str(said.get("kind")).split("|")
        ]
        return answer("", [name for some in names for name in some])

    async def show_desk(self) -> Answer:
        """What lies before a trainee all the time: state, pages, tiers, actions, and what one notices by oneself."""
        pages, tiers = await self.looks.glance()
        parts = {"status": self.show_status({}), "pages": pages, "tiers": tiers, "actions": self.show_actions({})}
        return answer("", {**parts, "noticed": list(self.noticed)})

    def truth(self) -> dict[str, Any]:
        scenario = self.setting.scenario
        return {
            "exercise": self.exercise,
            "scenario": scenario.metadata.name,
            "title": scenario.metadata.title,
            "truth": scenario.truth,
            "trainee": self.trainee,
            "automation": self.setting.automation,
            "wrong": self.setting.wrong.model_dump(mode="json") if self.setting.wrong else None,
            "elapsed_s": round(self.clock.elapsed, 1),
            "duration_s": scenario.duration,
            "paused": self.clock.paused,
            "incidents": [
                {**one.model_dump(mode="json"), "happened": any(done["incident"] == one.name for done in self.happened)}
                for one in scenario.incidents
            ],
            "happened": list(self.happened),
            "injects": [one.model_dump(mode="json", exclude_none=True) for one in scenario.injects],
            "pages": self.pages.to_json(),
            "actions": [action.to_json() for action in self.remedies.actions],
            "tiers": [fare.to_json() for fare in self.pulse.fares(time.time())],
            "deeds": self.wellness.deeds[-40:],
            "not_relieved": self.wellness.not_relieved(),
        }


VIEWS = ("status", "messages", "actions", "complete")
