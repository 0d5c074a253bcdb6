"""What a run writes of itself: its phases, its faults, its load, the lab it sees, how it ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tierdrill.history.payload import NOTHING, Moment, Payload, Seen


class RunStarted(Payload, kind="run.started"):
    """`variant` is "drill", "blip" or "sabotage:NAME", `setting` the documents, `planned` seconds by phase, `origin`
    the calendar, entry and slot of a scheduled run, `unloaded` that no load was sent. Histories of old versions tell no
    `faults`.
    """

    run: str
    drill: str
    variant: str = "drill"
    setting: Mapping[str, Any]
    mechanisms: Mapping[str, Any] = NOTHING
    faults: Sequence[Mapping[str, Any]] | None = None
    environment: Any = None
    seed: Any = None
    versions: Any = None
    machine: Any = None
    git: Any = None
    argv: Any = None
    author: Any = None
    origin: Mapping[str, Any] = NOTHING
    limits: Mapping[str, Any] = NOTHING
    planned: Mapping[str, Any] = NOTHING
    unloaded: bool = False


class MonitoringAvailability(Payload, kind="monitoring.availability"):
    """Good and all requests of a tier over a window, as the platform itself counted them."""

    tier: str
    good: float
    total: float
    window: str


class PhaseStarted(Payload, kind="phase.started"):
    """A phase begins; `planned_at` is when it was to."""

    phase: str
    planned_at: Moment | None = None


class PhaseEnded(Payload, kind="phase.ended"):
    phase: str


class PreflightCheck(Payload, kind="preflight.check"):
    name: str
    ok: bool
    seen: Seen


class ExperimentHypothesis(Payload, kind="experiment.hypothesis"):
    """`when` is before, during or after the method; `met` is None where it could not be told, `probe` the first that
    did not hold.
    """

    when: str
    met: bool | None
    probe: str
    seen: Seen


class ExperimentRollbacks(Payload, kind="experiment.rollbacks"):
    """How many were played, and those that failed: {activity, seen, own: tierdrill's own undo}."""

    played: int
    failed: Sequence[Any]


class FaultEvent(Payload):
    """What every event of a fault says: its name, which is RUN/sabotage/NAME for a sabotage whose undo is due."""

    fault: str

    @property
    def sabotage(self) -> str | None:
        """The sabotage that it is about."""
        parts = self.fault.split("/")
        return parts[2] if len(parts) == 3 and parts[1] == "sabotage" else None


class FaultIntended(FaultEvent, kind="fault.intended"):
    """The intent, which is on the ledger by now. `gone_within_s`: how long its undo may take."""

    kind: str
    target: str
    target_kind: str
    parameters: Mapping[str, Any]
    mechanism: str
    undo: str
    lease_s: float | None
    planned_at: Moment | None = None
    emulated: bool
    gone_within_s: float | None = None


class FaultInjected(FaultEvent, kind="fault.injected"):
    """The mechanism returned: an invocation, no proof."""


class FaultLanded(FaultEvent, kind="fault.landed"):
    effective_at: Moment | None
    witness: str
    seen: Seen


class FaultNotLanded(FaultEvent, kind="fault.not_landed"):
    witness: str
    seen: Seen


class FaultFailed(FaultEvent, kind="fault.failed"):
    error: Seen


class FaultReverting(FaultEvent, kind="fault.reverting"):
    by: str


class FaultGone(FaultEvent, kind="fault.gone"):
    gone_at: Moment | None
    witness: str
    seen: Seen


class FaultNotGone(FaultEvent, kind="fault.not_gone"):
    """It was undone, and no witness saw it gone."""

    witness: str
    seen: Seen


class RemedyEvent(Payload):
    """What every event of what a remedy left changed says: its name, RUN/remedy/SETTING."""

    remedy: str

    @property
    def setting(self) -> str:
        """What it left changed."""
        return self.remedy.partition("/remedy/")[2]


class RemedyReverting(RemedyEvent, kind="remedy.reverting"):
    by: str


class RemedyGone(RemedyEvent, kind="remedy.gone"):
    gone_at: Moment | None
    witness: str
    seen: Seen


class RemedyNotGone(RemedyEvent, kind="remedy.not_gone"):
    witness: str
    seen: Seen


class LoadStarted(Payload, kind="load.started"):
    """`planned` are the arrivals of each stream."""

    schedule_zero: Moment | None
    planned: Mapping[str, Any]


class LoadSamples(Payload, kind="load.samples"):
    """A batch of samples; see tierdrill.judge.samples."""

    columns: Mapping[str, Sequence[Any]]


class LoadHealth(Payload, kind="load.health"):
    """The generator about itself, for the `interval_s` before."""

    interval_s: float = 1.0
    lag_p99_s: float | None = None
    loop_lag_s: float | None = None
    cpu: float | None = None
    cpu_s: float | None = None
    machine_idle: float | None = None
    machine_stolen: float | None = None
    stalled: bool | None = None
    due: int | None = None
    sent: int | None = None
    dropped: int | None = None
    in_flight: int | None = None
    pid: int | None = None


class LoadSurge(Payload, kind="load.surge"):
    """A stream sends more than planned from now on, and at the end `arrivals` (by stream, beyond those planned)."""

    stream: str
    factor: float
    arrivals: Mapping[str, Any] | None = None


class LoadEnded(Payload, kind="load.ended"):
    """`malformed` lines of its output could not be read."""

    exit_code: int | None
    malformed: int


class PlatformState(Payload, kind="platform.state"):
    """What the control plane reports, at each change."""

    nodes: Sequence[Mapping[str, Any]]
    replicas: Sequence[Mapping[str, Any]]


class LabState(PlatformState, kind="lab.state"):
    """As earlier versions wrote it."""


class PlatformEvent(Payload, kind="platform.event"):
    """What the platform says of one of its objects, by the name that drills use; `count` times so far."""

    object: str
    reason: str
    by: str = ""
    note: str = ""
    count: int = 1
    warning: bool = False


class PlatformCondition(Payload, kind="platform.condition"):
    """A condition of a node has changed, as Ready to Unknown."""

    object: str
    condition: str
    status: str
    by: str = ""
    reason: str = ""
    changed_at: float | None = None


class ProcessExited(Payload, kind="process.exited"):
    name: str
    exit_code: int | None
    expected: bool


class GuardrailBreached(Payload, kind="guardrail.breached"):
    guardrail: Seen
    seen: Seen


class RunStopping(Payload, kind="run.stopping"):
    """`by` is guardrail, signal, halt, stop, reaper, recover or error."""

    by: str
    reason: str


class LedgerOpen(Payload, kind="ledger.open"):
    """What is still there at the end."""

    faults: Sequence[Any] | None
    processes: Sequence[Any] = ()


class ClockStepped(Payload, kind="clock.stepped"):
    """The wall clock was set by so much since the event before."""

    seconds: float


class RuleLifted(Payload, kind="rule.lifted"):
    """An override lifts a rule of a tier until then, as which role, by whom and why. Moments are Unix seconds."""

    tiers: str
    tier: str
    rule: str
    role: str
    who: str
    why: str
    granted_at: float
    until: float
    environment: str = ""


class RuleRestored(Payload, kind="rule.restored"):
    """The rule holds again, before its override ran out."""

    tiers: str
    tier: str
    rule: str
    who: str
    why: str
    environment: str = ""


class RunNote(Payload, kind="run.note"):
    text: str


class RunEnded(Payload, kind="run.ended"):
    """`outcome` is completed, aborted or unclean."""

    outcome: str
    reason: str
