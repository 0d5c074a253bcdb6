"""Cutting a safety net for one run: what is taken away or broken, with an undo on the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from tierdrill.conductor.plan import Plan
from tierdrill.documents.models.drill import Sabotage, SabotageAction
from tierdrill.documents.models.playbook import Playbook
from tierdrill.history.ledger import Ledger
from tierdrill.lab.calls import Calls
from tierdrill.lab.client import LabClient
from tierdrill.monitoring.query import Matcher
from tierdrill.targets.base import FaultOrder, Mechanism, RemedyPort
from tierdrill.targets.broken_remedies import BrokenRemedies
from tierdrill.targets.lab.fault_port import give_back_settings
from tierdrill.targets.lab.leases import hold
from tierdrill.targets.lab.session import LabSession

if TYPE_CHECKING:
    from tierdrill.conductor.deployment import Deployment

SILENCE_MARGIN_S = 30.0


def broken_remedy(sabotage: SabotageAction, port: RemedyPort) -> BrokenRemedies | None:
    """The deployment with a remedy that is broken; None if this sabotage breaks none."""
    if sabotage.break_remedy is None or sabotage.how is None:
        return None
    return BrokenRemedies(port, sabotage.break_remedy, sabotage.how, to=sabotage.to or "", late_by=sabotage.late_by)


def believing(playbooks: Sequence[Playbook], sabotage: SabotageAction) -> tuple[Playbook, ...]:
    """The playbooks without their own look at the broken remedy: its word is taken."""

    def trusting(playbook: Playbook) -> Playbook:
        steps = tuple(
            step.model_copy(update={"verify": None}) if step.do == sabotage.break_remedy else step
            for step in playbook.steps
        )
        return playbook.model_copy(update={"steps": steps})

    return tuple(map(trusting, playbooks))


def own_comment(plan: Plan) -> str:
    """The comment of the silence that this run creates."""
    return f"sabotage {plan.sabotage.name if plan.sabotage else ''} of run {plan.run}"


async def apply_sabotage(deployment: Deployment, sabotage: Sabotage, ledger: Ledger) -> None:
    """Cut what is cut in the deployment itself; playbooks and remedies were when the engine was made."""
    plan, recorder, action, session = deployment.plan, deployment.recorder, sabotage.do, deployment.session
    assert isinstance(session, LabSession)
    comment = own_comment(plan)
    flags: dict[str, dict[str, bool]] = {}
    if action.flags_off:
        before = await session.settings("flags")
        flags = {gateway: {flag: bool(has[flag]) for flag in action.flags_off} for gateway, has in before.items()}
    parameters: dict[str, Any] = {"flags": flags, "comment": comment if action.silence_alert else ""}
    if action.freeze_exporter is not None:
        parameters["exporter"] = action.freeze_exporter
    # What is taken away has an undo on the ledger like any fault: a kept lab must get it back in any case.
    order = FaultOrder(
        fault=f"{plan.run}/sabotage/{sabotage.name}",
        kind="sabotage",
        target=sabotage.name,
        target_kind="service",
        mechanism=Mechanism("flags of the gateways, a silence in Alertmanager, an exporter that repeats its metrics"),
        parameters=parameters,
        lease_s=plan.setting.environment.lease,
    )
    ledger.intend(order.fault, plan.run, order.plain(), session.place, order.lease_s)
    # The silence ends by itself.
    await asyncio.to_thread(hold, LabClient(session.lab), order, partial(give_back_settings, p=parameters))
    if action.silence_alert:
        matcher = Matcher("alertname", action.silence_alert)
        await deployment.alertmanager.silence([matcher], plan.load_s + SILENCE_MARGIN_S, "tierdrill", comment)
        recorder.note("alert.silenced", "runner", alert=action.silence_alert, by=sabotage.name)
    if action.flags_off:
        await session.client.ask(Calls.to_gateways("flags", dict.fromkeys(action.flags_off, False), None))
    if action.freeze_exporter is not None:
        await session.client.ask(Calls.set_exporter(action.freeze_exporter, True, frozen=True))
    if action.pager_down:
        await deployment.pager.stop()
    ledger.mark(order.fault, "landed")
    recorder.note("run.note", "runner", text=f"sabotage {sabotage.name}: {sabotage.why}")
