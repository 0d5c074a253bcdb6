"""From a place (plain data in the ledger) to something that can be faulted, proven and healed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tierdrill.lab.lab_files import LabState
from tierdrill.targets.base import FaultPort, TargetError


def open_place(place: dict[str, Any]) -> FaultPort:
    """The port of a place; TargetError for a kind of place this version does not know."""
    kind = place.get("target")
    if kind == "lab":
        from tierdrill.targets.lab.fault_port import LabPort

        return LabPort(Path(place["home"]), place["lab"], place.get("id", ""))
    if kind == "experiment":
        from tierdrill.targets.experiment import ExperimentPlace

        return ExperimentPlace(place)
    raise TargetError(f"found target {kind!r}; allowed are lab and experiment")


def lab_place(lab: LabState, home: Path) -> dict[str, Any]:
    """How the ledger refers to an embedded lab; the id tells it from a later one of the same name."""
    return {"target": "lab", "home": str(home), "lab": lab.name, "id": lab.id}


def the_running_lab(home: Path, named: str | None) -> dict[str, Any]:
    """The place of the lab that is up (the one named, where several are).

    TargetError tells what to do where none is.
    """
    from tierdrill.lab.lab_files import running_labs

    labs = {state.name: state for state in running_labs(home)}
    if named is not None:
        if named not in labs:
            raise TargetError(
                f"no lab named {named!r} is up in {home}; allowed are: {', '.join(sorted(labs)) or 'none'}"
            )
        return lab_place(labs[named], home)
    if len(labs) == 1:
        (state,) = labs.values()
        return lab_place(state, home)
    if not labs:
        raise TargetError(f"no lab is up in {home}: `tierdrill lab up` starts one")
    raise TargetError(f"several labs are up ({', '.join(sorted(labs))}): name one in TIERDRILL_LAB")
