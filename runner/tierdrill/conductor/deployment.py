"""The deployment a run happens in, and what the run puts around it: receiver, pager, playbook engine, alert watcher."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tierdrill.conductor.errors import RunRefused
from tierdrill.conductor.labs import bring_up, kept_lab
from tierdrill.conductor.plan import Plan
from tierdrill.conductor.recorder import Recorder
from tierdrill.conductor.stop import StopBox
from tierdrill.history.events import Event, event
from tierdrill.lab.client import AsyncLabClient, LabClient, LabError
from tierdrill.lab.state import LabState, down_lab
from tierdrill.monitoring.evidence import AlertWatcher
from tierdrill.monitoring.pager import PagerClient, PagerStub
from tierdrill.monitoring.query import AlertmanagerClient, NoData
from tierdrill.monitoring.receiver import Receiver
from tierdrill.remediation.engine import PlaybookEngine
from tierdrill.remediation.notice import parse_webhook
from tierdrill.spec.drill import Sabotage
from tierdrill.targets.base import TargetError
from tierdrill.targets.lab_remedies import LabRemedies
from tierdrill.targets.undo import lab_place

if TYPE_CHECKING:
    from tierdrill.conductor.run import RunOptions

Own = Callable[[str, int], None]
EVENTS_WAIT_S = 2.0
PLATFORM = frozenset({"fabric", "controller", "gateway", "prometheus", "alertmanager", "supervisor"})


class Deployment:
    """One lab in use by one run."""

    def __init__(self, plan: Plan, options: RunOptions, lab: LabState, *, ephemeral: bool) -> None:
        self.plan, self.options, self.lab, self.ephemeral = plan, options, lab, ephemeral
        self.place = lab_place(options.home, lab.name)
        self.gateways = tuple(f"http://{address}" for _, address in sorted(lab.gateways.items()))
        self.alertmanager = AlertmanagerClient(f"http://{lab.alertmanager}")
        self.remedies = LabRemedies(lab, lambda: self.watcher.firing() if self.watcher else set())
        self.watcher: AlertWatcher | None = None
        self.engine: PlaybookEngine | None = None
        self.receiver: Receiver | None = None
        self.pager: PagerStub | None = None
        self._silences: list[str] = []
        self._flags: dict[str, bool] = {}
        self._closing = False
        self._recorder: Recorder | None = None
        self._early: list[Event] = []

    def emit(self, item: Event) -> None:
        """Into the history, once there is one."""
        if self._recorder is None:
            self._early.append(item)
        else:
            self._recorder.take(item)

    async def open(self, recorder: Recorder, stop: StopBox) -> None:
        """Put receiver, pager and engine around the lab."""
        self._recorder = recorder
        sabotage = self.plan.sabotage.do if self.plan.sabotage else None
        disabled = {sabotage.disable_playbook} if sabotage and sabotage.disable_playbook else set()
        retarget = {sabotage.retarget_playbook: sabotage.to or ""} if sabotage and sabotage.retarget_playbook else {}
        self.pager = PagerStub()
        await self.pager.start()
        self._pager_client = PagerClient(self.pager.url)
        self.engine = PlaybookEngine(
            port=self.remedies,
            emit=recorder.take,
            pager=self._page,
            playbooks=self.plan.setting.playbooks,
            tiers=self.plan.setting.tiers,
            disabled=disabled,
            retarget=retarget,
        )
        token = secrets.token_urlsafe(24)
        self.receiver = Receiver(
            token=token,
            on_alerts=self._alerts,
            on_report=self.engine.external_report,
            secret_of=self._secret_of,
        )
        await self.receiver.start()
        await asyncio.to_thread(self._set_webhook, f"{self.receiver.url}/alertmanager", token)
        self.watcher = AlertWatcher(
            prometheus=f"http://{self.lab.prometheus}",
            alertmanager=f"http://{self.lab.alertmanager}",
            emit=recorder.take,
        )
