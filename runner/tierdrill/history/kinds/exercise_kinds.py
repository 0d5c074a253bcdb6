"""What an exercise writes beside the kinds of a run, sealed until it has ended: what the trainee does and is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tierdrill.history.payload import Payload, Seen


class ExerciseStarted(Payload, kind="exercise.started"):
    """`scenario` and `settings` are documents. Its time is the begin, from which the scenario's times count."""

    exercise: str
    scenario: Mapping[str, Any] | None
    settings: Mapping[str, Any]
    trainee: str | None
    responder: str | None = None
    automation: str = "off"
    seed: Any = None


class ExerciseIncident(Payload, kind="exercise.incident"):
    """One injection of an incident."""

    incident: str
    fault: str
    kind: str
    target: str
    tier: str


class ExerciseNote(Payload, kind="exercise.note"):
    text: str


class ExerciseEnded(Payload, kind="exercise.ended"):
    """`reason` is resolved, given-up, time, facilitator, interrupted, stopped, error or died. What comes after is the
    clean-up.
    """

    reason: str
    why: str = ""


class TraineeEvent(Payload):
    """Something that the trainee does."""


class TraineeAction(TraineeEvent, kind="trainee.action"):
    """`action` is a remedy, run-playbook, cap or roll-back; `override` is {role, reason, rule}."""

    action: str
    target: str
    parameters: Mapping[str, Any]
    ok: bool
    seen: Seen
    override: Mapping[str, Any] | None = None
    tier: str | None = None
    number: int | None = None
    refused: bool | None = None
    rule: str = ""
    seconds: float | None = None


class TraineeHypothesis(TraineeEvent, kind="trainee.hypothesis"):
    cause: str
    about: str = ""
    incident: str = ""


class TraineeUpdate(TraineeEvent, kind="trainee.update"):
    text: str


class TraineeLooked(TraineeEvent, kind="trainee.looked"):
    what: str
    subject: str = ""


class TraineeDone(TraineeEvent, kind="trainee.done"):
    """The trainee says that it is over; `seen` is why it is not."""

    accepted: bool
    seen: Seen


class FacilitatorJoined(Payload, kind="facilitator.joined"):
    """In an exercise without, in a game day with the process and the login."""

    pid: int | None = None
    login: str = ""


class FacilitatorInject(Payload, kind="facilitator.inject"):
    """An inject as the scenario's document has it."""

    name: str
    kind: str
    why: str = ""
    sender: str | None = None
    fault: str | None = None
    parameters: Mapping[str, Any] | None = None
    text: str | None = None
    tier: str | None = None
    node: str | None = None
    gpu: int | None = None
    xid: int | None = None


class FacilitatorHint(Payload, kind="facilitator.hint"):
    """`asked`: by the trainee."""

    hint: str
    cost: float | None
    asked: bool


class FacilitatorPause(Payload, kind="facilitator.pause"):
    """The exercise stands still."""


class FacilitatorResume(Payload, kind="facilitator.resume"):
    """It goes on."""


class FacilitatorMessage(Payload, kind="facilitator.message"):
    sender: str
    text: str
