"""One line of plain words per noteworthy event; None for events that tell a reader nothing (samples, health ticks)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tierdrill.history.events import Event
from tierdrill.report.format import fault_words, show_seconds, variant_words
from tierdrill.report.run_model import FaultView, Line

Data = Mapping[str, Any]
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


def describe(event: Event, faults: Mapping[str, FaultView] | None = None) -> Line | None:
    """The event as a line of the story; `faults`, where known, give its fault a name that people can read."""
    teller = _TELLERS.get(event.kind)
    data: Data = event.data
    known = (faults or {}).get(str(data.get("fault", ""))) if event.kind.startswith("fault.") else None
    if known is not None and known.kind:
        data = {**data, "fault": f"{fault_words(known.kind)} on {known.target}"}
    if event.kind in ("fault.reverting", "fault.gone") and (net := cut_net(str(data.get("fault", "")))) is not None:
        return Line(event.at, f"sabotage {net} is given back", "info") if event.kind == "fault.gone" else None
    told = teller(data) if teller else None
    return None if told is None else Line(event.at, told[0], told[1])


def cut_net(fault: str) -> str | None:
    """The sabotage whose undo stands in the ledger under this name, like a fault's (`RUN/sabotage/NAME`)."""
    parts = fault.split("/")
    return parts[2] if len(parts) == 3 and parts[1] == "sabotage" else None


def setting_words(data: Data) -> str:
    """What a remedy left changed, from its name on the ledger (`RUN/remedy/SETTING`)."""
    return str(data.get("remedy", "")).partition("/remedy/")[2]


def label_words(labels: Mapping[str, Any]) -> str:
    """The labels that tell one instance of an alert from another: "node-2", "node-1/0" for a GPU, "critical"."""
    if "node" in labels and "gpu" in labels:
        labels = {**labels, "gpu": f"{labels['node']}/{labels['gpu']}", "node": ""}
    return " ".join(str(value) for key, value in sorted(labels.items()) if value and key not in _NOISE_LABELS)


def number(value: Any) -> float | None:
    """A number as it stands in an event; a history from elsewhere may hold what is none."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def plain(value: Any) -> str:
    """What a witness saw, as one line: text as it is, a mapping as key value pairs."""
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {plain(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _seen(data: Data, joint: str = ": ") -> str:
    seen = plain(data.get("seen") or data.get("error"))
    return f"{joint}{seen}" if seen else ""


def _witness(data: Data) -> str:
    return f" (seen by {data['witness']})" if data.get("witness") else ""


Told = tuple[str, str] | None


def _started(data: Data) -> Told:
    return (
        f"run {data.get('run', '')} of {data.get('drill', '')}, {variant_words(data.get('variant', 'drill'))}",
        "info",
    )


def _preflight(data: Data) -> Told:
    return None if data.get("ok") else (f"preflight {data.get('name')} failed{_seen(data)}", "bad")


def _alert(data: Data) -> Told:
    state, subject = data.get("state"), label_words(data.get("labels") or {})
    level = {"firing": "warn", "resolved": "good"}.get(str(state), "info")
    return f"alert {data.get('alert')}{' ' + subject if subject else ''} {state} ({data.get('via')})", level


def _step(data: Data) -> Told:
    took = show_seconds(data.get("seconds"))
    ending = "done" if data.get("ok") else "FAILED"
    step = f"{'undo ' if data.get('rollback') else ''}{data.get('step')}"
    return f"playbook {data.get('playbook')}: {step} {ending} in {took}{_seen(data)}", (
        "good" if data.get("ok") else "bad"
    )


def _finished(data: Data) -> Told:
    what = "clean-up" if data.get("phase") == "resolve" else "run"
    ok = bool(data.get("ok"))
    reason = f": {data['reason']}" if data.get("reason") and not ok else ""
    ending = "succeeded" if ok else "FAILED"
    return (
        f"playbook {data.get('playbook')} on {data.get('target')}: {what} {ending} in "
        f"{show_seconds(data.get('seconds'))}{reason}",
        "good" if ok else "bad",
    )


def _health(data: Data) -> Told:
    if not data.get("stalled"):
        return None
    return "the load generator stalled", "bad"


def _gap(data: Data) -> Told:
    lasted = show_seconds(data.get("seconds"))
    why = data.get("reason") or "it did not answer"
    if data.get("waking"):
        return f"{data.get('what')} not yet ready after {lasted}: {why}", "info"
    return f"{data.get('what')} blind for {lasted}: {why}", "bad"


def _exited(data: Data) -> Told:
    if data.get("expected"):
        return None
    return f"{data.get('name')} exited unexpectedly (code {data.get('exit_code')})", "bad"


def _ended(data: Data) -> Told:
    outcome = str(data.get("outcome"))
    reason = f": {data['reason']}" if data.get("reason") else ""
    return f"run {outcome}{reason}", "good" if outcome == "completed" else "bad"


def _open(data: Data) -> Told:
    faults = plain(data.get("faults") or "")
    return (f"STILL INJECTED: {faults}", "bad") if faults else None


def _hypothesis(data: Data) -> Told:
    met = data.get("met")
    ending = "holds" if met is True else "does NOT hold" if met is False else "could not be told"
    when = data.get("when")
    told = f" {when} the method" if when in ("before", "during", "after") else ""
    return f"the experiment's own hypothesis {ending}{told}{_seen(data)}", "good" if met is True else "bad"


def _rollbacks(data: Data) -> Told:
    failed = [one for one in data.get("failed") or () if isinstance(one, Mapping)]
    if not failed:
        return f"the experiment's rollbacks were played ({data.get('played')})", "good"
    told = "; ".join(f"{one.get('activity')}: {plain(one.get('seen'))}" for one in failed)
    return f"rollbacks FAILED: {told}", "bad"


def _fault(text: str, level: str = "warn") -> Callable[[Data], Told]:
    return lambda data: (f"fault {data.get('fault')} {text}{_witness(data)}{_seen(data)}", level)


_TELLERS: dict[str, Callable[[Data], Told]] = {
    "run.started": _started,
    "phase.started": lambda data: (f"phase {data.get('phase')}", "info"),
    "preflight.check": _preflight,
    "experiment.hypothesis": _hypothesis,
    "experiment.rollbacks": _rollbacks,
    "fault.intended": lambda data: (
        f"fault {fault_words(str(data.get('kind')))} on {data.get('target')} intended, undo is on the ledger "
        f"({data.get('mechanism')})",
        "info",
    ),
    "fault.landed": _fault("landed"),
    "fault.not_landed": _fault("was NOT seen to land", "bad"),
    "fault.failed": _fault("could not be injected", "bad"),
    "remedy.gone": lambda data: (f"{setting_words(data)} is put back{_seen(data)}", "info"),
    "remedy.not_gone": lambda data: (f"{setting_words(data)} is NOT put back{_seen(data)}", "bad"),
    "fault.reverting": lambda data: (f"fault {data.get('fault')} is being undone by {data.get('by')}", "info"),
    "fault.gone": _fault("gone", "good"),
    "fault.not_gone": _fault("is NOT gone", "bad"),
    "alert.state": _alert,
    "alert.silenced": lambda data: (f"alert {data.get('alert')} silenced by {data.get('by')}", "warn"),
    "playbook.started": lambda data: (
        f"playbook {data.get('playbook')} started{' giving back' if data.get('phase') == 'resolve' else ''} "
        f"on {data.get('target')} for {data.get('alert')}",
        "info",
    ),
    "playbook.skipped": lambda data: (
        f"playbook {data.get('playbook')} skipped on {data.get('target')}: {data.get('reason')}",
        "info",
    ),
    "playbook.step": _step,
    "playbook.finished": _finished,
    "playbook.escalated": lambda data: (
        f"playbook {data.get('playbook')} escalated {data.get('target')}: {data.get('reason')}",
        "warn",
    ),
    "page.sent": lambda data: (f"page to {data.get('contact')} ({data.get('action')}): {data.get('summary')}", "warn"),
    "page.failed": lambda data: (f"page to {data.get('contact')} FAILED: {plain(data.get('error'))}", "bad"),
    "page.acknowledged": lambda data: (f"page acknowledged by {data.get('by')}", "good"),
    "load.health": _health,
    "load.ended": lambda data: ("load ended", "info"),
    "process.exited": _exited,
    "monitoring.gap": _gap,
    "guardrail.breached": lambda data: (f"guardrail {plain(data.get('guardrail'))} breached{_seen(data)}", "bad"),
    "run.stopping": lambda data: (f"stopping ({data.get('by')}): {data.get('reason')}", "bad"),
    "ledger.open": _open,
    "run.note": lambda data: (str(data.get("text", "")), "info"),
    "run.ended": _ended,
}
