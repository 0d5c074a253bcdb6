"""The events a run writes: one envelope, and the vocabulary of kinds with the fields each carries.

History is the only truth about a run. Times are Unix seconds (float, the machine's wall clock, taken once per event).
`source` is the part that saw or did it. `data` is plain JSON. Kinds and their data:

    run.started        run, drill, variant ("drill", "blip" or "sabotage:NAME"), setting (documents), mechanisms,
                       faults (planned), environment, seed, versions, git, argv, limits,
                       origin (calendar, entry, slot of a scheduled run)
    phase.started      phase, planned_at            phase.ended  phase
    preflight.check    name, ok, seen
    experiment.hypothesis  when ("before", "during" or "after" the method), met (true, false, or null: it could not be
                       told), probe (the first that did not hold), seen
    experiment.rollbacks   played (how many), failed ([{activity, seen, own: tierdrill's own undo}])
    fault.intended     fault (id), kind, target, target_kind, parameters, mechanism, undo, lease_s, planned_at,
                       emulated, gone_within_s (how long its undo may take)
    fault.injected     fault                        (the mechanism returned: an invocation, no proof)
    fault.landed       fault, effective_at, witness, seen
    fault.not_landed   fault, witness, seen         fault.failed  fault, error
    fault.reverting    fault, by
    fault.gone         fault, gone_at, witness, seen
    fault.not_gone     fault, witness, seen
    remedy.reverting   remedy (id of what a remedy left changed, RUN/remedy/SETTING), by
    remedy.gone        remedy, gone_at, witness, seen
    remedy.not_gone    remedy, witness, seen
    alert.state        alert, state ("pending", "inactive", "firing", "resolved"), labels, severity, starts_at,
                       via ("prometheus", "alertmanager", "webhook")
    alert.silenced     alert, by                    (source runner: by a sabotage; monitoring: by somebody else)
    playbook.started   playbook, execution, target, alert, attempt, phase ("act" or "resolve")
    playbook.skipped   playbook, target, reason
    playbook.step_started  playbook, execution, step, action (before the remedy, so that a crash in it is seen)
    playbook.step      playbook, execution, step, action, ok, seen, seconds, phase, rollback
    playbook.finished  playbook, execution, target, ok, reason, seconds, phase
    playbook.escalated playbook, execution, target, reason
    page.sent          contact, level, tier, dedup_key, action, summary
    page.failed        contact, level, tier, dedup_key, action, error
    page.acknowledged  dedup_key, by
    load.started       schedule_zero, planned (arrivals per stream)
    load.samples       columns {tier, due, latency, ttft, status, outcome, ...}: see tierdrill.judge.samples
    load.health        lag_p99_s, dropped, cpu, machine_idle, loop_lag_s, stalled
    load.surge         stream, factor, arrivals     (per stream as sent, beyond those planned; null at the begin, when
                       factor is above 1)
    load.ended         exit_code, malformed
    lab.state          nodes, replicas: what the control plane reports, at each change
    process.exited     name, exit_code, expected
    monitoring.gap     what, seconds, waking        (Prometheus or Alertmanager did not answer; waking: not yet)
    guardrail.breached guardrail, seen
    run.stopping       reason, by ("guardrail", "signal", "halt", "stop", "reaper", "error")
    ledger.open        faults, processes            (what is still there at the end)
    clock.stepped      seconds                      (the wall clock was set by so much since the event before)
    run.note           text
    run.ended          outcome ("completed", "aborted", "unclean"), reason

An exercise (a drill with a trainee) writes these beside fault.*, alert.*, playbook.*, page.*, load.* and lab.state.
All are sealed until it has ended (see tierdrill.history.sealed):

    exercise.started   exercise, scenario (the document), settings (the other documents), trainee or null, automation,
                       seed; its time is the begin, from which the scenario's times count
    exercise.incident  incident, fault (id), kind, target, tier: once for each injection
    exercise.note      text
    exercise.ended     reason ("resolved", "given-up", "time", "facilitator", "interrupted", "stopped", "error",
                       "died"), why; what comes after it is the clean-up
    page.escalated     dedup_key, by ("nobody acknowledged it" or the trainee), level, contact, tier
    page.resolved      dedup_key, by ("alert" or the trainee), level, tier
    trainee.action     action (a remedy, run-playbook, cap or roll-back), target, parameters, ok, seen, override ({role,
                       reason, rule} or null), tier, number, refused, rule, seconds
    trainee.hypothesis cause, about                 trainee.update  text
    trainee.looked     what, subject                trainee.done  accepted, seen
    facilitator.joined                              facilitator.inject  the inject
    facilitator.hint   hint, cost, asked (by the trainee)
    facilitator.pause, facilitator.resume           facilitator.message  sender, text
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tierdrill.history.fields import envelope_problem
from tierdrill.history.hash_chain import with_digest
from tierdrill.text import read_json, valid_all

SCHEMA_VERSION = 3
ALLOWED = "allowed is one JSON event per line"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `sequence` is its place in the run's history, from 1; 0 before it is stored.

    `digest` links it to those before (see tierdrill.history.hash_chain); "" before it is stored.
    """

    at: float
    kind: str
    source: str
    data: dict[str, Any] = field(default_factory=dict)
    sequence: int = 0
    digest: str = field(default="", compare=False)

    def to_line(self) -> str:
        """One JSON line, keys sorted so that equal histories are equal bytes; the digest, if any, comes last."""
        line = line_of(self, data_text(self.data), self.sequence)
        return with_digest(line, self.digest) if self.digest else line

    @staticmethod
    def from_line(line: str) -> Event:
        """Back from `to_line`; ValueError on anything else, with the field that is wrong."""
        try:
            record = read_json(line, parse_constant=_finite, parse_float=_finite)
        except (ValueError, OverflowError) as error:
            raise ValueError(f"not a history event: {line[:80]!r} ({error}); {ALLOWED}") from error
        if not isinstance(record, dict):
            raise ValueError(f"not a history event: {line[:80]!r} (a JSON {type(record).__name__}); {ALLOWED}")
        if problem := envelope_problem(record):
            raise ValueError(problem)
        return Event(
            at=float(record["at"]),
            kind=record["kind"],
            source=record["source"],
            data=texts_shared(record["data"]),
            sequence=record["sequence"],
            digest=str(record.get("digest", "")),
        )


def texts_shared(data: dict[str, Any]) -> dict[str, Any]:
    """The data, equal texts (or fractions) of a column as one object: a million samples have few, in much less room."""
    columns = data.get("columns")
    if isinstance(columns, dict):
        for name, column in columns.items():
            for kind in (str, float):
                if isinstance(column, list) and any(isinstance(one, kind) for one in column[:100]):
                    # By what is written: 0.0 and -0.0 are equal, and so are 1 and true.
                    known: dict[Any, Any] = {}
                    columns[name] = [
                        known.setdefault(one, one) if one and isinstance(one, kind) else one for one in column
                    ]
    return data


def data_text(data: Mapping[str, Any]) -> str:
    """An event's data as JSON, always the same for the same; what is no valid text in it is made so."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    if "\\ud" in text:
        text = json.dumps(valid_all(data), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text


def line_of(event: Event, data: str, sequence: int) -> str:
    """An event's line, made of its data as JSON, without a digest."""
    at, kind, source = json.dumps(float(event.at), allow_nan=False), json.dumps(event.kind), json.dumps(event.source)
    return f'{{"at":{at},"data":{data},"kind":{kind},"sequence":{sequence},"source":{source}}}'


def _finite(written: Any) -> float:
    number = float(written)
    if not math.isfinite(number):
        raise ValueError(f"found {written}; numbers are finite")
    return number


def event(kind: str, source: str, /, at: float | None = None, **data: Any) -> Event:
    """An event of now, or of `at` (Unix seconds)."""
    return Event(at=time.time() if at is None else at, kind=kind, source=source, data=data)
