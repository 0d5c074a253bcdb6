"""The lab of an exercise, with the automation that the exercise has: all of it, none of it, or wrong."""

from collections.abc import Callable, Mapping
from typing import Any

from tierdrill.conductor.deployment import Deployment
from tierdrill.conductor.plan import Plan
from tierdrill.conductor.recorder import Recorder
from tierdrill.monitoring.alert_names import WATCHDOG
from tierdrill.remediation.incident_book import AlertNotice, notices_of
from tierdrill.targets.base import Inventory, Session
from tierdrill.training.exercise_setting import ExerciseSetting
from tierdrill.training.ops.tier_rules import Situation


class Platform(Deployment):
    """What the trainee is on call for. Set `on_notice` and `on_acknowledged` before it is opened."""

    def __init__(self, plan: Plan, session: Session, recorder: Recorder, setting: ExerciseSetting) -> None:
        self.setting = setting
        self.on_notice: list[Callable[[AlertNotice], object]] = []
        self.on_acknowledged: Callable[[str, str], bool] = lambda key, by: False
        super().__init__(plan, session, recorder)

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
        await self._page(contact, level, tier, dedup_key, action, summary)

    @property
    def inventory(self) -> Inventory:
        """What there is, as the control plane last said."""
        return self.session.inventory()

    def situation(self) -> Situation:
        """What the tier rules look at, but for the gateways' settings."""
        return Situation(
            tiers=self.setting.tiers,
            workloads=self.setting.workloads,
            gpu_memory_gib=float(self.setting.environment.lab.gpu_memory_gib),
            inventory=self.inventory,
        )
