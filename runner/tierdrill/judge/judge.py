"""The judge: from a run's history alone to its verdict. Pure: no clock, no files, no network.

The history's first event carries the documents, so an exported history can be judged anywhere and comes to the same
bytes.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

from tierdrill.documents.catalogue import DrillSetting, expects_something
from tierdrill.documents.models.environment import Environment
from tierdrill.documents.sample_size import measurable, not_measured
from tierdrill.documents.variables import resolve_drill
from tierdrill.history.events import Event, each
from tierdrill.history.kinds.run_kinds import LedgerOpen, LoadSamples, LoadStarted, RunStarted, RunStopping
from tierdrill.judge.arrivals import settle, told_until
from tierdrill.judge.checks.alert_checks import judge_alerts, judge_quiet
from tierdrill.judge.checks.answer_checks import fallback_notes
from tierdrill.judge.checks.baseline import judge_baseline
from tierdrill.judge.checks.dilution import judge_undiluted
from tierdrill.judge.checks.failure_size import judge_class
from tierdrill.judge.checks.fault_checks import INJECTOR, judge_experiment, judge_faults
from tierdrill.judge.checks.invariants import judge_invariants
from tierdrill.judge.checks.load_generator import judge_load, owners_of, without_load
from tierdrill.judge.checks.observed_checks import judge_watches
from tierdrill.judge.checks.playbook_checks import judge_no_playbooks, judge_playbooks
from tierdrill.judge.checks.policy_state import exceptions, excused, lifted_rules, maintenance_of, marked, policy_notes
from tierdrill.judge.checks.recovery_times import judge_detection, times_of
from tierdrill.judge.checks.run_trust import judge_run
from tierdrill.judge.checks.slo_checks import judge_tier, streamed_parts
from tierdrill.judge.samples import TierSamples, collect
from tierdrill.judge.timeline import Timeline, carried_on, decided_stop, read_timeline, steady
from tierdrill.judge.verdict import SECONDS, Check, Status, StopReason, Verdict
from tierdrill.text import Explained

# Groups whose doubts are about whether this is the run that was planned.
BASES = ("run", "experiment", "fault")
LOADED = ("warm-up", "baseline", "fault", "recovery")
SLOWING = frozenset({"load/dropped", "load/lag", "load/loop", "load/machine", "load/rate", "load/stalled"})
DEAFENING = frozenset({"run/monitoring", "run/silences"})
BLINDING = frozenset({"run/watches"})
NEAR = 2.0
"""A doubt about the generator or the machine may explain a time of up to so many times its limit."""
NOTHING_JUDGED = Check(
    id="run/judged",
    group="run",
    status=Status.INCONCLUSIVE,
    title="something is judged",
    expected="the drill expects something of the service, its alerts or its playbooks",
    seen="it expects nothing, so nothing could have failed",
)


class NotARun(Explained, ValueError):
    """The events do not begin with run.started, so nothing says what was expected."""


def setting_in(events: Sequence[Event]) -> DrillSetting:
    """The documents the run was made from."""
    return DrillSetting.from_json(dict(start_of(events).setting))


def start_of(events: Sequence[Event]) -> RunStarted:
    if not events or not isinstance(said := events[0].payload, RunStarted):
        raise NotARun("the history does not begin with run.started")
    return said


def judge(events: Sequence[Event]) -> Verdict:
    """The verdict on a history, whole or cut short."""
    setting = resolve_drill(setting_in(events))
    events, stepped = steady(events)
    start = start_of(events)
    timeline = read_timeline(events)
    stop = decided_stop(events)
    stopped_at = None if stop is None else stop.at
    # A run that was stopped is judged as one of whose remainder nothing is known: what broke by then is broken.
    whole = timeline if stop is None else carried_on(timeline, start.planned)
    sent = collect(events)
    told = events if stop is None else told_until(events, stop.at)
    counted = sent if stop is None else collect(told)
    samples, books = settle(counted, told, owners_of(setting.drill.load), _load_span(events, whole))
    variant = start.variant
    streamed = streamed_parts(setting.drill.load)
    checks = [*judge_run(events, timeline), *judge_watches(setting.looked_for, events, timeline)]
    if not start.unloaded:
        checks.append(judge_baseline(setting, samples, timeline, streamed))
        checks.extend(judge_load(setting, events, timeline, sent, books, stopped=stop is not None))
    checks.extend(judge_experiment(events))
    checks.extend(judge_faults(start.faults or (), timeline))
    checks.extend([] if expects_something(setting.drill, setting.experiment) else [NOTHING_JUDGED])
    service = _service_checks(setting, variant, events, whole, samples, streamed)
    service = without_load(service, setting, events) if start.unloaded else service
    service = _as_far_as_measured(service, setting.environment)
    lifted, declared = lifted_rules(events, setting), maintenance_of(setting, _load_span(events, whole))
    under = exceptions(lifted, declared)
    service = excused(service, declared)
    if service and all(check.status is Status.NOT_MEASURED for check in service):
        service.append(NOTHING_JUDGED)
    checks.extend(service if stopped_at is None else _by_the_stop(service, stopped_at, timeline))
    checks.extend(_clean_checks(events))
    checks = _weighed(checks)
    status, reasons = _decide(checks, events)
    stopped = _stopped(events)
    return Verdict(
        run=start.run,
        drill=start.drill,
        variant=variant,
        status=status,
        summary=marked(_summary(status, reasons, checks, stopped), under),
        reasons=reasons,
        checks=tuple(checks),
        times=times_of(setting, events, timeline, samples),
        mechanisms={fault.kind: fault.mechanism for fault in timeline.faults},
        notes=(
            *policy_notes(events, lifted, declared),
            *_notes(variant, timeline),
            *stepped,
            *fallback_notes(setting.tiers, samples),
        ),
        stopped=stopped,
        under=under,
    )


def _load_span(events: Sequence[Event], timeline: Timeline) -> tuple[float, float]:
    """From the schedule's zero to the end of the last phase with load."""
    zeros = [said.schedule_zero or event.at for event, said in each(events, LoadStarted)]
    begin = zeros[-1] if zeros else timeline.started_at
    return begin, max((timeline.phases[phase][1] for phase in LOADED if phase in timeline.phases), default=begin)


def _service_checks(
    setting: DrillSetting,
    variant: str,
    events: Sequence[Event],
    timeline: Timeline,
    samples: dict[str, TierSamples],
    streamed: Collection[str],
) -> list[Check]:
    expect = setting.drill.expect
    batches = [event.sequence for event, _ in each(events, LoadSamples)]
    evidence = (batches[0], batches[-1]) if batches else ()
    blip = variant == "blip"
    checks: list[Check] = []
    for expectation in expect.tiers:
        tier = setting.tiers.by_name(expectation.tier)
        mine = samples.get(tier.name, TierSamples())
        checks.extend(judge_tier(expectation, tier, mine, timeline, evidence, streamed, prove=not blip))
        if not blip:
            known = measurable(setting.environment, tier)
            checks.extend(judge_undiluted(expectation, known, mine, timeline, evidence, streamed))
            checks.extend(judge_detection(setting, tier, events, timeline, expectation.objectives))
    if blip:
        monitoring = setting.environment.monitoring
        looked_at = frozenset(monitoring.alerts) if monitoring and expect.alerts.others == "allowed" else None
        return [*checks, *judge_quiet(events, timeline, looked_at), *judge_no_playbooks(events)]
    checks.extend(judge_invariants(expect.invariants, setting.tiers, samples, timeline, evidence))
    checks.extend(judge_alerts(expect.alerts, setting.environment.clock, events, timeline))
    checks.extend(judge_playbooks(setting, events, timeline, samples))
    checks.extend(judge_class(setting, events, timeline, samples, evidence, streamed))
    return checks


def _as_far_as_measured(checks: Sequence[Check], environment: Environment) -> list[Check]:
    """The checks, those of them not measured for which the environment's platform tells too little."""

    def why(check: Check) -> str:
        name = check.id.partition("/")[2]
        known = check.status is Status.NOT_MEASURED
        return "" if known else not_measured(
            environment, check.group, name.partition("/")[2] if check.group == "slo" else name
        )

    return [
        replace(check, status=Status.NOT_MEASURED, seen=f"not measured here: {reason}", value=None, low=None, high=None)
        if (reason := why(check))
        else check
        for check in checks
    ]


def _by_the_stop(checks: Sequence[Check], stopped_at: float, timeline: Timeline) -> list[Check]:
    """The checks of a run that was stopped: what had not happened by then is a failure only if its time was over."""
    effects = [fault.effective_at for fault in timeline.faults if fault.effective_at is not None]
    watched = stopped_at - max(effects, default=stopped_at)

    def open_yet(check: Check) -> bool:
        if check.group not in ("alert", "playbook", "class") and not check.id.endswith("/time_to_detect"):
            return False
        # What fired or ran, and should not have, or otherwise.
        strayed = bool(check.events) and check.id.endswith(("/silent", "/elsewhere", "/cause", "/target"))
        happened = strayed or check.value is not None
        return not happened and not (check.limit is not None and watched > check.limit)

    return [
        replace(check, status=Status.INCONCLUSIVE, seen=f"{check.seen}; by then the run had been stopped")
        if check.status is Status.FAILED and open_yet(check)
        else check
        for check in checks
    ]


def _stopped(events: Sequence[Event]) -> StopReason | None:
    """Who stopped the run and why, as far as anybody did."""
    stops = [said for _, said in each(events, RunStopping)]
    stop = next((said for said in stops if said.by != "error"), stops[0] if stops else None)
    return None if stop is None else StopReason(stop.by or "?", stop.reason)


def _clean_checks(events: Sequence[Event]) -> list[Check]:
    told = each(events, LedgerOpen)
    faults, processes = (told[-1][1].faults, told[-1][1].processes) if told else (None, ())
    parts = [
        f"{what}: {', '.join(map(str, left))}"
        for what, left in (("still injected", faults), ("still running", processes))
        if left
    ]
    if parts:
        status, seen = Status.UNCLEAN, "; ".join(parts)
    elif faults is None:
        status, seen = Status.INCONCLUSIVE, "the run did not get to say"
    else:
        status, seen = Status.PASSED, "nothing"
    return [
        Check(
            id="run/clean",
            group="run",
            status=status,
            title="nothing is left behind",
            expected="no fault open in the ledger and no process of the run alive at the end",
            seen=seen,
            events=tuple(event.sequence for event, _ in told),
        )
    ]


def _weighed(checks: Sequence[Check]) -> list[Check]:
    """The checks, those of them unknown that failed by what a doubt may explain.

    A generator or machine that was late explains a time near its limit, monitoring that was blind what was not heard,
    and either the class that rests on both; a cluster that was not watched explains what was not seen to be done.
    Nothing explains errors, time-outs and lost goodput.
    """
    doubts = [check.id for check in checks if check.status is Status.INCONCLUSIVE]
    late, deaf, blind = ([one for one in doubts if one in causes] for causes in (SLOWING, DEAFENING, BLINDING))

    def explained_by(check: Check) -> list[str]:
        if check.group == "class":
            return [*late, *deaf]
        unheard = deaf if check.group in ("alert", "playbook") else ()
        unseen = blind if check.group == "playbook" else ()
        return [*(late if _near(check) else ()), *unheard, *unseen]

    return [
        replace(check, status=Status.INCONCLUSIVE, seen=f"{check.seen}; that may be for {', '.join(causes)}")
        if check.status is Status.FAILED and (causes := explained_by(check))
        else check
        for check in checks
    ]


def _near(check: Check) -> bool:
    """Whether it is a time that was longer than its limit, but not by much."""
    measured = check.low if check.low is not None else check.value
    return check.unit == SECONDS and measured is not None and check.limit is not None and measured <= NEAR * check.limit


def doubts_of_the_run(checks: Sequence[Check]) -> tuple[str, ...]:
    """The checks (ids) that leave it open whether this is the run that was planned."""
    unknown = (check.id for check in checks if check.status is Status.INCONCLUSIVE)
    return tuple(one for one in unknown if one.partition("/")[0] in BASES and one not in DEAFENING | BLINDING)


def _decide(checks: Sequence[Check], events: Sequence[Event]) -> tuple[Status, tuple[str, ...]]:
    unclean = tuple(check.id for check in checks if check.status is Status.UNCLEAN)
    if unclean:
        return Status.UNCLEAN, unclean
    # A stop somebody decided on is an abort; one because something broke is a doubt like any other.
    if decided_stop(events) is not None:
        return Status.ABORTED, ("run/completed",)
    unknown = tuple(check.id for check in checks if check.status is Status.INCONCLUSIVE)
    # A run that is not the one that was planned says nothing, so such a doubt comes before what it seems to show.
    baseless = doubts_of_the_run(checks)
    failed = tuple(check.id for check in checks if check.status is Status.FAILED)
    if failed and not baseless:
        return Status.FAILED, failed
    # Where it broke off, what broke comes before all that was not got to because of it.
    stopped = bool(each(events, RunStopping))
    first = sorted(baseless, key=lambda one: not stopped or one != "run/completed")
    reasons = tuple(dict.fromkeys([*first, *unknown]))
    return (Status.INCONCLUSIVE, reasons) if reasons else (Status.PASSED, ())


def _summary(status: Status, reasons: tuple[str, ...], checks: Sequence[Check], stopped: StopReason | None) -> str:
    if status is Status.PASSED:
        return _what_held(checks)
    if status is Status.ABORTED and stopped is not None:
        return f"stopped by {stopped.by}: {stopped.reason}"
    first = next((check for check in checks if check.id == reasons[0]), None)
    if first is None:
        return status.value
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return f"{first.title}: {first.seen}{more}"


def _what_held(checks: Sequence[Check]) -> str:
    """One sentence for a pass: who kept what, and what answered the fault how soon."""
    measured = [check for check in checks if check.status is not Status.NOT_MEASURED]
    tiers = list(dict.fromkeys(check.id.split("/")[1] for check in measured if check.group == "slo"))
    held = f"{', '.join(tiers)} kept their objectives" if len(tiers) > 1 else f"{''.join(tiers)} kept its objectives"
    parts = [held] if tiers else []
    for check in checks:
        name, _, aspect = check.id.partition("/")[2].partition("/")
        if check.group == "alert" and aspect == "fired" and check.value is not None:
            parts.append(f"{name} was delivered after {check.value:.1f}s")
        elif check.group == "playbook" and aspect == "deadline" and check.value is not None:
            parts.append(f"{name} was done after {check.value:.1f}s")
    if any(check.id in ("alert/all/silent", "playbook/all/silent") for check in checks):
        parts = ["nothing fired and nothing ran"]
    parts = parts or [f"all {len(measured)} checks passed"]
    left_out = len(checks) - len(measured)
    return "; ".join([*parts, *([f"{left_out} {Status.NOT_MEASURED}"] if left_out else [])])


def _notes(variant: str, timeline: Timeline) -> tuple[str, ...]:
    notes = []
    if emulated := sorted({fault.kind for fault in timeline.faults if fault.emulated}):
        notes.append(f"Emulated by the lab: {', '.join(emulated)}; metrics and logs carry the production names.")
    if any(by == INJECTOR for fault in timeline.faults for _, by in fault.reverts):
        notes.append("The fault was somebody else's: it began and ended when it was said to.")
    if variant == "blip":
        notes.append(
            "A blip is too short to prove objectives; what is judged is that none was broken and nothing fired."
        )
    elif variant.startswith("sabotage:"):
        notes.append(f"Safety net cut on purpose ({variant.split(':', 1)[1]}); this run is meant to fail.")
    return tuple(notes)
