"""One cluster while a run uses it: an external platform's load and monitoring, and the cluster's API besides."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any

from tierdrill.history.events import Event, event
from tierdrill.history.kinds.response_kinds import MonitoringGap
from tierdrill.history.kinds.run_kinds import PlatformState, ProcessExited, RunNote
from tierdrill.load.load_plan import LoadPlan
from tierdrill.process.signals import StopSignal
from tierdrill.targets.base import Finding, Inventory, Opening, RemedyPort, TargetError
from tierdrill.targets.external.session import ExternalSession
from tierdrill.targets.external.traffic import sent_to
from tierdrill.targets.kubernetes.actor_watch import ActorWatch, OwnDeeds
from tierdrill.targets.kubernetes.agents import agent_pod, started
from tierdrill.targets.kubernetes.cluster_place import Place, described
from tierdrill.targets.kubernetes.cluster_settings import ClusterSettings
from tierdrill.targets.kubernetes.cluster_view import ClusterView, shown
from tierdrill.targets.kubernetes.connect import Cluster
from tierdrill.targets.kubernetes.fault_port import faults_of
from tierdrill.targets.kubernetes.gateway_admin import GatewayAdmin
from tierdrill.targets.kubernetes.hold import Hold
from tierdrill.targets.kubernetes.lease import LeaseLost
from tierdrill.targets.kubernetes.monitoring_client import gpus_of_pods
from tierdrill.targets.kubernetes.names import NameTable
from tierdrill.targets.kubernetes.power import BY_POWER
from tierdrill.targets.kubernetes.remedy_port import ClusterRemedies
from tierdrill.targets.kubernetes.watch import Change
from tierdrill.targets.remedy_ledger import RemedyLedger
from tierdrill.tier_policy.override_grants import lifted_in

SOURCE = "kubernetes"
BEATS = 4
"""So often a Lease is renewed in the time that it is for."""
GATEWAYS_LEASES, GATEWAYS_BEATS = 2.0, 4
"""So many leases a gateway is held for, and so often in that time it is renewed: by the API server's proxy, which takes
its time.
"""
GPUS_AGAIN_S = 2.0
GATHER_S = 0.1
"""Changes that come within so long are told as one."""


async def open_session(opening: Opening) -> KubernetesSession:
    """Connect, and see everything once; TargetError where that cannot be. Nothing is changed before all of it is seen.
    """
    session = KubernetesSession(opening)
    try:
        await asyncio.to_thread(session.connect)
    except BaseException:
        await session.close()
        await session.end()
        raise
    return session


class KubernetesSession(ExternalSession):
    """Session over the cluster that an Environment document names."""

    def __init__(self, opening: Opening) -> None:
        environment = opening.environment
        assert environment.kubernetes is not None
        super().__init__(environment, opening.workloads)
        self._opening, self._settings = opening, environment.kubernetes
        self.cluster = Cluster(self._settings.kubeconfig, self._settings.context, self._settings.cluster)
        self._began = time.monotonic()
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._news: list[Event] = []
        self._failed: TargetError | None = None
        self._hold: Hold | None = None
        self._ended = threading.Event()
        self._view = ClusterView(
            self.cluster, self._settings, opening.tiers, opening.workloads, self._changed, self._silent
        )
        self._deeds = OwnDeeds()
        self._actors = ActorWatch(self.cluster, self._settings, self.names, self._silent, opening.observed, self._deeds)
        told = self._settings.gateways.admin if self._settings.gateways is not None else None
        self._admin = None if told is None else GatewayAdmin(self.cluster, self.names, told)
        self._answering: dict[str, str] = {}
        rename = self.endpoints.rename
        self.endpoints = replace(
            self.endpoints, rename=lambda labels: self.names().renamed(rename(labels)), name_of=self._name_of
        )

    def connect(self) -> None:
        """Blocking."""
        for watch in self._view.watches:
            threading.Thread(target=self._follow, args=(watch.run,), name=watch.path, daemon=True).start()
        of = self._opening
        self._view.gpus = gpus_of_pods(of.environment)
        self._await_lists()
        name, names = of.environment.metadata.name, self.names()
        self.place = described(name, self._settings, of.tiers, of.workloads, self.cluster, names) | {
            "home": str(of.home),
            **({"fault_s": of.fault_s} if of.fault_s else {}),
            "alertmanager": self._monitoring.alertmanager.model_dump(mode="json", exclude_defaults=True),
            "alerts": {alert: one.alert for alert, one in self._monitoring.alerts.items()},
        }
        place = Place(self.place)
        place.cluster = self.cluster
        self._hold = Hold(place, of.run, of.environment.lease)
        self._hold.hold(self._faulted_nodes(), of.planned_s)
        threading.Thread(target=self._keep_hold, args=(self._hold,), name="lease", daemon=True).start()
        if self._admin is not None:
            if lifted := lifted_in(of.home, of.tiers.metadata.name, name):
                # Those that were made anew since it was granted do not know.
                self._admin.tell("overrides", lifted)
            self._hold_gateways(self._admin)
        self._bring_agents(place)

    def _faulted_nodes(self) -> list[str]:
        """The real names of nodes that will be faulted, or where what will be faulted runs now."""
        return sorted({name for _, target in self._opening.faults for name in self._nodes_of(target)})

    def _nodes_of(self, target: str) -> list[str]:
        names = self.names()
        parts = re.split("[>/]", target)
        hosts = [self._view.node_of_pod(names.ref(part)) for part in parts if part in names.pods]
        return [*(names.nodes[part].name for part in parts if part in names.nodes), *filter(None, hosts)]

    def _bring_agents(self, place: Place) -> None:
        """Agents and scouts that the faults will need are at work before the load begins. TargetError says what keeps
        one from it.
        """
        if self._settings.agent == "forbidden":
            return
        known = faults_of(self._settings)
        for kind, target in self._opening.faults:
            nodes = self._nodes_of(target) if kind in known else []
            by_agent = kind in known and known[kind].keeper == "agent"
            # The agent of a link is beside the gateway's pod.
            mine = nodes[-1:] if ">" in target else nodes
            pods = [agent_pod(self._settings, self._opening.run, node) for node in mine if by_agent]
            if nodes and (by_agent or kind in BY_POWER):
                pods.append(agent_pod(self._settings, self._opening.run, None, tuple(sorted(set(mine)))))
            for pod in pods:
                started(place, self._opening.run, pod)

    def _keep_hold(self, hold: Hold) -> None:
        """Renew the Lease until the session ends. A cluster that is away for a while may be back in time."""
        while not self._ended.wait(hold.lease_s / BEATS):
            try:
                hold.beat()
            except LeaseLost as error:
                self._fail(error)
                return
            except TargetError:
                continue

    def _hold_gateways(self, admin: GatewayAdmin) -> None:
        """What they are told in this run they take back by themselves, where nobody of it lives any more. One that is
        away is held once it is back.
        """
        held_s = GATEWAYS_LEASES * self._opening.environment.lease
        problems = admin.hold(held_s)
        if problems and len(problems) == len(admin.gateways()):
            raise TargetError(f"what gateways are told could not be taken back without this run: {'; '.join(problems)}")

        def renew() -> None:
            while not self._ended.wait(held_s / GATEWAYS_BEATS):
                with contextlib.suppress(TargetError):
                    admin.hold(held_s)

        threading.Thread(target=renew, name="gateways", daemon=True).start()

    def _follow(self, run: Callable[[], None]) -> None:
        try:
            run()
        except TargetError as error:
            self._fail(error)

    def _fail(self, error: TargetError) -> None:
        self._failed = self._failed or error
        self._wake()

    def _await_lists(self) -> None:
        try:
            self._view.await_lists()
        except TargetError as error:
            raise (self._failed or error) from error

    def names(self) -> NameTable:
        """Which object each name stands for now."""
        return self._view.look()[0]

    def _name_of(self, pod: str) -> str:
        """The name of what a pod is, or was; each is looked for once."""
        if pod not in self._answering:
            names = self.names()
            known = [alias for kind in ("replica", "gateway") if (alias := names.alias(kind, pod)) != pod]
            if known:
                self._answering[pod] = known[0]
        return self._answering.get(pod, pod)

    def inventory(self) -> Inventory:
        return self._view.look()[1]

    def remedies(self, run: str, lease_s: float) -> RemedyPort:
        port = ClusterRemedies(
            self.cluster, self._settings, self._opening.tiers, self.names, self.inventory, self._admin, self._deeds
        )
        settings = ClusterSettings(self.place, self.cluster, self.names, self._admin)
        return RemedyLedger(port, settings, self._opening.home, run, lease_s)

    async def preflight(self) -> list[Finding]:
        return [*await super().preflight()]

    def watchers(self, emit: Callable[[Event], object], stop: StopSignal) -> list[Coroutine[Any, Any, None]]:
        return [self._tell_changes(emit, stop), self._actors.follow(emit), self._follow_gpus()]

    async def _follow_gpus(self) -> None:
        """Ask which GPUs pods have that came since, until somebody tells; where an environment's names ask for that."""
        while True:
            await asyncio.sleep(GPUS_AGAIN_S)
            if self._view.untold():
                with contextlib.suppress(TargetError):
                    found = await asyncio.to_thread(gpus_of_pods, self._opening.environment)
                    if self._view.learn(found):
                        self._wake()

    async def _tell_changes(self, emit: Callable[[Event], object], stop: StopSignal) -> None:
        try:
            await self._tell_each_change(emit, stop)
        finally:
            seconds, calls = time.monotonic() - self._began, self.cluster.calls
            text = f"the runner has called the cluster's API {calls} times in {seconds:.0f} s"
            emit(event(RunNote(text=f"{text}, {calls / seconds:.1f} times a second"), SOURCE))

    async def _tell_each_change(self, emit: Callable[[Event], object], stop: StopSignal) -> None:
        told: Mapping[str, Any] | None = None
        while True:
            names, inventory = self._view.look()
            now = shown(inventory, names)
            if now != told:
                told = self.state = now
                emit(event(PlatformState(**now), SOURCE))
            while self._news:
                emit(self._news.pop(0))
            if self._failed is not None:
                stop.stop("halt" if isinstance(self._failed, LeaseLost) else "error", str(self._failed))
                return
            await self._woken.wait()
            await asyncio.sleep(GATHER_S)
            self._woken.clear()

    def _changed(self, what: str, change: Change) -> None:
        self._actors.take(what, change)
        if what == "gateways" and change.after is None:
            # Somebody has asked for it: its processes ended, as those who wait for that want to know.
            said = ProcessExited(name=self._name_of(change.before.record.name), exit_code=None, expected=True)
            self._news.append(event(said, SOURCE, change.at))
        self._wake()

    def _silent(self, what: str, seconds: float, reason: str) -> None:
        said = MonitoringGap(what=what, seconds=seconds, began_at=None, reason=reason, waking=False)
        self._news.append(event(said, SOURCE))
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # the run is over
            self._loop.call_soon_threadsafe(self._woken.set)

    def traffic(self, plan: LoadPlan, warm_up_s: float) -> LoadPlan:
        told, plan = self._settings.load, super().traffic(plan, warm_up_s)
        if told is None:
            return plan
        jobs = {"place": self.place, "run": self._opening.run, "avoid": self._faulted_nodes()}
        return replace(sent_to(plan, told.url) if told.url is not None else plan, jobs=jobs)

    async def settings(self, what: str) -> Mapping[str, Mapping[str, Any]]:
        if self._admin is None:
            return await super().settings(what)
        return await asyncio.to_thread(self._admin.told, what)

    async def close(self) -> None:
        self._view.close()

    async def end(self) -> list[str]:
        """Give the cluster back; what is still injected there is left to the warden."""
        if self._hold is None:
            return []
        try:
            left = await asyncio.to_thread(self._hold.release)
            self._ended.set()
            if not left and self._admin is not None:
                with contextlib.suppress(TargetError):
                    await asyncio.to_thread(self._admin.hold, 0.0)
            return left
        except TargetError as error:
            return [f"the Lease of {self.name}: {error}"]
        finally:
            self._ended.set()
            self.cluster.close()
