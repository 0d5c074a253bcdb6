"""One lab while a run uses it."""

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from tierdrill.documents.models.drill import Stream
from tierdrill.documents.models.workloads import Model
from tierdrill.history.events import Emit, Event, event
from tierdrill.history.kinds.run_kinds import PlatformState, ProcessExited
from tierdrill.lab.calls import Call, Calls
from tierdrill.lab.client import AsyncLabClient, LabClient, LabError
from tierdrill.lab.lab_files import LabState, down_lab
from tierdrill.lab.lab_plan import MODEL_SIZE
from tierdrill.lab.replica.language_model import covering_prompts, expected_answer
from tierdrill.load.load_plan import LoadPlan, Prompt
from tierdrill.process.signals import StopSignal
from tierdrill.targets.base import Finding, Inventory, RemedyPort, TargetError
from tierdrill.targets.lab.inventory import inventory_of
from tierdrill.targets.lab.labs import endpoints_of, lab_place
from tierdrill.targets.lab.remedy_port import LabRemedies
from tierdrill.targets.lab.settings import LabSettings
from tierdrill.targets.remedy_ledger import RemedyLedger

EVENTS_WAIT_S = 2.0
XID_SETTLES_S = 0.6
SOURCE = "lab"


class LabSession:
    """Session over one lab, which is the run's own or a kept one."""

    def __init__(self, lab: LabState, home: Path, *, kept: bool) -> None:
        self.lab, self._home, self._kept = lab, home, kept
        self.name = lab.name
        self.place = lab_place(lab, home)
        self.endpoints = endpoints_of(lab)
        self.state: Mapping[str, Any] = {"nodes": [], "replicas": []}
        self.client = AsyncLabClient(lab)
        self._events_seen = 0

    async def open(self) -> None:
        """What died in a kept lab before this run, and was started again, says nothing about it."""
        if self._kept:
            past = await self.client.events()
            self._events_seen = max((int(item["sequence"]) for item in past), default=0)

    async def _ask(self, call: Call) -> Any:
        try:
            return await self.client.ask(call)
        except LabError as error:
            raise TargetError(str(error)) from error

    def inventory(self) -> Inventory:
        return inventory_of(self.state, tuple(sorted(self.lab.gateways)) if self.state["nodes"] else ())

    def remedies(self, run: str, lease_s: float) -> RemedyPort:
        settings = LabSettings(LabClient(self.lab), self._home)
        return RemedyLedger(LabRemedies(self.lab), settings, self._home, run, lease_s)

    async def subscribe(self, url: str, token: str, mark: str | None) -> None:
        await self._ask(Calls.set_webhook(url, token, mark))

    async def preflight(self) -> list[Finding]:
        """Nothing may be turned away or led around any more in a lab that was there before: a playbook whose engine
        died gave nothing back, and a tier that is still shed leaves room to those above it.
        """
        if not self._kept:
            return []
        try:
            return [check_gateways(*[await self.settings(what) for what in ("shed", "weights", "caps")])]
        except TargetError as error:
            return [Finding("gateways", False, str(error))]

    def watchers(self, emit: Emit, stop: StopSignal) -> list[Coroutine[Any, Any, None]]:
        return [self._follow_events(emit, stop), self._follow_state(emit)]

    async def _follow_events(self, emit: Emit, stop: StopSignal) -> None:
        since = self._events_seen
        while True:
            try:
                events = await self.client.events(since=since, wait_s=EVENTS_WAIT_S)
            except LabError as error:
                stop.stop("error", f"the lab is not responding: {error}")
                return
            for item in events:
                since = max(since, int(item["sequence"]))
                if item["kind"] == "process-exit":
                    emit(_exited(item))
                if item["kind"] == "lease-ran-out":
                    stop.stop("error", "the lab undid expired leases: this machine or the run was suspended")

    async def _follow_state(self, emit: Emit) -> None:
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
            emit(event(PlatformState(**_shown(state)), SOURCE))

    async def renew_leases(self, faults: Sequence[str]) -> None:
        with contextlib.suppress(LabError):
            await self.client.ask(Calls.renew_leases(faults))

    async def settings(self, what: str) -> Mapping[str, Mapping[str, Any]]:
        found: Mapping[str, Mapping[str, Any]] = await self._ask(Calls.get(f"/v1/{what}"))
        return found

    async def log_xid(self, node: str, gpu: int, xid: int) -> None:
        # The emulation reports a change only, so what a former line left is taken away first.
        await self._ask(Calls.change_gpu(node, gpu, {"xid": None}))
        await asyncio.sleep(XID_SETTLES_S)
        await self._ask(Calls.change_gpu(node, gpu, {"xid": xid}))

    def logs(self) -> dict[str, Path]:
        folder = Path(self.lab.folder)
        found = {path.stem: path for path in (folder / "logs").glob("*.log") if path.stem != "fabric"}
        found |= {f"{path.parent.name}/kernel": path for path in folder.glob("nodes/*/kmsg")}
        at = {str(one["name"]): one.get("node") for one in self.state["replicas"]}
        for path in folder.glob("nodes/*/replicas/*.log"):
            if path.stem not in found or path.parent.parent.name == at.get(path.stem):
                found[path.stem] = path
        return found

    def prompts(self, stream: Stream, models: Sequence[Model]) -> tuple[Prompt, ...]:
        """Golden ones: together they read every weight of a model, and every model's right answer to each is known."""
        return tuple(
            Prompt(
                text,
                stream.max_tokens,
                {one.name: expected_answer(one.seed, MODEL_SIZE, text, stream.max_tokens) for one in models},
            )
            for text in covering_prompts(stream.prompt_tokens, models[0].seed)
        )

    def traffic(self, plan: LoadPlan, warm_up_s: float) -> LoadPlan:
        return plan

    async def close(self) -> None:
        if self._kept:
            with contextlib.suppress(LabError):
                await self.client.remedy("rebalance", {})
        await self.client.aclose()

    async def end(self) -> list[str]:
        return [] if self._kept else await asyncio.to_thread(down_lab, self.lab)


def check_gateways(
    shed: Mapping[str, Mapping[str, float]],
    weights: Mapping[str, Mapping[str, float]],
    caps: Mapping[str, Mapping[str, float | None]],
) -> Finding:
    """Nothing is shed, capped or weighted."""
    left = [
        *(f"{share:.0%} of {tier} shed at {at}" for at, by in shed.items() for tier, share in by.items() if share),
        *(f"{node} weighs {w:g} at {at}" for at, by in weights.items() for node, w in by.items() if w != 1.0),
        *(f"{tier} kept to {cap:g} at {at}" for at, by in caps.items() for tier, cap in by.items() if cap is not None),
    ]
    seen = f"left from before: {', '.join(left)}; use a new lab"
    return Finding("gateways", not left, seen if left else "nothing shed, capped or weighted")


def _exited(item: Mapping[str, Any]) -> Event:
    return event(
        ProcessExited(
            name=str(item.get("name") or item.get("process")),
            exit_code=item.get("exit_code"),
            expected=bool(item.get("expected")),
        ),
        SOURCE,
        at=float(item["at"]),
    )


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
