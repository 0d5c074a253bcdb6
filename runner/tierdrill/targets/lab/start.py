"""Bringing a lab up, for one run or to be kept, and opening a session in it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tierdrill.documents.models.environment import Environment
from tierdrill.documents.models.tiers import Tiers
from tierdrill.documents.models.workloads import Workloads
from tierdrill.lab.lab_config import LabConfig, LabConfigError
from tierdrill.lab.lab_files import LabState, NoSuchLab
from tierdrill.lab.lab_plan import lab_config
from tierdrill.lab.network.means import NoMeans, means
from tierdrill.lab.supervisor.lab_start import start_lab_async
from tierdrill.monitoring.alertmanager_config import alertmanager_config
from tierdrill.monitoring.binaries import MonitoringUnavailable, require, require_etcd
from tierdrill.monitoring.prometheus_rules import prometheus_rules
from tierdrill.process.child import SpawnError
from tierdrill.targets.base import Opening, TargetError
from tierdrill.targets.lab.labs import Labs
from tierdrill.targets.lab.session import LabSession
from tierdrill.tier_policy.override_grants import lifted_in

UNHURRIED_STARTUP_S = 120.0
"""For an exercise: nobody measures how soon it begins, and a slow machine must not spoil it."""


def config_of(
    name: str, environment: Environment, tiers: Tiers, workloads: Workloads, tools: Path, *, outlives_starter: bool
) -> LabConfig:
    """The lab of an environment, with its rules and Alertmanager file; TargetError without the programs it needs."""
    try:
        binaries = require(tools)
        in_namespaces = means() if environment.lab.mode == "namespace" else None
        return lab_config(
            name,
            environment,
            tiers,
            workloads,
            prometheus=binaries.prometheus,
            alertmanager=binaries.alertmanager,
            rules=prometheus_rules(tiers, workloads, environment),
            alertmanager_text=alertmanager_config(),
            etcd=require_etcd(tools) if environment.lab.state_store else None,
            outlives_starter=outlives_starter,
            means=in_namespaces,
        )
    except (MonitoringUnavailable, LabConfigError, NoMeans) as error:
        raise TargetError(str(error)) from error


async def bring_up(home: Path, config: LabConfig, on_pid: Callable[[int], None]) -> LabState:
    """Start a lab, with the overrides in force; TargetError with the supervisor's own words if it does not come up."""
    names = {tier.name for tier in config.tiers}
    lifted = lifted_in(home, config.tiers_document, config.environment)
    mine = {name: until for name, until in lifted.items() if name.partition("/")[0] in names}
    config = replace(config, overrides=mine)
    try:
        state, child = await start_lab_async(config, home)
    except (SpawnError, NoSuchLab) as error:
        raise TargetError(f"the lab did not start: {error}") from error
    on_pid(child.pid)
    return state


async def open_session(opening: Opening) -> LabSession:
    """A session in the kept lab that was named, or in one of the run's own, which has the run's name."""
    if opening.kept is not None:
        lab = Labs(opening.home).whole(opening.kept)
    else:
        config = config_of(
            opening.run, opening.environment, opening.tiers, opening.workloads, opening.tools, outlives_starter=False
        )
        if opening.discreet:
            if config.means is not None:
                raise TargetError("an exercise needs a lab in portable mode: namespaces show what is injected in them")
            config = replace(config, discreet=True, startup_timeout_s=UNHURRIED_STARTUP_S)
        lab = await bring_up(opening.home, config, lambda pid: opening.own("lab", pid))
    session = LabSession(lab, opening.home, kept=opening.kept is not None)
    try:
        await session.open()
    except BaseException:
        await session.close()
        await session.end()
        raise
    return session
