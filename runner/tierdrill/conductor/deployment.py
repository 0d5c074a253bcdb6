"""What a run puts around its deployment: receiver, pager, playbook engine, alert watcher."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from tierdrill.conductor.engine_life import EngineLife, Lifeline
from tierdrill.conductor.external_playbooks import ToolHooks, secret_of
from tierdrill.conductor.plan import Plan
from tierdrill.conductor.recorder import Recorder
from tierdrill.conductor.sabotage import believing, broken_remedy, cut_automation, own_comment
from tierdrill.documents.models.drill import OnCall, SabotageAction
from tierdrill.history.events import Event
from tierdrill.history.kinds.run_kinds import FaultIntended, PlatformState, ProcessExited, RunNote
from tierdrill.judge.checks.run_trust import WITNESSES
from tierdrill.monitoring.alert_names import WATCHDOG
from tierdrill.monitoring.alert_watch import AlertWatcher
from tierdrill.monitoring.dead_mans_switch import DeadMansSwitch
from tierdrill.monitoring.external_alerts import PolledAlerts
from tierdrill.monitoring.pagerduty import PagerClient, PagerStub
from tierdrill.monitoring.query import AlertmanagerClient, NoData, Prometheus
from tierdrill.monitoring.webhook_receiver import FAULTS, Receiver, Refused
from tierdrill.process.signals import StopSignal
from tierdrill.remediation.incident_book import NoticeError, notices_of
from tierdrill.remediation.playbook_engine import PlaybookEngine
from tierdrill.targets.base import SABOTAGE, Session


class Deployment:
    def __init__(self, plan: Plan, session: Session, recorder: Recorder) -> None:
        self.plan, self.session, self.recorder = plan, session, recorder
        self._endpoints = there = session.endpoints
        self.alertmanager = AlertmanagerClient(there.alertmanager.url, login=there.alertmanager.login)
        self._polled = PolledAlerts()
        self.watcher = AlertWatcher(
            prometheus=Prometheus(there.prometheus.url, there.prometheus.login),
            alertmanager=AlertmanagerClient(there.alertmanager.url, login=there.alertmanager.login),
            emit=recorder.take,
            # How often somebody else's Alertmanager repeats the Watchdog is its own affair.
            webhook=there.listen is None,
            own_silence=lambda silence: silence.get("comment") == own_comment(plan),
            gap_s=there.gap_s,
            rename=there.rename,
            on_poll=self._poll if there.polled else lambda alerts: None,
        )
        self.remedies = session.remedies(plan.run, plan.setting.environment.lease)
        sabotage = plan.sabotage.do if plan.sabotage else SabotageAction()
        playbooks = plan.setting.playbooks
        self.broken = broken_remedy(sabotage, self.remedies)
        if self.broken is not None:
            self.remedies, playbooks = self.broken, believing(playbooks, sabotage)
        disabled, retarget = self.cut_automation()
        self.pager = PagerStub(on_acknowledge=self._acknowledged)
        self.pager_client: PagerClient | None = None

        def engine() -> tuple[PlaybookEngine, Lifeline]:
            line = Lifeline(self.remedies, recorder.take, self._page)
            made = PlaybookEngine(
                port=line,
                emit=line.emit,
                pager=line.page,
                playbooks=playbooks,
                tiers=plan.setting.tiers,
                disabled=disabled,
                retarget=retarget,
            )
            return made, line

        self.life = EngineLife(engine)
        self.hooks = ToolHooks(
            plan.setting.playbooks, disabled, retarget, lambda text: recorder.note(RunNote(text=text), "remediation")
        )
        self.receiver = Receiver(
            token=there.token or secrets.token_urlsafe(24),
            mark=secrets.token_hex(16) if there.listen is None else None,
            listen=there.listen,
            on_alerts=self._received,
            on_report=self._report,
            on_fault=lambda body: self.on_fault(body),
            secret_of=lambda name: there.fault_secret if name == FAULTS else secret_of(plan.setting.playbooks, name),
        )
        self.switch = DeadMansSwitch(self._take)
        self._refused: set[str] = set()
        self._answers: set[asyncio.Task[None]] = set()
        self._stop: StopSignal | None = None
        self.on_fault: Callable[[Mapping[str, Any]], None] = _unexpected
        self._faulted: set[str] = set()
        recorder.listen(self._seen)
        recorder.listen(self.life.seen)

    @property
    def engine(self) -> PlaybookEngine:
        return self.life.engine

    def _seen(self, item: Event) -> None:
        said = item.payload
        if isinstance(said, FaultIntended) and said.kind != SABOTAGE:
            self._faulted.add(said.target)
        if isinstance(said, PlatformState):
            self.engine.facts_changed()
        elif isinstance(said, ProcessExited) and item.source != "runner" and not said.expected:
            self._ended(said.name, said.exit_code)

    def _ended(self, name: str, code: Any) -> None:
        """What dies under a fault is the service's affair, and the verdict's; what watches the service is not."""
        if self._stop is not None and (not self._faulted or name in WITNESSES - self._faulted):
            self._stop.stop("error", f"{name} ended unexpectedly ({code})")

    def cut_automation(self) -> tuple[set[str], dict[str, str]]:
        """The playbooks that must not run, and those that act on a wrong target."""
        return cut_automation(self.plan.sabotage)

    async def open(self) -> None:
        """Start receiver and pager, and let Alertmanager notify this run."""
        await self.pager.start()
        self.pager_client = PagerClient(self.pager.url, self.pager.routing_key)
        await self.receiver.start()
        receiver = self.receiver
        await self.session.subscribe(f"{receiver.url}/alertmanager", receiver.token, receiver.mark)

    def _poll(self, alerts: Sequence[Mapping[str, Any]]) -> None:
        """What Alertmanager holds, taken as if it had delivered it."""
        if body := self._polled.body(alerts, time.time()):
            self._take(body)

    def _take(self, body: dict[str, Any]) -> None:
        """What nobody delivered, and nobody would deliver again."""
        with contextlib.suppress(NoticeError, Refused):
            self._alerts(body)

    def _received(self, body: Mapping[str, Any]) -> None:
        rename = self._endpoints.rename
        self._alerts({**body, "alerts": [{**one, "labels": rename(one.get("labels") or {})} for one in body["alerts"]]})

    def _alerts(self, body: Mapping[str, Any]) -> None:
        try:
            notices = notices_of(body)
        except NoticeError as error:
            if str(error) not in self._refused:
                self._refused.add(str(error))
                self.recorder.note(RunNote(text=f"a webhook was refused: {error}"), "monitoring")
            raise
        self.watcher.take(body)
        if any(notice.alert == WATCHDOG and notice.status == "firing" for notice in notices):
            self.switch.heard()
        if not self.life.works:
            # Then Alertmanager delivers it again, to the next one.
            raise Refused(503, "no playbook engine works")
        for notice in notices:
            if notice.alert != WATCHDOG:
                self.engine.notify(notice)
        self.hooks.alerts(body, self.receiver.url)

    def _report(self, name: str, report: Mapping[str, Any]) -> None:
        known = {key: value for key, value in report.items() if key != "state"}
        self.engine.external_report(name, {**known, "status": report.get("status", report.get("state"))})

    async def _page(self, contact: str, level: int, tier: str, dedup_key: str, action: str, summary: str) -> None:
        if self.pager_client is not None:
            await self.pager_client.page(contact, level, tier, dedup_key, action, summary)
            if (on_call := self.plan.setting.drill.on_call) and action == "trigger":
                self._answers.add(asyncio.create_task(self._answer(on_call, dedup_key)))

    async def _answer(self, on_call: OnCall, dedup_key: str) -> None:
        await asyncio.sleep(on_call.acknowledges_after)
        self.pager.acknowledge(dedup_key, on_call.name)

    def _acknowledged(self, dedup_key: str, by: str) -> None:
        self.engine.acknowledge(dedup_key, by)

    @property
    def pipeline_heard(self) -> bool:
        """Whether the alert that always fires has come the whole way: rule, Alertmanager, our receiver."""
        return self.watcher.heard_watchdog.is_set()

    async def active_alerts(self) -> list[dict[str, Any]] | None:
        """What Alertmanager holds as active, of the alerts that matter here; None where it does not answer."""
        answer = await self.alertmanager.alerts(delivered_only=True)
        if isinstance(answer, NoData):
            return None
        rename, mine = self._endpoints.rename, self._endpoints.alerts
        named = [{**alert, "labels": rename(alert.get("labels") or {})} for alert in answer]
        return [one for one in named if mine is None or one["labels"].get("alertname") in mine - {WATCHDOG}]

    def watchers(self, stop: StopSignal) -> list[Coroutine[Any, Any, None]]:
        """What must be watched while the run lives."""
        self._stop = stop
        # How often somebody else's Alertmanager repeats the Watchdog is its own affair.
        switch = [self.switch.run()] if self._endpoints.listen is None else []
        return [self.watcher.run(), *switch, *self.session.watchers(self.recorder.take, stop)]

    async def last_look(self) -> None:
        """One more look at the alerts of the whole run, before monitoring ends with the lab."""
        await self.watcher.finish()

    async def close(self) -> None:
        """Take everything back; never raises for a deployment that is already gone."""
        with contextlib.suppress(Exception):
            await self.engine.stop()
        if self.broken is not None:
            await self.broken.close()
        for answer in self._answers:
            answer.cancel()
        await asyncio.gather(*self._answers, return_exceptions=True)
        closers = [self.hooks.close, self.receiver.stop, self.pager.stop, self.alertmanager.close, self.session.close]
        if self.pager_client is not None:
            closers.append(self.pager_client.close)
        for closer in closers:
            with contextlib.suppress(Exception):
                await closer()


def _unexpected(body: Mapping[str, Any]) -> None:
    raise ValueError("state: this run waits for no fault of somebody else's")
