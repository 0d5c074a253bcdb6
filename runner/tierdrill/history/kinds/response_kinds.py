"""What answers a fault: alerts, playbooks, and pages to people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tierdrill.history.payload import NOTHING, Moment, Payload, Seen


class AlertState(Payload, kind="alert.state"):
    """`state` is pending, inactive, firing or resolved; `via` prometheus, alertmanager or webhook."""

    alert: str
    state: str
    labels: Mapping[str, Any]
    severity: str
    starts_at: Moment | None
    via: str


class AlertSilenced(Payload, kind="alert.silenced"):
    """Source runner: by a sabotage; monitoring: by somebody else."""

    alert: str
    by: str
    comment: str = ""
    silence: str = ""


WATCHDOG_MISSING = "WatchdogMissing"
"""The alert of the receiver's own: what always fires is not heard any more."""

WATCH = "watch:"
"""Before what of a cluster's API was not seen, in a gap's `what`."""


class MonitoringGap(Payload, kind="monitoring.gap"):
    """Prometheus or Alertmanager did not answer, or a watch of a cluster's API told nothing. `waking`: it has not
    answered yet.
    """

    what: str
    seconds: float
    began_at: Moment | None
    reason: str
    waking: bool


class PlaybookEvent(Payload):
    """What every event of a playbook says; `retargeted` by a sabotage. `phase` is act or resolve."""

    playbook: str
    execution: str = ""
    target: str = ""
    retargeted: bool = False


class PlaybookStarted(PlaybookEvent, kind="playbook.started"):
    """`notice` (alert, labels, fingerprint, starts_at) is what a new engine needs to go on; `tool` has the steps."""

    alert: str
    attempt: int = 1
    phase: str = "act"
    reason: str = ""
    notice: Mapping[str, Any] | None = None
    group: Sequence[str] = ()
    nodes: Sequence[str] = ()
    gives_back: bool = False
    tool: str = ""


class PlaybookSkipped(PlaybookEvent, kind="playbook.skipped"):
    """`count` skips of one kind, on `targets` where they are several."""

    code: str
    reason: str
    count: int = 1
    targets: Sequence[str] = ()
    alert: str = ""


class StepEvent(PlaybookEvent):
    """What every event of a step says."""

    attempt: int = 1
    phase: str = "act"
    step: str
    action: str
    rollback: bool = False


class StepStarted(StepEvent, kind="playbook.step_started"):
    """Told before the remedy is called, so that a crash in it is seen."""

    arguments: Mapping[str, Any]


class StepEnded(StepEvent, kind="playbook.step"):
    """`happened` is true also where nobody knows."""

    ok: bool
    seen: Seen
    happened: bool = True
    seconds: float


class PlaybookFinished(PlaybookEvent, kind="playbook.finished"):
    """`touched`: a remedy of it may have happened."""

    ok: bool
    reason: str
    seconds: float
    phase: str = "act"
    touched: bool = True


class PlaybookEscalated(PlaybookEvent, kind="playbook.escalated"):
    reason: str
    tier: str


class RemediationSeen(Payload, kind="remediation.seen"):
    """Somebody changed the platform, and it was not tierdrill. `do` is cordon, uncordon, taint, untaint, label, evict,
    delete, scale, rollout, budget, job or custom-resource.

    `object` and `node` (on which it is, or was) are the names that drills use; `kind` and `name` (namespace/name) are
    the platform's. `actor` is "" where the platform does not tell who; `own`: it was the platform itself. `key` is that
    of a taint or label, `state` what a custom resource or Job says of itself. `changed_at` is in Unix seconds by the
    platform's clock.
    """

    do: str
    object: str
    node: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    key: str = ""
    actor: str = ""
    own: bool = False
    state: Mapping[str, Any] = NOTHING
    seen: Seen = ""
    changed_at: float | None = None
    resource_version: str = ""
    relisted: bool = False


class PageEvent(Payload):
    """What every event of a page says: its key in the pager."""

    dedup_key: str
    tier: str = ""


class PageSent(PageEvent, kind="page.sent"):
    """`action` is trigger or resolve."""

    contact: str
    level: int = 1
    action: str = "trigger"
    summary: str
    incident: str | None = None


class PageFailed(PageEvent, kind="page.failed"):
    contact: str
    level: int = 1
    action: str = "trigger"
    error: Seen


class PageAcknowledged(PageEvent, kind="page.acknowledged"):
    by: str
    level: int | None = None


class PageEscalated(PageEvent, kind="page.escalated"):
    """`by` is NOBODY or who called the next level."""

    by: str
    level: int | None = None
    contact: str = ""


class PageResolved(PageEvent, kind="page.resolved"):
    """`by` is ALERT or the trainee."""

    by: str
    level: int | None = None


NOBODY = "nobody acknowledged it"
ALERT = "alert"
