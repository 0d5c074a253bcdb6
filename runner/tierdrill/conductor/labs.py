"""The lab of a run: one of its own, or a kept one by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tierdrill.conductor.run_errors import RunRefused
from tierdrill.documents.models.environment import Environment
from tierdrill.documents.models.tiers import Tiers
from tierdrill.documents.models.workloads import Workloads
from tierdrill.lab.lab_config import LabConfig, LabConfigError
from tierdrill.lab.lab_files import LabState, NoSuchLab, attach, lost_parts
from tierdrill.lab.lab_plan import lab_config
from tierdrill.lab.supervisor.lab_start import start_lab_async
from tierdrill.monitoring.alertmanager_config import alertmanager_config
from tierdrill.monitoring.binaries import MonitoringUnavailable, require
from tierdrill.monitoring.prometheus_rules import prometheus_rules
from tierdrill.process.child import SpawnError


def config_of(
    name: str, environment: Environment, tiers: Tiers, workloads: Workloads, tools: Path, *, outlives_starter: bool
) -> LabConfig:
    """The lab of an environment, with its rules and Alertmanager file; RunRefused without the monitoring programs."""
    try:
        binaries = require(tools)
        return lab_config(
            name,
            environment,
            tiers,
            workloads,
            prometheus=binaries.prometheus,
            alertmanager=binaries.alertmanager,
            rules=prometheus_rules(tiers, workloads, environment),
            alertmanager_text=alertmanager_config(),
            outlives_starter=outlives_starter,
        )
    except (MonitoringUnavailable, LabConfigError) as error:
        raise RunRefused(str(error)) from error


async def bring_up(home: Path, config: LabConfig, on_pid: Callable[[int], None]) -> LabState:
    """Start a lab; RunRefused with the supervisor's own words if it does not come up."""
    try:
        state, child = await start_lab_async(config, home)
    except (SpawnError, NoSuchLab) as error:
        raise RunRefused(f"the lab did not come up: {error}") from error
    on_pid(child.pid)
    return state


def kept_lab(home: Path, name: str) -> LabState:
    """A lab that somebody keeps; RunRefused if it is not up and whole."""
    try:
        state = attach(home, name)
    except NoSuchLab as error:
        raise RunRefused(f"{error}; `tierdrill lab up --name {name}` starts one") from error
    if lost := lost_parts(state):
        raise RunRefused(f"lab {name} has lost {', '.join(lost)}; `tierdrill recover` lets it mend, or ends it")
    return state
