"""One exercise while it goes on: its incidents at their times, every terminal's questions, and when it is over."""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from tierdrill.conductor.recorder import Recorder
from tierdrill.documents.models.scenario import Incident, Inject, Noise
from tierdrill.history.events import Event
from tierdrill.history.kinds import exercise_kinds
from tierdrill.history.kinds.response_kinds import PageEvent
from tierdrill.history.kinds.run_kinds import LoadSamples, PlatformState, RunNote
from tierdrill.injection.injector import NotInjected, Refused
from tierdrill.monitoring.query import Prometheus
from tierdrill.targets.base import TargetError
from tierdrill.training.exercise_clock import ExerciseClock
from tierdrill.training.exercise_ending import Ending, Wellness
from tierdrill.training.exercise_platform import Platform
from tierdrill.training.exercise_setting import ExerciseSetting
from tierdrill.training.facilitator.facilitator_actions import ExerciseFaults, Facilitator
from tierdrill.training.ops import hints_and_hypotheses as thinking
from tierdrill.training.ops import inspection as looking
from tierdrill.training.ops import trainee_remedies as acting
from tierdrill.training.ops.hints_and_hypotheses import Statements
from tierdrill.training.ops.inspection import Inspection
from tierdrill.training.ops.manual_playbooks import PlaybookHand
from tierdrill.training.ops.tier_health import Pulse
from tierdrill.training.ops.trainee_pager import NoSuchPage, PageBook
from tierdrill.training.ops.trainee_remedies import Remedies
from tierdrill.training.protocol import BAD_INPUT, REFUSED, Answer, answer
from tierdrill.training.session_views import VIEWS, SessionViews
from tierdrill.training.trainee_console import noticed

PAGER = ("acknowledge", "escalate", "resolve")
TICK_S = 0.25
BREAKABLE_WITHIN_S = 15.0
NOTICED_MAX = 100


class Session(SessionViews):
    """Everything that lives between the begin and the end of an exercise."""

    def __init__(
        self,
        *,
        exercise: str,
        setting: ExerciseSetting,
        platform: Platform,
        faults: ExerciseFaults,
        recorder: Recorder,
        trainee: str | None,
    ) -> None:
        self.exercise, self.setting, self.platform, self.faults = exercise, setting, platform, faults
        self.recorder, self.trainee = recorder, trainee
        self.clock = ExerciseClock()
        self.ending = Ending()
        self.pulse = Pulse(setting.tiers)
        self.messages: list[dict[str, Any]] = []
        self.happened: list[dict[str, Any]] = []
        self.noticed: deque[dict[str, Any]] = deque(maxlen=NOTICED_MAX)
        self._counter = itertools.count(1)
        emit = recorder.take
        self.pages = PageBook(
            tiers=platform.plan.setting.tiers,
            stub=platform.pager,
            pager=platform.page,
            emit=emit,
            inventory=lambda: platform.inventory,
            sleep=self.clock.sleep,
        )
        self.hand = PlaybookHand(
            port=platform.remedies,
            emit=emit,
            pager=platform.page,
            playbooks=setting.playbooks,
            tiers=platform.plan.setting.tiers,
        )
        prometheus = platform.session.endpoints.prometheus
        self.looks = Inspection(
            platform=platform.session,
            prometheus=Prometheus(prometheus.url, prometheus.login),
            alertmanager=platform.alertmanager,
            situation=platform.situation,
            pulse=self.pulse,
            pages=self.pages,
            hand=self.hand,
            emit=emit,
        )
        self.remedies = Remedies(
            platform=platform.session, port=platform.remedies, hand=self.hand, situation=platform.situation, emit=emit
        )
        self.wellness = Wellness(setting, self.pulse, self.pages, lambda: platform.inventory)
        self.statements = Statements(
            hints=setting.scenario.hints, emit=emit, relieved=self.wellness.not_relieved, end=self.ending.end
        )
        self.facilitator = Facilitator(setting.scenario, self, emit, lambda: self.say("a facilitator has joined"))
        platform.on_notice += [self.pages.notify, self.hand.notify]
        platform.on_acknowledged = self._taken
        recorder.listen(self._heard)

    def begin(self, in_s: float) -> None:
        self.clock.start(in_s)

    def work(self) -> list[Callable[[], Awaitable[None]]]:
        scenario = self.setting.scenario
        return [
            *((lambda one=one: self._incident(one)) for one in scenario.incidents),
            *((lambda one=one: self._noise(one)) for one in scenario.noise),
            self._watch_end,
        ]

    async def _incident(self, incident: Incident) -> None:
        await self.clock.until(incident.at)
        await self._injected(incident.name, incident.fault, incident.parameters, incident.tier)

    async def _injected(self, name: str, fault: str, parameters: Any, tier: str) -> None:
        begun = time.time()
        try:
            targets = await self._patiently(name, fault, parameters, tier)
        except Refused as error:
            if not self.happened:
                self.ending.end("error", str(error))
                return
            # What the trainee has done meanwhile left nothing to break: the exercise goes on without.
            self.recorder.note(RunNote(text=f"left out: {error}"), "exercise")
            self.wellness.left_out(name)
            return
        except NotInjected as error:
            self.ending.end("error", str(error))
            return
        self.happened.append({"incident": name, "fault": fault, "targets": targets, "at": begun, "tier": tier})
        self.wellness.happened(name, begun)

    async def _patiently(self, name: str, fault: str, parameters: Any, tier: str) -> list[str]:
        """Inject; what is not there at this moment (a replica that is being moved) may be in the next."""
        deadline = time.monotonic() + BREAKABLE_WITHIN_S
        while True:
            try:
                return await self.faults.inject(name, fault, parameters, tier)
            except Refused:
                if time.monotonic() >= deadline:
                    raise
            await asyncio.sleep(1.0)

    async def _noise(self, noise: Noise) -> None:
        await self.clock.until(noise.at)
        await self._signal(noise)

    async def _signal(self, one: Noise | Inject) -> str:
        if one.kind == "xid":
            assert one.node is not None and one.xid is not None
            try:
                await self.platform.session.log_xid(one.node, one.gpu or 0, one.xid)
            except TargetError as error:
                raise ValueError(str(error)) from error
            return f"XID {one.xid} is in the kernel log of {one.node}"
        if one.kind == "message":
            self.message(one.sender or "somebody", one.text or "")
            return "said"
        self.pages.call(
            f"notice/{next(self._counter)}", one.tier or self.setting.tiers.by_rank()[0].name, one.text or ""
        )
        return "paged"

    async def _watch_end(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            if self.clock.elapsed >= self.setting.scenario.duration:
                self.ending.end("time", "the time is up")
            elif not self.clock.paused and self.wellness.over(time.monotonic()):
                self.ending.end("resolved", "everything has recovered")

    async def handle(self, do: str, said: dict[str, Any], token: str) -> Answer:
        if do.startswith("facilitator/"):
            return await self.facilitator.handle(do.removeprefix("facilitator/"), said, token)
        if self.ending.ended.is_set():
            return answer("the exercise has ended", code=REFUSED)
        if do in looking.COMMANDS:
            return await self.looks.look(do, said)
        if do == "desk":
            return await self.show_desk()
        if do in VIEWS:
            shown: Answer = getattr(self, f"show_{do}")(said)
            return shown
        if do == "causes":
            return self.statements.say(do, said)
        if self.clock.paused:
            return answer("the exercise is paused; you can look, but not act", code=REFUSED)
        if do in acting.COMMANDS:
            return await self.remedies.take(do, said)
        if do in thinking.COMMANDS:
            return self.statements.say(do, said)
        if do in PAGER:
            return self._pager(do, str(said.get("page") or ""))
        return answer(f"unknown command {do!r}", code=BAD_INPUT)

    def _pager(self, do: str, name: str) -> Answer:
        by = self.trainee or "trainee"
        try:
            if do == "acknowledge":
                page = self.pages.acknowledge(name, by)
                return answer(f"{self.pages.name_of(page)} acknowledged: {page.summary}", {"key": page.dedup_key})
            if do == "escalate":
                page, contact = self.pages.escalate(name, by)
                return answer(f"{contact} is being paged about {self.pages.name_of(page)}", {"contact": contact})
            page, firing = self.pages.resolve(name, by)
            still = "; its alert is still firing" if firing else ""
            return answer(f"{self.pages.name_of(page)} is resolved{still}", {"key": page.dedup_key, "firing": firing})
        except NoSuchPage as error:
            return answer(str(error), code=BAD_INPUT)
        except ValueError as error:
            return answer(str(error), code=REFUSED)

    async def perform(self, inject: Inject, by: str) -> str:
        """A facilitator's inject; ValueError if it cannot be done now."""
        if inject.kind != "fault":
            done = await self._signal(inject)
        else:
            done = await self._second_fault(inject)
        self.recorder.note(exercise_kinds.FacilitatorInject(**inject.model_dump(mode="json", exclude_none=True)), by)
        return done

    async def _second_fault(self, inject: Inject) -> str:
        assert inject.fault is not None
        tier = inject.tier or self.setting.tiers.by_rank()[0].name
        begun = time.time()
        try:
            targets = await self.faults.inject(inject.name, inject.fault, [inject.parameters], tier)
        except NotInjected as error:
            raise ValueError(str(error)) from error
        self.happened.append(
            {"incident": inject.name, "fault": inject.fault, "targets": targets, "at": time.time(), "tier": tier}
        )
        self.wellness.happened(inject.name, begun)
        return f"{inject.fault} on {', '.join(targets)} has landed"

    def message(self, sender: str, text: str) -> None:
        self.messages.append({"elapsed_s": round(self.clock.elapsed, 1), "sender": sender, "text": text})
        self.recorder.note(exercise_kinds.FacilitatorMessage(sender=sender, text=text), "facilitator")

    def say(self, text: str) -> None:
        """A note of the exercise itself, shown in its terminal."""
        self.recorder.note(exercise_kinds.ExerciseNote(text=text), "exercise")

    def pause(self) -> bool:
        done = self.clock.pause()
        if done:
            self.recorder.note(exercise_kinds.FacilitatorPause(), "facilitator")
        return done

    def resume(self) -> bool:
        done = self.clock.resume()
        if done:
            self.recorder.note(exercise_kinds.FacilitatorResume(), "facilitator")
        return done

    def end(self, reason: str, why: str) -> None:
        self.ending.end(reason, why)

    def _taken(self, key: str, by: str) -> bool:
        self.hand.acknowledge(key, by)
        return self.pages.acknowledged(key, by)

    def _heard(self, item: Event) -> None:
        if (line := noticed(item.payload)) is not None:
            self.noticed.append({"elapsed_s": round(self.clock.elapsed, 1), "text": line[0], "style": line[1]})
        match item.payload:
            case LoadSamples(columns=columns):
                self.pulse.feed(columns)
            case PlatformState():
                self.hand.facts_changed()
            case exercise_kinds.TraineeEvent() | PageEvent():
                self.wellness.heard(item, self.clock.elapsed)

    async def close(self) -> None:
        """End what the trainee has under way; what a playbook owes is given back."""
        await self.remedies.close()
        await self.hand.close()
        await self.pages.close()
        self.looks.close()
