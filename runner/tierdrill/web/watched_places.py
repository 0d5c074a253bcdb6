"""What the dashboard watches: the labs that are up in the home, and every environment that names a Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tierdrill.credentials import ServerLogin
from tierdrill.documents.catalogue import DrillSetting
from tierdrill.history.history_store import HistoryStore, run_named
from tierdrill.history.kinds.run_kinds import RunStarted
from tierdrill.history.sealed import EXERCISE
from tierdrill.targets.base import Endpoint, TargetError
from tierdrill.targets.target_registry import labs_of

if TYPE_CHECKING:
    from tierdrill.documents.catalogue import Catalogue
    from tierdrill.documents.models.environment import Environment
    from tierdrill.documents.models.tiers import Tiers
    from tierdrill.targets.lab.labs import LabStanding


@dataclass(frozen=True)
class Place:
    """Where tiers are served, and the Prometheus that watches them; `absent` says why there is none to ask.

    `run` is the run whose own lab it is.
    """

    name: str
    environment: Environment
    tiers: Tiers
    prometheus: Endpoint | None
    run: str = ""
    absent: str = ""

    @property
    def anchor(self) -> str:
        """An id in a page."""
        return f"place-{self.name}"


def places_of(home: Path, catalogue: Catalogue, settings: dict[str, DrillSetting]) -> list[Place]:
    """Every place there is to watch now, those of running labs first. `settings` keeps what was read, by run."""
    return [*_labs(home, catalogue, settings), *_platforms(catalogue)] or list(_silent(catalogue))


def _labs(home: Path, catalogue: Catalogue, settings: dict[str, DrillSetting]) -> Iterator[Place]:
    labs = labs_of(home)
    for lab in labs.standing():
        if lab.state not in ("up", "broken"):
            continue
        if lab.name not in settings and (found := _setting_of_run(home, lab.name)) is not None:
            settings[lab.name] = found
        setting = settings.get(lab.name)
        environment = setting.environment if setting else _kept_environment(catalogue, lab)
        if environment is None:
            continue
        tiers = setting.tiers if setting else catalogue.tiers[environment.tiers]
        try:
            endpoint: Endpoint | None = labs.endpoints(lab.name).prometheus
            absent = f"lab {lab.name} has lost {', '.join(lab.lost)}" if lab.lost else ""
        except TargetError as error:
            endpoint, absent = None, str(error)
        yield Place(lab.name, environment, tiers, endpoint, lab.name if setting else "", absent)


def _setting_of_run(home: Path, run: str) -> DrillSetting | None:
    """The documents of a drill's run, which its history begins with."""
    record = run_named(home, run)
    if record is None or record.variant == EXERCISE:
        return None
    with closing(HistoryStore(home)) as store:
        first = store.events(run, limit=1)
    said = first[0].payload if first else None
    return DrillSetting.from_json(dict(said.setting)) if isinstance(said, RunStarted) and said.setting else None


def _kept_environment(catalogue: Catalogue, lab: LabStanding) -> Environment | None:
    """The environment that a kept lab was started from, as the lab says; where it does not, that of its name, or as
    `tierdrill lab up` chooses.
    """
    labs = {name: one for name, one in catalogue.environments.items() if one.target == "lab"}
    if lab.environment:
        return labs.get(lab.environment)
    return labs.get(lab.name) or labs.get("lab") or next(iter(labs.values()), None)


def _platforms(catalogue: Catalogue) -> Iterator[Place]:
    for name, environment in sorted(catalogue.environments.items()):
        gates, tiers = environment.gates, catalogue.tiers[environment.tiers]
        if environment.monitoring is not None:
            connection = environment.monitoring.prometheus
            yield Place(name, environment, tiers, Endpoint(connection.url, ServerLogin(connection.model_dump())))
        elif gates.prometheus is not None:
            login = gates.prometheus_credentials
            endpoint = Endpoint(gates.prometheus, ServerLogin(login.model_dump()) if login is not None else None)
            yield Place(name, environment, tiers, endpoint)


def _silent(catalogue: Catalogue) -> Iterator[Place]:
    """With nothing to ask: each set of tiers once, by an environment that has it."""
    shown = set()
    for name, environment in sorted(catalogue.environments.items()):
        if environment.tiers not in shown:
            shown.add(environment.tiers)
            absent = "no lab is up and no environment names a Prometheus (tierdrill lab up, or gates.prometheus)"
            yield Place(name, environment, catalogue.tiers[environment.tiers], None, absent=absent)
