"""The judge: from a run's history alone to its verdict. Pure: no clock, no files, no network.

The history's first event carries the documents, so an exported history can be judged anywhere and comes to the same
bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

from tierdrill.history.events import Event
from tierdrill.judge.alerts import judge_alerts, judge_quiet
from tierdrill.judge.answers import fallback_notes
from tierdrill.judge.experiment import judge_experiment
from tierdrill.judge.failure import judge_class
from tierdrill.judge.faults import judge_faults
from tierdrill.judge.generator import judge_load
from tierdrill.judge.invariants import judge_invariants
from tierdrill.judge.playbooks import judge_no_playbooks, judge_playbooks
from tierdrill.judge.recovery import judge_detection, times_of
from tierdrill.judge.samples import TierSamples, collect
from tierdrill.judge.slo import judge_tier, streamed_parts
from tierdrill.judge.timeline import Timeline, read_timeline
from tierdrill.judge.trust import judge_run
from tierdrill.judge.verdict import Check, Status, Verdict
from tierdrill.spec.catalogue import DrillSetting
from tierdrill.spec.resolve import resolve_drill

WORST_FIRST = (Status.UNCLEAN, Status.ABORTED, Status.FAILED, Status.INCONCLUSIVE, Status.PASSED)
# Groups whose doubts are about the run, not about the service.
DOUBTED = ("run", "load", "experiment", "fault")
NOTHING_JUDGED = Check(
    id="run/judged",
    group="run",
    status=Status.INCONCLUSIVE,
    title="something is judged",
    expected="the drill expects something of the service, its alerts or its playbooks",
    seen="it expects nothing, so nothing could have failed",
)


class NotARun(ValueError):
    """The events do not begin with run.started, so nothing says what was expected."""


def setting_in(events: Sequence[Event]) -> DrillSetting:
    """The documents the run was made from."""
    if not events or events[0].kind != "run.started":
        raise NotARun("the history does not begin with run.started")
    return DrillSetting.from_json(events[0].data["setting"])


def judge(events: Sequence[Event]) -> Verdict:
    """The verdict on a history, whole or cut short."""
    setting = resolve_drill(setting_in(events))
    start = events[0].data
    timeline = read_timeline(events)
    samples = collect(events)
    variant = str(start["variant"])
    checks = [*judge_run(events, timeline), *judge_load(setting, events, timeline, samples)]
    checks.extend(judge_experiment(events))
    checks.extend(judge_faults(start.get("faults", []), timeline))
    service = _service_checks(setting, variant, events, timeline, samples)
    forbids = "forbidden" in (setting.drill.expect.alerts.others, setting.drill.expect.playbooks.others)
    checks.extend(service if service or forbids else [NOTHING_JUDGED])
    checks.extend(_clean_checks(events))
    status, reasons = _decide(checks, events)
    return Verdict(
        run=str(start["run"]),
        drill=str(start["drill"]),
        variant=variant,
        status=status,
        summary=_summary(status, reasons, checks, events),
        reasons=reasons,
        checks=tuple(checks),
        times=times_of(setting, events, timeline, samples),
        mechanisms={fault.kind: fault.mechanism for fault in timeline.faults},
        notes=(*_notes(start, variant, timeline), *fallback_notes(setting.tiers, samples)),
    )


def _service_checks(
    setting: DrillSetting,
    variant: str,
    events: Sequence[Event],
    timeline: Timeline,
    samples: dict[str, TierSamples],
) -> list[Check]:
    expect = setting.drill.expect
    batches = [event.sequence for event in events if event.kind == "load.samples"]
    evidence = (batches[0], batches[-1]) if batches else ()
    streamed = streamed_parts(setting.drill.load)
    if variant == "blip":
        checks = [
            check
            for expectation in expect.tiers
            for check in judge_tier(
                expectation.model_copy(
                    update={"objectives": ("integrity",), "during": ("baseline", "fault", "recovery")}
                ),
                setting.tiers.by_name(expectation.tier),
                samples.get(expectation.tier, TierSamples()),
                timeline,
                evidence,
                streamed,
            )
            if setting.tiers.by_name(expectation.tier).objectives.integrity is not None
        ]
        return [*checks, *judge_quiet(events, timeline), *judge_no_playbooks(events)]
    checks = []
    for expectation in expect.tiers:
        tier = setting.tiers.by_name(expectation.tier)
        mine = samples.get(tier.name, TierSamples())
        checks.extend(judge_tier(expectation, tier, mine, timeline, evidence, streamed))
        checks.extend(judge_detection(setting, tier, events, timeline, expectation.objectives))
    checks.extend(judge_invariants(expect.invariants, setting.tiers, samples, timeline, evidence))
    checks.extend(judge_alerts(expect.alerts, events, timeline))
    checks.extend(judge_playbooks(setting, events, timeline, samples))
    checks.extend(judge_class(setting, events, timeline, samples, evidence, streamed))
    return checks


def _clean_checks(events: Sequence[Event]) -> list[Check]:
    told = [event for event in events if event.kind == "ledger.open"]
    last = told[-1].data if told else {}
    faults, processes = last.get("faults"), last.get("processes") or []
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
            events=tuple(event.sequence for event in told),
        )
    ]


def _decide(checks: Sequence[Check], events: Sequence[Event]) -> tuple[Status, tuple[str, ...]]:
    # A stop somebody decided on is an abort; one because something broke is a doubt like any other.
    stops = [event for event in events if event.kind == "run.stopping"]
    stopping = [event for event in stops if event.data.get("by") != "error"]
    unclean = tuple(check.id for check in checks if check.status is Status.UNCLEAN)
    if unclean:
        return Status.UNCLEAN, unclean
    if stopping:
        return Status.ABORTED, ("run/completed",)
    # A run that cannot be believed says nothing, so a doubt about the run itself comes before what it seems to show.
    doubts = tuple(
        check.id for check in checks if check.status is Status.INCONCLUSIVE and check.group in DOUBTED
    )
    if doubts:
        # Where it broke off, what broke comes before all that was not got to because of it.
        return Status.INCONCLUSIVE, tuple(sorted(doubts, key=lambda one: not stops or one != "run/completed"))
    failed = tuple(check.id for check in checks if check.status is Status.FAILED)
    if failed:
        return Status.FAILED, failed
    unknown = tuple(check.id for check in checks if check.status is Status.INCONCLUSIVE)
    return (Status.INCONCLUSIVE, unknown) if unknown else (Status.PASSED, ())


def _summary(status: Status, reasons: tuple[str, ...], checks: Sequence[Check], events: Sequence[Event]) -> str:
    if status is Status.PASSED:
        return _what_held(checks)
    if status is Status.ABORTED:
        stop = next(event for event in events if event.kind == "run.stopping")
        return f"stopped by {stop.data.get('by', '?')}: {stop.data.get('reason', '')}"
    first = next((check for check in checks if check.id == reasons[0]), None)
    if first is None:
        return status.value
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return f"{first.title}: {first.seen}{more}"


def _what_held(checks: Sequence[Check]) -> str:
    """One sentence for a pass: who kept what, and what answered the fault how soon."""
    tiers = list(dict.fromkeys(check.id.split("/")[1] for check in checks if check.group == "slo"))
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
    return "; ".join(parts) or f"all {len(checks)} checks passed"


def _notes(start: dict[str, object], variant: str, timeline: Timeline) -> tuple[str, ...]:
    notes = []
    if any(fault.emulated for fault in timeline.faults):
        notes.append("GPUs in the lab are emulated; their metrics and kernel-log lines carry the production names.")
    if variant == "blip":
        notes.append(
            "A blip is too short to prove objectives; what is judged is that nothing fired and no answer was wrong."
        )
    elif variant.startswith("sabotage:"):
        notes.append(f"Safety net cut on purpose ({variant.split(':', 1)[1]}); this run is meant to fail.")
    return tuple(notes)
