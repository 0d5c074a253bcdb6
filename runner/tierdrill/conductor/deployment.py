"""The deployment a run happens in, and what the run puts around it: receiver, pager, playbook engine, alert watcher.

A lab of the run's own is ended with it; a kept one gets back the flags, weights and sheds it had.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tierdrill.conductor.external_playbooks import ToolHooks, secret_of
from tierdrill.conductor.labs import bring_up, config_of, kept_lab
from tierdrill.conductor.plan import Plan
from tierdrill.conductor.recorder import Recorder
from tierdrill.conductor.sabotage import apply_sabotage, believing, broken_remedy, own_comment
from tierdrill.documents.models.drill import OnCall, SabotageAction
from tierdrill.history.events import Event
from tierdrill.history.ledger import Ledger
from tierdrill.judge.checks.run_trust import WITNESSES
from tierdrill.lab.calls import Calls
from tierdrill.lab.client import AsyncLabClient, LabClient, LabError
from tierdrill.lab.lab_files import LabState, down_lab
from tierdrill.monitoring.alert_watch import AlertWatcher
from tierdrill.monitoring.pager import PagerClient, PagerStub
from tierdrill.monitoring.query import AlertmanagerClient, NoData
from tierdrill.monitoring.webhook_receiver import Receiver
from tierdrill.process.signals import StopSignal
from tierdrill.remediation.alert_notice import NoticeError, notices_of
from tierdrill.remediation.playbook_engine import PlaybookEngine
from tierdrill.targets.base import RemedyPort
from tierdrill.targets.lab.remedy_ledger import RemedyLedger
from tierdrill.targets.lab.remedy_port import LabRemedies
from tierdrill.targets.places import lab_place

if TYPE_CHECKING:
    from tierdrill.conductor.run import RunOptions

EVENTS_WAIT_S = 2.0
WATCHDOG = "Watchdog"


class Deployment:
    """One lab in use by one run."""

    def __init__(self, plan: Plan, lab: LabState, home: Path, recorder: Recorder, *, ephemeral: bool) -> None:
        self.plan, self.lab, self.ephemeral, self.recorder = plan, lab, ephemeral, recorder
        self.place = lab_place(lab, home)
        self.gateways = tuple(f"http://{address}" for _, address in sorted(lab.gateways.items()))
        self.client = AsyncLabClient(lab)
        self.alertmanager = AlertmanagerClient(f"http://{lab.alertmanager}", login=lab.login)
        self.watcher = AlertWatcher(
            prometheus=f"http://{lab.prometheus}",
            alertmanager=f"http://{lab.alertmanager}",
            emit=recorder.take,
            webhook=True,
            own_silence=lambda silence: silence.get("comment") == own_comment(plan),
            login=lab.login,
        )
        self.remedies: RemedyPort = RemedyLedger(
            LabRemedies(lab), LabClient(lab), home, plan.run, plan.setting.environment.lease
        )
        sabotage = plan.sabotage.do if plan.sabotage else SabotageAction()
        playbooks = plan.setting.playbooks
        self.broken = broken_remedy(sabotage, self.remedies)
        if self.broken is not None:
            self.remedies, playbooks = self.broken, believing(playbooks, sabotage)
        self.state: Mapping[str, Any] = {"nodes": [], "replicas": []}
        disabled, retarget = self.cut_automation()
        self.pager = PagerStub(on_acknowledge=self._acknowledged)
        self.pager_client: PagerClient | None = None
        self.engine = PlaybookEngine(
            port=self.remedies,
            emit=recorder.take,
            pager=self._page,
            playbooks=playbooks,
            tiers=plan.setting.tiers,
            disabled=disabled,
            retarget=retarget,
        )
        self.hooks = ToolHooks(
            plan.setting.playbooks, disabled, retarget, lambda text: recorder.note("run.note", "remediation", text=text)
        )
        self.receiver = Receiver(
            token=secrets.token_urlsafe(24),
            mark=secrets.token_hex(16),
            on_alerts=self._alerts,
            on_report=self._report,
            secret_of=lambda name: secret_of(plan.setting.playbooks, name),
        )
        self._refused: set[str] = set()
        self._answers: set[asyncio.Task[None]] = set()
        self._closing = False
        self._events_seen = 0
        self._faulted = False
        recorder.listen(self._seen)

    def _seen(self, item: Event) -> None:
        self._faulted = self._faulted or item.kind == "fault.intended"

    def cut_automation(self) -> tuple[set[str], dict[str, str]]:
        """The playbooks that must not run, and those that act on a wrong target."""
        sabotage = self.plan.sabotage.do if self.plan.sabotage else None
        disabled = {sabotage.disable_playbook} if sabotage and sabotage.disable_playbook else set()
        wrong = {sabotage.retarget_playbook: sabotage.to or ""} if sabotage and sabotage.retarget_playbook else {}
        return disabled, wrong

    async def open(self) -> None:
        """Start receiver and pager, and let Alertmanager notify this run."""
        if not self.ephemeral:
            # What died in a kept lab before this run, and was started again, says nothing about it.
            past = await self.client.events()
            self._events_seen = max((int(item["sequence"]) for item in past), default=0)
        await self.pager.start()
        self.pager_client = PagerClient(self.pager.url, self.pager.routing_key)
        await self.receiver.start()
        receiver = self.receiver
        await self.client.ask(Calls.set_webhook(f"{receiver.url}/alertmanager", receiver.token, receiver.mark))

    def _alerts(self, body: Mapping[str, Any]) -> None:
        try:
            notices = notices_of(body)
        except NoticeError as error:
            if str(error) not in self._refused:
                self._refused.add(str(error))
                self.recorder.note("run.note", "monitoring", text=f"a webhook was refused: {error}")
            raise
        self.watcher.take(body)
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
        """What Alertmanager holds as active; None where it does not answer."""
        answer = await self.alertmanager.alerts(active=True, silenced=False, inhibited=False, unprocessed=False)
        return None if isinstance(answer, NoData) else [dict(alert) for alert in answer]

    async def apply_sabotage(self, ledger: Ledger) -> None:
        """Cut the safety net that this variant goes without."""
        if self.plan.sabotage is not None:
            await apply_sabotage(self, self.plan.sabotage, ledger)

    async def renew_leases(self, names: list[str]) -> None:
        """Let the leases that the lab keeps by itself begin anew. One that does not answer lets them run out."""
        with contextlib.suppress(LabError):
            await self.client.ask(Calls.renew_leases(names))

    def watchers(self, stop: StopSignal) -> list[Coroutine[Any, Any, None]]:
        """What must be watched while the run lives."""
        return [self.watcher.run(), self._watch_lab(stop), self._watch_state()]

    async def _watch_lab(self, stop: StopSignal) -> None:
        """Follow the lab's own events: a process that dies without anybody having meant it makes the run worthless."""
        since = self._events_seen
        while True:
            try:
                events = await self.client.events(since=since, wait_s=EVENTS_WAIT_S)
            except LabError as error:
                if not self._closing:
                    stop.stop("error", f"the lab does not answer: {error}")
                return
            for item in events:
                since = max(since, int(item["sequence"]))
                if item["kind"] == "process-exit" and not self._closing:
                    self._exited(item, stop)
                if item["kind"] == "lease-ran-out" and not self._closing:
                    stop.stop("error", "the lab undid what nobody renewed: this machine, or the run, stood still")

    def _exited(self, item: Mapping[str, Any], stop: StopSignal) -> None:
        expected = bool(item.get("expected"))
        name = str(item.get("name") or item.get("process"))
        code = item.get("exit_code")
        self.recorder.note("process.exited", "lab", at=float(item["at"]), name=name, exit_code=code, expected=expected)
        # What dies under a fault is the service's affair, and the verdict's; what watches the service is not.
        if not expected and (not self._faulted or name in WITNESSES):
            stop.stop("error", f"{name} ended unexpectedly ({code})")

    async def _watch_state(self) -> None:
        """Record the control plane's view at every change, and wake whoever waits for a fact."""
        version: int | None = None
        while True:
            try:
                state = await self.client.state(since=version, wait_s=EVENTS_WAIT_S)
            except LabError:
                await asyncio.sleep(0.2)
                continue
            if version == state.get("version"):
                continue
            version = state.get("version")
            self.state = state
            self.engine.facts_changed()
            self.recorder.note("lab.state", "lab", **_shown(state))

    async def last_look(self) -> None:
        """One more look at the alerts of the whole run, before monitoring ends with the lab."""
        await self.watcher.finish()

    async def close(self) -> None:
        """Take everything back; never raises for a deployment that is already gone."""
        self._closing = True
        with contextlib.suppress(Exception):
            await self.engine.stop()
        if not self.ephemeral:
            with contextlib.suppress(LabError):
                await self.client.ask(Calls.remedy("rebalance", {}))
        if self.broken is not None:
            await self.broken.close()
        for answer in self._answers:
            answer.cancel()
        await asyncio.gather(*self._answers, return_exceptions=True)
        closers = [self.hooks.close, self.receiver.stop, self.pager.stop, self.alertmanager.close, self.client.aclose]
        if self.pager_client is not None:
            closers.append(self.pager_client.close)
        for closer in closers:
            with contextlib.suppress(Exception):
                await closer()

    async def end_lab(self) -> list[str]:
        """End a lab of the run's own; the processes that would not end."""
        return await asyncio.to_thread(down_lab, self.lab) if self.ephemeral else []


def _shown(state: Mapping[str, Any]) -> dict[str, Any]:
    """The part of the control plane's state that a history keeps."""
    nodes = [
        {
            "name": node["name"],
            "ready": node["ready"],
            "cordoned": node["cordoned"],
            "boot_id": node.get("boot_id"),
            "gpus": [{"index": gpu["index"], "state": gpu.get("state")} for gpu in node.get("gpus") or []],
        }
        for node in state["nodes"]
    ]
    kept = ("name", "model", "tier", "node", "gpu", "state", "ready", "generation", "restarts")
    return {"nodes": nodes, "replicas": [{key: replica.get(key) for key in kept} for replica in state["replicas"]]}


async def open_deployment(
    plan: Plan, options: RunOptions, lab_name: str, recorder: Recorder, own: Callable[[str, int], None]
) -> Deployment:
    """Attach to the kept lab that was named, or bring one up; RunRefused where neither can be."""
    began = time.monotonic()
    if options.lab is not None:
        lab = kept_lab(options.home, options.lab)
    else:
        setting = plan.setting
        config = config_of(
            lab_name, setting.environment, setting.tiers, setting.workloads, options.tools, outlives_starter=False
        )
        lab = await bring_up(options.home, config, lambda pid: own("lab", pid))
    text = f"lab {lab.name} up after {time.monotonic() - began:.1f} s" if options.lab is None else f"lab {lab.name}"
    recorder.note("run.note", "runner", text=text)
    deployment = Deployment(plan, lab, options.home, recorder, ephemeral=options.lab is None)
    try:
        await deployment.open()
    except BaseException:
        await deployment.close()
        await deployment.end_lab()
        raise
    return deployment
