"""Did a remedy have its effect, as somebody sees it who did not carry it out.

Who that is each remedy's record says. Here is what they saw: the control plane's view at each change, the
load's own requests, the ends of the lab's processes, and alerts in Prometheus' eyes. Never the setting that the remedy
wrote, and never its own answer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tierdrill.history.events import Event, each
from tierdrill.history.kinds.response_kinds import WATCHDOG_MISSING, AlertState, StepStarted
from tierdrill.history.kinds.run_kinds import PlatformState, ProcessExited
from tierdrill.history.playbook_spans import Execution, Step
from tierdrill.judge.samples import TierSamples
from tierdrill.judge.statistics import wilson
from tierdrill.judge.timeline import Timeline
from tierdrill.judge.verdict import Status
from tierdrill.remedies.known_remedies import REMEDIES
from tierdrill.remedies.remedy import PROMETHEUS

UNSENT = frozenset({"dropped", "unfinished"})
SHED_OF_AT_LEAST = 5
"""Of fewer requests nobody can tell how many of them are turned away."""

SHED_AT_LEAST = 0.25
"""The part of what was to be shed that must at least be seen to be, with 95% confidence, for an effect."""

TAKEN_OFF = 0.75
"""The part of the traffic that was to be taken off and must really be gone: what is under way needs a moment."""


@dataclass(frozen=True)
class Effect:
    """What a witness saw of one step's effect; `at` is since when (Unix seconds), where it was seen."""

    status: Status
    witness: str
    seen: str
    at: float | None = None
    events: tuple[int, ...] = ()


@dataclass(frozen=True)
class View:
    """The control plane's view since one moment: nodes and replicas by name."""

    at: float
    event: int
    nodes: Mapping[str, Mapping[str, Any]]
    replicas: Mapping[str, Mapping[str, Any]]

    def is_whole(self) -> bool:
        return bool(self.replicas) and all(replica.get("ready") for replica in self.replicas.values())


class Witnesses:
    """What history has of those who saw. `gateways` are the names in the order in which the load counts them."""

    def __init__(
        self,
        events: Sequence[Event],
        samples: Mapping[str, TierSamples],
        timeline: Timeline,
        gateways: Sequence[str],
    ) -> None:
        self._events = events
        self._timeline = timeline
        self._samples = samples
        self._gateways = gateways
        self._views = [_view(event, said) for event, said in each(events, PlatformState)]
        self._ended_at = events[-1].at if events else 0.0

    def effect(self, one: Execution, step: Step, until: float) -> Effect | None:
        """Whether the step had its effect before `until` (Unix seconds); None for a remedy that has no witness."""
        remedy = REMEDIES.get(step.action)
        if remedy is None or not remedy.look or not step.begun:
            return None
        found: Effect = getattr(self, remedy.look)(one, step, until)
        return Effect(found.status, remedy.witness, found.seen, found.at, found.events)

    def before(self, at: float) -> View | None:
        """The control plane's last view before a moment."""
        return next((view for view in reversed(self._views) if view.at < at), None)

    def first(self, step: Step, until: float, holds: Callable[[View], bool], what: str) -> Effect:
        """The first view since the step began in which something holds."""
        later = [view for view in self._views if view.at >= step.started_at]
        if not self._views:
            return Effect(Status.INCONCLUSIVE, "", "no control plane report")
        found = next((view for view in later if holds(view)), None)
        if found is None:
            return Effect(Status.FAILED, "", f"it never showed {what}")
        if found.at > until:
            late = f"it showed {what} only {found.at - until:.1f}s after the fault was undone"
            return Effect(Status.FAILED, "", late, found.at, (found.event,))
        return Effect(Status.PASSED, "", f"it showed {what}", found.at, (found.event,))

    def renewed(self, one: Execution, step: Step, until: float) -> Effect:
        """A replica that was started anew, once, and is ready."""
        name = str(step.arguments.get("replica", ""))
        old = _life(self.before(step.started_at), name)

        def anew(view: View) -> bool:
            return bool(view.replicas.get(name, {}).get("ready")) and _life(view, name) != old

        found = self.first(step, until, anew, f"{name} started again and ready")
        ahead = [view for view in self._views if step.started_at <= view.at <= until]
        new = _life(ahead[-1], name) if ahead else None
        tries = sum(other.action == step.action and other.arguments == step.arguments for other in one.steps)
        if found.status is Status.PASSED and old and new and sum(new) - sum(old) > tries:
            said = f"{name} was started again {sum(new) - sum(old)} times"
            return Effect(Status.FAILED, "", said, found.at, found.events)
        return found

    def came_up(self, one: Execution, step: Step, until: float) -> Effect:
        """A replica that is ready."""
        name = str(step.arguments.get("replica", ""))
        return self.first(step, until, lambda view: bool(view.replicas.get(name, {}).get("ready")), f"{name} ready")

    def moved(self, one: Execution, step: Step, until: float) -> Effect:
        """What was on a node, as far as it was meant, is ready elsewhere."""
        return self._away(step, until, ready=True)

    def emptied(self, one: Execution, step: Step, until: float) -> Effect:
        """Of what was on a node or a GPU, as far as it was meant, nothing is left there."""
        return self._away(step, until, ready=False)

    def _away(self, step: Step, until: float, *, ready: bool) -> Effect:
        node, gpu = str(step.arguments.get("node", "")), step.arguments.get("gpu")
        there = self._on(self.before(step.started_at), step.arguments)

        def away(view: View, name: str) -> bool:
            replica = view.replicas.get(name, {})
            left = replica.get("node") != node or (gpu is not None and str(replica.get("gpu")) != str(gpu))
            return left and (not ready or bool(replica.get("ready")))

        what = f"{', '.join(there)} {'ready elsewhere' if ready else f'off {node}'}"
        if self._views and not there:
            return Effect(Status.PASSED, "", f"nothing of it was on {node}", step.ended_at)
        return self.first(step, until, lambda view: all(away(view, name) for name in there), what)

    def rebooted(self, one: Execution, step: Step, until: float) -> Effect:
        """A node that was gone, once, and is ready again."""
        name = str(step.arguments.get("node", ""))
        was = self.before(step.started_at)
        old = was.nodes.get(name, {}).get("boot_id") if was else None
        later = [view for view in self._views if view.at >= step.started_at]
        down = next((view.at for view in later if not view.nodes.get(name, {}).get("ready")), None)

        def back(view: View) -> bool:
            node = view.nodes.get(name, {})
            boot = node.get("boot_id")
            anew = boot != old if boot and old else down is not None and view.at > down
            return bool(node.get("ready")) and anew

        found = self.first(step, until, back, f"{name} booted and ready")
        boots = {view.nodes.get(name, {}).get("boot_id") for view in later if view.at <= until} - {None, old}
        tries = sum(other.action == step.action for other in one.steps)
        if found.status is Status.PASSED and old and len(boots) > tries:
            return Effect(Status.FAILED, "", f"{name} was booted {len(boots)} times", found.at, found.events)
        return found

    def whole(self, one: Execution, step: Step, until: float) -> Effect:
        """Every replica has a place and is ready."""
        return self.first(step, until, View.is_whole, "every replica ready")

    def shed(self, one: Execution, step: Step, until: float) -> Effect:
        """Requests of the tier are turned away, with reason shed, as many as was ordered."""
        tier, fraction = str(step.arguments.get("tier", "")), float(step.arguments.get("fraction", 0.0))
        end = min(until, self._changed_after(step, lambda other: other.get("tier") == tier))
        rows = self._samples.get(tier, TierSamples()).cut(step.ended_at or step.started_at, end)
        shed = [
            due
            for due, outcome, reason in zip(rows.due, rows.outcome, rows.reason, strict=True)
            if outcome == "rejected" and reason == "shed"
        ]
        total = sum(outcome not in UNSENT for outcome in rows.outcome)
        share = wilson(len(shed), total)
        seen = f"{len(shed)} of {total} requests of {tier} were shed"
        unclear = share is not None and share.low <= fraction * SHED_AT_LEAST and share.high >= fraction
        if share is None or total < SHED_OF_AT_LEAST or unclear:
            return Effect(Status.INCONCLUSIVE, "", f"{seen}: too few to tell")
        if share.high < fraction:
            return Effect(Status.FAILED, "", seen)
        return Effect(Status.PASSED, "", seen, shed[0])

    def weighed(self, one: Execution, step: Step, until: float) -> Effect:
        """A node or GPU gets the part of the traffic that its weight says, against what it got before the fault.

        Where the traffic had left before the step, only what does not come back once the fault is undone, until the
        weight is given back, is the weight's doing.
        """
        weight = float(step.arguments.get("weight", 1.0))
        over = self._changed_after(step, lambda other: other.get("node") == step.arguments.get("node"))
        began = self._views[0].at if self._views else step.started_at
        fault = min(self._timeline.effect_on(one.names) or step.started_at, step.started_at)
        done = step.ended_at or step.started_at
        before, before_of, _ = self._answered_by(step.arguments, began, fault)
        place = _place(step.arguments)
        if not before_of or not before:
            return Effect(Status.INCONCLUSIVE, "", f"no request was answered by {place} before")
        usual = f"({before} of {before_of} before)"
        limit = before / before_of * (1 - TAKEN_OFF * (1 - weight))

        def told(begin: float, end: float, when: str) -> Effect:
            count, total, last = self._answered_by(step.arguments, begin, end)
            share = wilson(count, total)
            seen = f"{count} of {total} requests were answered by {place} {when}"
            if share is None or share.low <= limit <= share.high:
                return Effect(Status.INCONCLUSIVE, "", f"{seen}: too few to tell")
            return Effect(Status.FAILED if share.low > limit else Status.PASSED, "", seen, last or done)

        since = told(done, min(until, over), usual)
        if since.status is Status.PASSED and told(fault, step.started_at, "").status is Status.PASSED:
            later = told(until, over, "once the fault was undone; the traffic had left before the step")
            return since if later.status is Status.PASSED else later
        return since

    def restarted(self, one: Execution, step: Step, until: float) -> Effect:
        """A gateway's process ended, once (or had ended before), and requests through it are answered again."""
        name = str(step.arguments.get("gateway", ""))
        exits = [event for event, said in each(self._events, ProcessExited) if said.name == name]
        ends = [event for event in exits if step.started_at <= event.at <= until]
        numbers = tuple(event.sequence for event in ends)
        if not ends:
            return self._started(name, step, until, [event for event in exits if event.at < step.started_at])
        tries = sum(other.action == step.action for other in one.steps)
        if len(ends) > tries:
            return Effect(Status.FAILED, "", f"the process of {name} ended {len(ends)} times", ends[0].at, numbers)
        good, total, first = self._answered_through(name, step.ended_at or ends[-1].at, until)
        share = wilson(good, total)
        seen = f"the process of {name} ended, and {good} of {total} requests through it were answered since"
        if share is None or share.low <= 0.5 <= share.high:
            return Effect(Status.INCONCLUSIVE, "", f"{seen}: too few to tell", ends[-1].at, numbers)
        status = Status.PASSED if share.low > 0.5 else Status.FAILED
        return Effect(status, "", seen, first or ends[-1].at, numbers)

    def _started(self, name: str, step: Step, until: float, exits: Sequence[Event]) -> Effect:
        """A gateway that was down when the step began, and answers requests since."""
        if not exits or self._answered_through(name, exits[-1].at, step.started_at)[0]:
            return Effect(Status.FAILED, "", f"the process of {name} did not end")
        good, total, first = self._answered_through(name, step.ended_at or step.started_at, until)
        share, seen = wilson(good, total), f"{good} of {total} requests through it were answered since"
        failed = share is None or share.high <= 0.5
        status = Status.FAILED if failed else Status.PASSED if share and share.low > 0.5 else Status.INCONCLUSIVE
        return Effect(status, "", f"{name} was down, and {seen}", first, (exits[-1].sequence,))

    def alert_over(self, one: Execution, _: Step | None, until: float) -> Effect:
        """The alert that started an execution is over, in Prometheus' eyes, or its receiver's if that one raised it."""
        via = "webhook" if one.alert == WATCHDOG_MISSING else "prometheus"
        heard = [(event, said) for event, said in each(self._events, AlertState) if said.via == via]
        resolved = [
            event
            for event, said in heard
            if (said.alert, said.state) == (one.alert, "resolved")
            and _same_labels(one.labels, said.labels)
            and event.at >= one.started_at
        ]
        if not heard:
            return Effect(Status.INCONCLUSIVE, PROMETHEUS, "Prometheus did not report")
        if not resolved or resolved[0].at > until:
            when = f"only {resolved[0].at - until:.1f}s after the fault was undone" if resolved else "to no end"
            return Effect(Status.FAILED, PROMETHEUS, f"it saw {one.alert} fire {when}")
        return Effect(Status.PASSED, PROMETHEUS, f"{one.alert} is over", None, (resolved[0].sequence,))

    def _on(self, view: View | None, arguments: Mapping[str, Any]) -> list[str]:
        """Replicas on the node, or the GPU of it, and of the tiers and models, that arguments name."""
        tiers, models, gpu = arguments.get("tiers"), arguments.get("models"), arguments.get("gpu")
        return [
            name
            for name, replica in (view.replicas.items() if view else ())
            if replica.get("node") == arguments.get("node")
            and (gpu is None or str(replica.get("gpu")) == str(gpu))
            and (tiers is None or replica.get("tier") in tiers)
            and (models is None or replica.get("model") in models)
        ]

    def _changed_after(self, step: Step, same: Callable[[Mapping[str, Any]], bool]) -> float:
        """When the next step of the same remedy on the same thing began: from then on its effect is another."""
        return next(
            (
                event.at
                for event, said in each(self._events, StepStarted)
                if event.at > step.started_at and said.action == step.action and same(said.arguments)
            ),
            self._ended_at,
        )

    def _answered_by(self, arguments: Mapping[str, Any], begin: float, end: float) -> tuple[int, int, float | None]:
        """Requests answered by replicas at a place, of all that were answered (by models that are there), and when the
        last of them was sent.
        """
        gateway = arguments.get("gateway")
        index = self._gateways.index(str(gateway)) if gateway in self._gateways else None
        spans = [*[view.at for view in self._views[1:]], self._ended_at + 1.0]
        there, total, last = 0, 0, None
        for view, over in zip(self._views, spans, strict=False):
            if over <= begin or view.at >= end:
                continue
            here = set(self._on(view, {key: arguments.get(key) for key in ("node", "gpu")}))
            models = {view.replicas[name].get("model") for name in here}
            peers = {name for name, replica in view.replicas.items() if replica.get("model") in models}
            for rows in self._samples.values():
                cut = rows.cut(max(begin, view.at), min(end, over))
                for due, latency, replica, through in zip(cut.due, cut.latency, cut.replica, cut.gateway, strict=True):
                    # What was answered after the end may have been sent on after it.
                    in_time = due + (latency or 0.0) <= end
                    if in_time and replica in peers and (index is None or through in (index, arguments["gateway"])):
                        total += 1
                        if replica in here:
                            there += 1
                            last = due if last is None else max(last, due)
        return there, total, last

    def _answered_through(self, gateway: str, begin: float, end: float) -> tuple[int, int, float | None]:
        """Requests through a gateway that were answered, of all sent to it, and when the first of them was sent."""
        index = self._gateways.index(gateway) if gateway in self._gateways else -1
        good, total, first = 0, 0, None
        for rows in self._samples.values():
            cut = rows.cut(begin, end)
            for due, outcome, through in zip(cut.due, cut.outcome, cut.gateway, strict=True):
                if through in (index, gateway) and outcome not in UNSENT:
                    total += 1
                    if outcome == "ok":
                        good += 1
                        first = due if first is None else min(first, due)
        return good, total, first


def _view(event: Event, said: PlatformState) -> View:
    nodes = {str(node["name"]): node for node in said.nodes}
    replicas = {str(replica["name"]): replica for replica in said.replicas}
    return View(event.at, event.sequence, nodes, replicas)


def _life(view: View | None, name: str) -> tuple[int, int] | None:
    """Which of its lives a replica is in: its generation and its restarts."""
    replica = view.replicas.get(name) if view else None
    return (int(replica.get("generation") or 0), int(replica.get("restarts") or 0)) if replica else None


def _place(arguments: Mapping[str, Any]) -> str:
    gpu = arguments.get("gpu")
    return str(arguments.get("node")) + ("" if gpu is None else f"/{gpu}")


def _same_labels(wanted: Mapping[str, str] | None, labels: Mapping[str, Any]) -> bool:
    return all(str(labels.get(key, value)) == value for key, value in (wanted or {}).items())
