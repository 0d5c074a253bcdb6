"""Faults of anybody's extension: an intent before the action, a witness beside it, another after the rollbacks.

tierdrill cannot know what such an action does. So every action of a method counts as a fault, and is believed to have
landed, and to be gone, only on the word of the probes that the drill names for it.
"""

import copy
import threading
import time
from typing import Any

from tierdrill.chaos import ACTIONS_MODULE
from tierdrill.chaos.context import Context
from tierdrill.conductor.stock_witness import Asked, Witness, holds
from tierdrill.history.kinds.run_kinds import FaultFailed, FaultInjected, FaultReverting
from tierdrill.injection.injector import FaultLife, Injector
from tierdrill.redaction import Hiding
from tierdrill.targets.base import FaultOrder, Mechanism, Proof

KIND = "foreign"
MECHANISM = "the experiment's own"
NO_PROOF = "the drill names no proof for it"
# A probe that holds without the fault proves nothing; it is asked before the planned instant, for no longer than this.
BEFORE_WITHIN_S = 0.5


class SameName(Exception):
    """Another action has the name of one whose fault is open: it would be injected without an intent of its own."""


def probes_of(experiment: dict[str, Any]) -> dict[str, Any]:
    """Every probe with a tolerance, by name: of hypothesis, method and rollbacks, and under the tierdrill extension."""
    extensions = [one for one in experiment.get("extensions") or [] if one.get("name") == "tierdrill"]
    places = [
        (experiment.get("steady-state-hypothesis") or {}).get("probes", []),
        experiment.get("method") or [],
        experiment.get("rollbacks") or [],
        *(one.get("probes", []) for one in extensions),
    ]
    return {
        activity["name"]: activity
        for place in places
        for activity in place
        if activity.get("type") == "probe" and "tolerance" in activity and "name" in activity
    }


class Proofs:
    """What the drill names as proof of each activity, and what the probes need to be asked."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._named = {proof["activity"]: proof for proof in spec["proofs"]}
        self._probes = probes_of(spec["experiment"])
        self.configuration: dict[str, Any] = {}
        self.secrets: dict[str, Any] = {}
        self.hide = Hiding(spec)

    def learn(self, configuration: dict[str, Any], secrets: dict[str, Any]) -> None:
        """What the experiment's variables stand for in this run."""
        self.configuration, self.secrets = configuration, secrets
        self.hide.learn(configuration, secrets)

    def within(self, activity: str) -> float:
        return float(self._named.get(activity, {}).get("within", 0.0))

    def asked(self, activity: str, aspect: str) -> Asked | str:
        """The probe for "landed" or "gone" of an activity, or why there is none."""
        proof = self._named.get(activity)
        if proof is None:
            return NO_PROOF
        probe = self._probes.get(proof[aspect])
        if probe is None:
            return f"the experiment has no probe named {proof[aspect]!r} with a tolerance"
        return Asked(probe, self.configuration, self.secrets, self.hide)

    def gone(self, activity: str) -> Proof:
        """Whether the fault is gone; of nobody, where there is nobody to ask."""
        asked = self.asked(activity, "gone")
        if isinstance(asked, str):
            return Proof(False, time.time(), "", asked)
        return Witness(asked).start().await_end(self.within(activity))


def went_wrong(activity: Any, run: Any, proofs: Proofs) -> bool:
    """Whether an activity of the rollbacks failed: also a program that ends with an error, which Chaos Toolkit only
    warns of; a probe with a tolerance failed where it is not within it.
    """
    if run.get("status") != "succeeded":
        return True
    output = run.get("output")
    if activity.get("type") == "probe":
        try:
            return "tolerance" in activity and not holds(activity, output, proofs.configuration, proofs.secrets)
        except Exception:
            return True
    code = output.get("status") if isinstance(output, dict) else None
    kind = activity.get("provider", {}).get("type")
    return (kind == "process" and code != 0) or (kind == "http" and isinstance(code, int) and code >= 400)


class ForeignFaults:
    """The faults of one experiment's own actions. Called from any thread: background actions have theirs."""

    def __init__(self, context: Context, proofs: Proofs, place: dict[str, Any]) -> None:
        self.context, self.proofs, self.place = context, proofs, place
        self._open: dict[str, FaultLife] = {}
        self._actions: dict[str, dict[str, Any]] = {}
        self._witnesses: dict[str, Witness] = {}
        self._void: dict[str, str] = {}
        self._lock = threading.Lock()

    def __contains__(self, activity: str) -> bool:
        return activity in self._open

    @staticmethod
    def is_one(activity: dict[str, Any]) -> bool:
        """Whether an activity of the method is an action that is not tierdrill's own."""
        return activity.get("type") == "action" and activity.get("provider", {}).get("module") != ACTIONS_MODULE

    def begin(self, activity: dict[str, Any]) -> None:
        """Write the intent, then wait for the planned instant.

        Whatever it raises (SameName, LedgerError) means that the action must not run.
        """
        name = str(activity["name"])
        with self._lock:
            if name in self._open:
                if self._actions[name] != activity:
                    raise SameName("the method has another action of that name, whose fault is open")
                # Played once more, by a `ref` or written out: the same fault, with the same undo.
                return
            planned = None if self._open else self.context.inject_at
            life = self._life(name)
            life.intend(planned, "rollbacks")
            self._open[name] = life
            self._actions[name] = copy.deepcopy(activity)
        asked = self.proofs.asked(name, "landed")
        if isinstance(asked, str):
            self._void[name] = asked
        elif (before := Witness(asked).once(BEFORE_WITHIN_S)).seen:
            self._void[name] = f"{before.detail}, as it did before the action: it proves nothing"
        life.confirm(planned)
        if name not in self._void and not isinstance(asked, str):
            witness = Witness(asked, life.proven)
            self._witnesses[name] = witness.start()

    def _life(self, name: str) -> FaultLife:
        context = self.context
        order = FaultOrder(
            fault=f"{context.run}/{KIND}/{name}",
            kind=KIND,
            target=name,
            target_kind="service",
            mechanism=Mechanism(MECHANISM, landed_within_s=self.proofs.within(name)),
            parameters={},
            lease_s=context.lease_s,
        )
        return FaultLife(Injector(context.home, context.run, self.place, "experiment", context.emit), order, {})

    def acted(self, name: str, status: str) -> None:
        """The action returned, failed or was interrupted; a proof has its time from now."""
        life, witness = self._open[name], self._witnesses.get(name)
        if status != "succeeded":
            life.tell(FaultFailed, error=status)
            if witness is not None:
                witness.stop()
            return
        life.tell(FaultInjected)
        if witness is not None:
            witness.give(self.proofs.within(name))
        else:
            life.proven(Proof(False, time.time(), "", self._void.get(name, NO_PROOF)))

    def settle(self) -> None:
        """The method has ended: a proof that still has time is waited for."""
        for witness in self._witnesses.values():
            witness.settle()

    def close(self) -> None:
        """The faults are about to be undone: what has not been seen to land by now did not."""
        for witness in self._witnesses.values():
            witness.stop()

    def undone(self) -> dict[str, Proof]:
        """The rollbacks were played: ask whether the faults are gone, and return what was said, by activity."""
        said = {}
        for name, life in self._open.items():
            life.tell(FaultReverting, by="experiment")
            said[name] = self.proofs.gone(name)
            life.reverted(said[name])
        return said
