"""One line of plain words per noteworthy event; None for events that tell a reader nothing (samples, health ticks)."""

from collections.abc import Mapping
from typing import Any

from tierdrill.history.events import Event
from tierdrill.history.kinds import response_kinds as response
from tierdrill.history.kinds import run_kinds as run
from tierdrill.history.payload import plain
from tierdrill.history.projection import FaultSpan
from tierdrill.judge.checks.fault_checks import INJECTOR
from tierdrill.remedies.remedy import in_words
from tierdrill.report.format import fault_words, show_seconds, variant_words
from tierdrill.report.run_model import Line

_NOISE_LABELS = {
    "alertname",
    "alertstate",
    "severity",
    "job",
    "instance",
    "monitor",
    "drill",
    "rank",
    "prometheus",
    "UUID",
}
Told = tuple[str, str] | None


def describe(event: Event, faults: Mapping[str, FaultSpan] | None = None) -> Line | None:
    """The event as a line of the story; `faults`, where known, give its fault a name that people can read."""
    said = event.payload
    if isinstance(said, run.FaultEvent):
        known = (faults or {}).get(said.fault)
        name = f"{fault_words(known.kind)} on {known.target}" if known and known.kind else said.fault
        told = _fault(said, name)
    elif isinstance(said, response.PlaybookEvent):
        told = _playbook(said)
    elif isinstance(said, response.PageEvent):
        told = _page(said)
    else:
        told = _run(said)
    return None if told is None else Line(event.at, told[0], told[1])


def label_words(labels: Mapping[str, Any]) -> str:
    """The labels that tell one instance of an alert from another: "node-2", "node-1/0" for a GPU, "critical"."""
    if "node" in labels and "gpu" in labels:
        labels = {**labels, "gpu": f"{labels['node']}/{labels['gpu']}", "node": ""}
    return " ".join(str(value) for key, value in sorted(labels.items()) if value and key not in _NOISE_LABELS)


def _seen(seen: str) -> str:
    return f": {seen}" if seen else ""


def _left(setting: str) -> str:
    """What a playbook left changed, with the verb that goes with it."""
    words = in_words(setting)
    return f"{words} {'are' if words.partition(' ')[0].endswith('s') else 'is'}"


_SABOTAGE: Mapping[type[run.FaultEvent], tuple[str, str]] = {
    run.FaultLanded: ("is seen to be in effect", "info"),
    run.FaultFailed: ("could not be carried out", "bad"),
    run.FaultNotLanded: ("was NOT seen to be in effect", "bad"),
    run.FaultGone: ("is given back", "info"),
}


def _fault(said: run.FaultEvent, name: str) -> Told:
    if said.sabotage is not None:
        words, grade = _SABOTAGE.get(type(said), ("", ""))
        return (f"sabotage {said.sabotage} {words}", grade) if words else None
    match said:
        case run.FaultIntended() as one:
            what = f"{fault_words(one.kind)} on {one.target}"
            undo = "somebody else undoes it" if one.undo == INJECTOR else "undo is on the ledger"
            return f"fault {what} intended, {undo} ({one.mechanism})", "info"
        case run.FaultReverting(by=by):
            return f"fault {name} is being undone by {by}", "info"
        case run.FaultFailed(error=error):
            return f"fault {name} could not be injected{_seen(error)}", "bad"
        case run.FaultLanded() | run.FaultNotLanded() | run.FaultGone() | run.FaultNotGone() as one:
            words, level = {
                run.FaultLanded: ("landed", "warn"),
                run.FaultNotLanded: ("was NOT seen to land", "bad"),
                run.FaultGone: ("gone", "good"),
                run.FaultNotGone: ("is NOT gone", "bad"),
            }[type(one)]
            witness = f" (seen by {one.witness})" if one.witness else ""
            return f"fault {name} {words}{witness}{_seen(one.seen)}", level
    return None


def _playbook(said: response.PlaybookEvent) -> Told:
    name, target = f"playbook {said.playbook}", said.target
    match said:
        case response.PlaybookStarted(phase=phase, alert=alert):
            return f"{name} started{' giving back' if phase == 'resolve' else ''} on {target} for {alert}", "info"
        case response.PlaybookSkipped(reason=reason):
            return f"{name} skipped on {target}: {reason}", "info"
        case response.PlaybookEscalated(reason=reason):
            return f"{name} escalated {target}: {reason}", "warn"
        case response.StepEnded(ok=ok) as one:
            step = f"{'undo ' if one.rollback else ''}{one.step} {'done' if ok else 'FAILED'}"
            return f"{name}: {step} in {show_seconds(one.seconds)}{_seen(one.seen)}", "good" if ok else "bad"
        case response.PlaybookFinished(ok=ok) as one:
            what = f"{'clean-up' if one.phase == 'resolve' else 'run'} {'succeeded' if ok else 'FAILED'}"
            reason = "" if ok else _seen(one.reason)
            return f"{name} on {target}: {what} in {show_seconds(one.seconds)}{reason}", "good" if ok else "bad"
    return None


def _page(said: response.PageEvent) -> Told:
    match said:
        case response.PageSent(contact=contact, action=action, summary=summary):
            return f"page to {contact} ({action}): {summary}", "warn"
        case response.PageFailed(contact=contact, error=error):
            return f"page to {contact} FAILED: {error}", "bad"
        case response.PageAcknowledged(by=by):
            return f"page acknowledged by {by}", "good"
    return None


_DEEDS = {
    "cordon": "cordoned",
    "uncordon": "uncordoned",
    "taint": "tainted",
    "untaint": "took a taint off",
    "label": "labelled",
    "evict": "evicted",
    "delete": "deleted",
    "scale": "scaled",
    "rollout": "rolled out",
    "job": "ran Job",
    "budget": "changed the disruption budget",
}


def deed_words(said: response.RemediationSeen) -> str:
    """What was done, in words that its object follows."""
    return _DEEDS.get(said.do) or said.kind.partition(".")[0] or said.do


def _run(said: object) -> Told:
    match said:
        case response.RemediationSeen() as one:
            who = one.actor or "somebody"
            where = f" on {one.node}" if one.node and one.node != one.object else ""
            return f"{who}: {deed_words(one)} {one.object}{where}{_seen(one.seen)}", "info" if one.own else "warn"
        case run.PlatformCondition() as one:
            reason = f" ({one.reason})" if one.reason else ""
            return f"{one.object} has {one.condition}={one.status}{reason}", "info"
        case run.PlatformEvent(warning=True) as one:
            return f"{one.object}: {one.reason}{_seen(one.note)}", "info"
        case run.RunStarted() as one:
            return f"run {one.run} of {one.drill}, {variant_words(one.variant)}", "info"
        case run.PhaseStarted(phase=phase):
            return f"phase {phase}", "info"
        case run.PreflightCheck(ok=False) as one:
            return f"preflight {one.name} failed{_seen(one.seen)}", "bad"
        case run.ExperimentHypothesis(met=met, when=when) as one:
            ending = "could not be determined" if met is None else "holds" if met else "does NOT hold"
            told = f" {when} the method" if when in ("before", "during", "after") else ""
            return f"the experiment's own hypothesis {ending}{told}{_seen(one.seen)}", "good" if met else "bad"
        case run.ExperimentRollbacks() as one:
            failed = [each for each in one.failed if isinstance(each, Mapping)]
            if not failed:
                return f"the experiment's rollbacks were played ({one.played})", "good"
            told = "; ".join(f"{each.get('activity')}: {plain(each.get('seen'))}" for each in failed)
            return f"rollbacks FAILED: {told}", "bad"
        case run.RemedyGone() as one:
            return f"{_left(one.setting)} put back{_seen(one.seen)}", "info"
        case run.RemedyNotGone() as one:
            return f"{_left(one.setting)} NOT put back{_seen(one.seen)}", "bad"
        case response.AlertState(state=state) as one:
            subject = label_words(one.labels)
            level = {"firing": "warn", "resolved": "good"}.get(state, "info")
            return f"alert {one.alert}{' ' + subject if subject else ''} {state} ({one.via})", level
        case response.AlertSilenced(alert=alert, by=by):
            return f"alert {alert} silenced by {by}", "warn"
        case response.MonitoringGap() as one:
            lasted, why = show_seconds(one.seconds), one.reason or "it did not answer"
            if one.what.startswith(response.WATCH):
                unseen = f"unseen for {lasted}" if one.seconds else "not watched"
                return f"{one.what.removeprefix(response.WATCH)} of the cluster {unseen}: {why}", "warn"
            if one.waking:
                return f"{one.what} not yet ready after {lasted}: {why}", "info"
            return f"{one.what} blind for {lasted}: {why}", "bad"
        case run.LoadHealth(stalled=True):
            return "the load generator stalled", "bad"
        case run.LoadEnded():
            return "load ended", "info"
        case run.ProcessExited(expected=False) as one:
            return f"{one.name} exited unexpectedly (code {one.exit_code})", "bad"
        case run.GuardrailBreached() as one:
            return f"guardrail {one.guardrail} breached{_seen(one.seen)}", "bad"
        case run.RunStopping() as one:
            return f"stopping ({one.by}): {one.reason}", "bad"
        case run.LedgerOpen(faults=left) if left:
            return f"STILL INJECTED: {plain(left)}", "bad"
        case run.RuleLifted() as one:
            where = f" in {one.environment}" if one.environment else ""
            return f"OVERRIDE: {one.rule} of {one.tier}{where} lifted by {one.who} as {one.role}: {one.why}", "warn"
        case run.RuleRestored() as one:
            return f"override revoked: {one.rule} of {one.tier} holds again, by {one.who}: {one.why}", "info"
        case run.RunNote(text=text):
            return text, "info"
        case run.RunEnded(outcome=outcome, reason=reason):
            return f"run {outcome}{_seen(reason)}", "good" if outcome == "completed" else "bad"
    return None
