"""The labs of a home: which there are and how they are, and ending what is left of one."""

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tierdrill.lab.lab_files import (
    LabState,
    NoSuchLab,
    all_labs,
    attach,
    down_lab,
    find_lab,
    lost_parts,
    running_labs,
    supervisor_lives,
    unreadable_labs,
)
from tierdrill.targets.base import Endpoint, Endpoints, TargetError
from tierdrill.tier_policy.override_grants import RuleOverride, lifted_in

MENDED_WITHIN_S = 15.0
POLL_S = 0.1


def lab_place(lab: LabState, home: Path) -> dict[str, Any]:
    """How the ledger refers to an embedded lab; the id tells it from a later one of the same name."""
    return {"target": "lab", "home": str(home), "lab": lab.name, "id": lab.id}


def endpoints_of(lab: LabState) -> Endpoints:
    """Where a lab is asked."""
    return Endpoints(
        tuple(f"http://{address}" for _, address in sorted(lab.gateways.items())),
        Endpoint(f"http://{lab.prometheus}", lab.login),
        Endpoint(f"http://{lab.alertmanager}", lab.login),
    )


@dataclass(frozen=True)
class LabStanding:
    """How a lab is: `up`, `broken` (a process ended and is not yet started again), `dead` or `unreadable`.

    `environment` is the one that it was brought up from; empty where its files do not tell.
    """

    name: str
    state: str
    lost: tuple[str, ...] = ()
    environment: str = ""


@dataclass(frozen=True)
class Labs:
    """The labs of a home."""

    home: Path

    def standing(self) -> list[LabStanding]:
        """Every lab that there is, or may be, and how it is."""
        unreadable = [LabStanding(name, "unreadable") for name in unreadable_labs(self.home)]
        return [*map(_standing, all_labs(self.home)), *unreadable]

    def running_place(self, named: str | None) -> dict[str, Any]:
        """The place of the lab that is up (the one named, where several are); TargetError tells what to do where there
        is none: plain `chaos run` injects there.
        """
        up = {state.name: state for state in running_labs(self.home)}
        if named is not None and named not in up:
            known = ", ".join(sorted(up)) or "none"
            raise TargetError(f"no lab named {named!r} is up in {self.home}, expected one of: {known}")
        if not up:
            raise TargetError(f"no lab is up in {self.home}: `tierdrill lab up` starts one")
        if named is None and len(up) > 1:
            raise TargetError(f"several labs are up ({', '.join(sorted(up))}): name one in TIERDRILL_LAB")
        return lab_place(up[named or next(iter(up))], self.home)

    def kept(self, name: str) -> LabState:
        """A lab that somebody keeps; TargetError if it is not up."""
        try:
            return attach(self.home, name)
        except NoSuchLab as error:
            raise TargetError(f"{error}; start one with `tierdrill lab up --name {name}`") from error

    def whole(self, name: str) -> LabState:
        """As `kept`; TargetError also where it has lost a part."""
        state = self.kept(name)
        if lost := lost_parts(state):
            raise TargetError(f"lab {name} has lost {', '.join(lost)}; run `tierdrill recover` to repair or stop it")
        return state

    def endpoints(self, name: str) -> Endpoints:
        """Where a kept lab is asked; TargetError if it is not up."""
        return endpoints_of(self.kept(name))

    def leases(self) -> dict[str, str]:
        """What the labs say of the leases that they keep by themselves: held, undoing, undone or stuck, by fault."""
        from tierdrill.lab.client import LabClient, LabError

        found: dict[str, str] = {}
        for state in running_labs(self.home):
            with suppress(LabError), LabClient(state) as client:
                found |= {str(lease["name"]): str(lease["state"]) for lease in client.leases()}
        return found

    def lift(self, override: RuleOverride) -> tuple[list[str], list[str]]:
        """Lift the rule, or let it hold again, in the gateways of every lab that it is about, as is in force there.

        The labs that do so now, and what went wrong with the others.
        """
        from tierdrill.lab.client import LabClient, LabError

        told, untold = [], []
        for state in running_labs(self.home):
            if not override.concerns(state.tiers_document, state.environment):
                continue
            until = lifted_in(self.home, state.tiers_document, state.environment).get(override.name)
            try:
                with LabClient(state) as client:
                    if any(override.tier in fractions for fractions in client.gateways("shed").values()):
                        client.to_gateways("overrides", {override.name: until})
                        told.append(state.name)
            except LabError as error:
                untold.append(str(error))
        return told, untold

    def end(self, name: str) -> list[str]:
        """End a lab in whatever state it is (gone is fine); what would not end."""
        state = find_lab(self.home, name)
        return down_lab(state) if state is not None else []

    def await_mended(self, name: str) -> bool:
        """Wait for a lab to start again what it has lost; False where it does not in time, or has gone."""
        deadline = time.monotonic() + MENDED_WITHIN_S
        while True:
            now = next((one for one in self.standing() if one.name == name), None)
            if now is None or now.state != "broken" or time.monotonic() >= deadline:
                return now is not None and now.state == "up"
            time.sleep(POLL_S)


def _standing(state: LabState) -> LabStanding:
    if not supervisor_lives(state):
        return LabStanding(state.name, "dead", (), state.environment)
    lost = tuple(lost_parts(state)) if state.ready else ()
    return LabStanding(state.name, "broken" if lost else "up", lost, state.environment)
