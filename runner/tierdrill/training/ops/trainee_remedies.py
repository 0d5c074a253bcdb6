"""What a trainee does to the platform: checked, held against the tier rules, carried out, recorded, and taken back."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tierdrill.history.events import Event, event
from tierdrill.history.kinds.exercise_kinds import TraineeAction
from tierdrill.remediation.substitution import SubstitutionError
from tierdrill.remedies import known_remedies
from tierdrill.targets.base import RemedyPort, RemedyResult, Session, TargetError
from tierdrill.training.ops.action_parser import BadOrder, Order, Settings, order_of, way_back
from tierdrill.training.ops.manual_playbooks import NoSuchTarget, PlaybookHand, known_playbook
from tierdrill.training.ops.tier_rules import Breach, Situation, breach_of, override_problem, tier_of_target
from tierdrill.training.protocol import BAD_INPUT, REFUSED, Answer, answer

AT_ONCE_S = 0.12
"""How long an answer waits for a remedy: most are done by then, and a terminal must not hang for the others."""

WAIT_S = 25.0
COMMANDS = (*known_remedies.COMMANDS, "playbook", "rollback")


@dataclass
class Action:
    """Something the trainee did or tried: `state` is under way, done, failed or refused."""

    number: int
    order: Order
    at: float
    state: str
    seen: str = ""
    back: list[Order] | None = None
    override: dict[str, str] | None = None
    taken_back: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "action": self.order.action,
            "target": self.order.target,
            "state": self.state,
            "seen": self.seen,
            "at": self.at,
            "override": self.override,
        }


class Remedies:
    """All actions of one exercise."""

    def __init__(
        self,
        *,
        platform: Session,
        port: RemedyPort,
        hand: PlaybookHand,
        situation: Callable[[], Situation],
        emit: Callable[[Event], object],
    ) -> None:
        self._platform, self._port, self._hand, self._emit = platform, port, hand, emit
        self._situation = situation
        self.actions: list[Action] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def take(self, do: str, said: Mapping[str, Any]) -> Answer:
        try:
            settings = await self._settings()
            now = _with(self._situation(), settings)
            if do == "rollback":
                return await self._roll_back(said, now)
            order = self._playbook(said, now) if do == "playbook" else order_of(do, said, now, settings)
        except (BadOrder, NoSuchTarget, SubstitutionError) as error:
            return answer(str(error), code=BAD_INPUT)
        except TargetError as error:
            return answer(f"the platform is not responding: {error}", code=REFUSED)
        breach = breach_of(order.action, order.arguments, now)
        override = None
        if breach is not None:
            if problem := override_problem(breach, said.get("override"), said.get("reason"), now.tiers):
                return self._refused(order, breach, problem, now)
            override = {"role": str(said["override"]), "reason": str(said["reason"]).strip(), "rule": breach.rule}
        action = self._begun(order, way_back(order, settings), override)
        work = self._play(order, now) if do == "playbook" else lambda: self._port.remedy(order.action, order.arguments)
        return await self._carried_out(action, work, now, wait=bool(said.get("wait")))

    def _playbook(self, said: Mapping[str, Any], now: Situation) -> Order:
        playbook = known_playbook(self._hand.playbooks, str(said["playbook"]))
        name = playbook.metadata.name
        if playbook.engine == "external":
            known = ", ".join(sorted(self._hand.playbooks))
            raise NoSuchTarget(f"{name} runs in another tool, expected one of: {known}")
        target = str(said.get("target") or "")
        if not target:
            fitting = [where for proposed, where in self._hand.proposals() if proposed == name]
            target = fitting[0] if len(fitting) == 1 else playbook.target if "${" not in playbook.target else ""
        if not target:
            raise NoSuchTarget(f"{name} needs a target: it runs on {playbook.target}")
        return Order("run-playbook", f"{name} {target}", {"playbook": name, "target": target})

    def _play(self, order: Order, now: Situation) -> Callable[[], Awaitable[RemedyResult]]:
        return lambda: self._hand.run(order.arguments["playbook"], order.arguments["target"], now.inventory)

    async def _settings(self) -> Settings:
        kinds = ("flags", "weights", "shed", "caps")
        found = await asyncio.gather(*(self._platform.settings(kind) for kind in kinds))
        return Settings(**dict(zip(kinds, found, strict=True)))

    def _begun(self, order: Order, back: list[Order] | None, override: dict[str, str] | None) -> Action:
        action = Action(len(self.actions) + 1, order, time.time(), "in progress", back=back, override=override)
        self.actions.append(action)
        return action

    def _refused(self, order: Order, breach: Breach, problem: str, now: Situation) -> Answer:
        action = self._begun(order, None, None)
        action.state, action.seen = "refused", problem
        self._record(action, now, ok=False, rule=breach.rule)
        return answer(
            f"refused: {problem}", {**action.to_json(), "rule": breach.rule, "tier": breach.tier}, code=REFUSED
        )

    async def _carried_out(
        self, action: Action, work: Callable[[], Awaitable[RemedyResult]], now: Situation, *, wait: bool
    ) -> Answer:
        task = asyncio.create_task(self._do(action, work, now))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.wait([task], timeout=WAIT_S if wait else AT_ONCE_S)
        name = f"{action.order.action} {action.order.target}".strip()
        if action.state == "in progress":
            return answer(
                f"{name}: in progress (action {action.number}; `tierdrill ops actions` shows it)", action.to_json()
            )
        return answer(
            f"{name}: {action.seen or action.state}", action.to_json(), code=0 if action.state == "done" else REFUSED
        )

    async def _do(self, action: Action, work: Callable[[], Awaitable[RemedyResult]], now: Situation) -> None:
        try:
            result = await work()
        except (TargetError, NoSuchTarget, SubstitutionError) as error:
            result = RemedyResult(False, str(error))
        action.state, action.seen = "done" if result.ok else "failed", result.detail
        self._record(action, now, ok=result.ok)

    async def _roll_back(self, said: Mapping[str, Any], now: Situation) -> Answer:
        former = self._former(said.get("action"))
        order = Order("roll-back", former.order.target, {"action": former.number, "of": former.order.action})
        for step in former.back or []:
            breach = breach_of(step.action, step.arguments, now)
            problem = breach and override_problem(breach, said.get("override"), said.get("reason"), now.tiers)
            if breach is not None and problem:
                return self._refused(order, breach, problem, now)
        override = {"role": str(said["override"]), "reason": str(said.get("reason"))} if said.get("override") else None
        action = self._begun(order, None, override)

        async def work() -> RemedyResult:
            for step in former.back or []:
                result = await self._port.remedy(step.action, step.arguments)
                if not result.ok:
                    return result
            former.taken_back = True
            return RemedyResult(True, f"{former.order.action} {former.order.target} was undone")

        return await self._carried_out(action, work, now, wait=bool(said.get("wait")))

    def _former(self, number: Any) -> Action:
        open_to_it = [
            one for one in self.actions if one.back is not None and one.state == "done" and not one.taken_back
        ]
        if number is None:
            if not open_to_it:
                raise BadOrder("nothing to undo: restarts, moves and reboots cannot be undone")
            return open_to_it[-1]
        found = next((one for one in open_to_it if str(one.number) == str(number)), None)
        if found is None:
            known = ", ".join(f"{one.number} ({one.order.action} {one.order.target})" for one in open_to_it) or "none"
            raise BadOrder(f"no action {number!r} that can be undone, expected one of: {known}")
        return found

    def _record(self, action: Action, now: Situation, *, ok: bool, rule: str = "") -> None:
        order = action.order
        node = order.target.split(" ")[-1]
        said = TraineeAction(
            action=order.action,
            target=order.target,
            parameters=order.arguments,
            ok=ok,
            seen=action.seen,
            override=action.override,
            tier=tier_of_target(node, now.inventory, now.tiers),
            number=action.number,
            refused=action.state == "refused",
            rule=rule or (action.override or {}).get("rule", ""),
            seconds=round(time.time() - action.at, 3),
        )
        self._emit(event(said, "trainee", action.at))

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _with(now: Situation, settings: Settings) -> Situation:
    shed: dict[str, float] = {}
    for one in settings.shed.values():
        for tier, fraction in one.items():
            shed[tier] = max(shed.get(tier, 0.0), float(fraction))
    caps: dict[str, float] = {}
    for one in settings.caps.values():
        for tier, rate in one.items():
            caps[tier] = caps.get(tier, 0.0) + float(rate)
    return replace(now, shed=shed, caps=caps, weights=settings.weights)
