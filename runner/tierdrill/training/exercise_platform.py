"""The lab of an exercise, with the automation that the exercise has: all of it, none of it, or wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tierdrill.conductor.deployment import WATCHDOG, Deployment
from tierdrill.conductor.labs import bring_up, config_of
from tierdrill.conductor.plan import Plan
from tierdrill.conductor.recorder import Recorder
from tierdrill.lab.lab_files import LabState
from tierdrill.remediation.alert_notice import AlertNotice, notices_of
from tierdrill.targets.base import Inventory
from tierdrill.targets.lab.inventory import inventory_of
from tierdrill.training.exercise_setting import ExerciseSetting
from tierdrill.training.ops.tier_rules import Situation

NOT_READY = Inventory((), (), (), ())
STARTUP_WITHIN_S = 120.0
"""Nobody measures how soon an exercise begins, and a slow machine must not spoil it."""


class Platform(Deployment):
    """What the trainee is on call for. Set `on_notice` and `on_acknowledged` before it is opened."""

    def __init__(self, plan: Plan, lab: LabState, home: Path, recorder: Recorder, setting: ExerciseSetting) -> None:
        self.setting = setting
        self.on_notice: list[Callable[[AlertNotice], object]] = []
        self.on_acknowledged: Callable[[str, str], bool] = lambda key, by: False
        super().__init__(plan, lab, home, recorder, ephemeral=True)
        self._gateway_names = tuple(sorted(lab.gateways))

    def cut_automation(self) -> tuple[set[str], dict[str, str]]:
        """Off: no playbook runs by itself. Wrong: one acts on what it should not."""
        if self.setting.automation == "off":
            return {playbook.metadata.name for playbook in self.setting.playbooks}, {}
        wrong = self.setting.wrong
        return set(), {wrong.playbook: wrong.target} if wrong is not None else {}

    def _alerts(self, body: Mapping[str, Any]) -> None:
        super()._alerts(body)
        for notice in notices_of(body):
            if notice.alert != WATCHDOG:
                for tell in self.on_notice:
                    tell(notice)

    def _acknowledged(self, dedup_key: str, by: str) -> None:
        if not self.on_acknowledged(dedup_key, by):
            super()._acknowledged(dedup_key, by)

    async def page(self, contact: str, level: int, tier: str, dedup_key: str, action: str, summary: str) -> None:
        """Send one page over the pager's protocol."""
        await self._page(contact, level, tier, dedup_key, action, summary)

    @property
    def inventory(self) -> Inventory:
        """What there is, as the control plane last said."""
        return inventory_of(dict(self.state), self._gateway_names) if self.state["nodes"] else NOT_READY

    def situation(self) -> Situation:
        """What the tier rules look at, but for the gateways' settings."""
        return Situation(
            tiers=self.setting.tiers,
            workloads=self.setting.workloads,
            gpu_memory_gib=float(self.setting.environment.lab.gpu_memory_gib),
            inventory=self.inventory,
        )


async def bring_up_platform(
    plan: Plan, setting: ExerciseSetting, home: Path, tools: Path, recorder: Recorder, own: Callable[[str, int], None]
) -> Platform:
    """A lab of the exercise's own, discreet about what is done to it; RunRefused if it does not come up."""
    config = config_of(plan.run, setting.environment, setting.tiers, setting.workloads, tools, outlives_starter=False)
    lab = await bring_up(
        home, replace(config, discreet=True, startup_timeout_s=STARTUP_WITHIN_S), lambda pid: own("lab", pid)
    )
    return Platform(plan, lab, home, recorder, setting)
