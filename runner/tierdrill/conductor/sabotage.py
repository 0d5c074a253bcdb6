"""Cutting a safety net for one run: what is taken away or broken, with an undo on the ledger."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tierdrill.conductor.plan import Plan
from tierdrill.conductor.recorder import Recorder, in_thread
from tierdrill.conductor.run_start import RunRefused
from tierdrill.documents.catalogue import DrillSetting
from tierdrill.documents.models.drill import Sabotage, SabotageAction
from tierdrill.documents.models.playbook import Playbook
from tierdrill.documents.variables import resolve_drill
from tierdrill.history.events import Emit
from tierdrill.history.kinds.response_kinds import AlertSilenced
from tierdrill.history.kinds.run_kinds import RunNote
from tierdrill.injection.injector import Injector, NotInjected
from tierdrill.monitoring.pagerduty import PagerStub
from tierdrill.targets.base import SABOTAGE, FaultOrder, Mechanism, RemedyPort, Session, TargetError
from tierdrill.targets.broken_remedies import BrokenRemedies
from tierdrill.targets.target_registry import open_place

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


def cut_automation(sabotage: Sabotage | None) -> tuple[set[str], dict[str, str]]:
    """The playbooks that must not run, and those that act on a wrong target."""
    action = sabotage.do if sabotage is not None else SabotageAction()
    disabled = {action.disable_playbook} if action.disable_playbook else set()
    wrong = {action.retarget_playbook: action.to or ""} if action.retarget_playbook else {}
    return disabled, wrong


def own_comment(plan: Plan) -> str:
    """The comment of the silence that this run creates."""
    return f"sabotage {plan.sabotage.name if plan.sabotage else ''} of run {plan.run}"


async def apply_sabotage(plan: Plan, session: Session, recorder: Recorder, pager: PagerStub, home: Path) -> None:
    """Cut what a run's sabotage cuts in the deployment itself; playbooks and remedies were when the engine was made.

    RunRefused where it is not seen to be cut.
    """
    sabotage = plan.sabotage
    if sabotage is None:
        return
    action = sabotage.do
    order = _order(plan, sabotage)
    if action.flags_off or action.silence_alert or action.freeze_exporter or "opted_out" in order.parameters:

        def work(emit: Emit) -> None:
            # What is taken away has an undo on the ledger like any fault: a kept lab must get it back in any case.
            injector = Injector(home, plan.run, session.place, "runner", emit)
            injector.carry_out(order, open_place(session.place), undo="clean-up")

        try:
            await in_thread(work, recorder.take)
        except (NotInjected, TargetError) as error:
            raise RunRefused(str(error)) from error
    if action.silence_alert:
        recorder.note(AlertSilenced(alert=action.silence_alert, by=sabotage.name), "runner")
    if action.pager_down:
        await pager.stop()
    recorder.note(RunNote(text=f"sabotage {sabotage.name}: {sabotage.why}"), "runner")


def _order(plan: Plan, sabotage: Sabotage) -> FaultOrder:
    action = sabotage.do
    return FaultOrder(
        fault=f"{plan.run}/{SABOTAGE}/{sabotage.name}",
        kind=SABOTAGE,
        target=sabotage.name,
        target_kind="service",
        mechanism=Mechanism("flags of the gateways, a silence in Alertmanager, an exporter that repeats its metrics"),
        parameters={
            "flags_off": list(action.flags_off),
            "silenced": action.silence_alert,
            "silenced_s": plan.load_s + SILENCE_MARGIN_S,
            "comment": own_comment(plan) if action.silence_alert else "",
            "exporter": action.freeze_exporter,
            **opted_out(plan.setting, action.disable_playbook),
        },
        lease_s=plan.setting.environment.lease,
    )


def opted_out(setting: DrillSetting, disabled: str | None) -> dict[str, Any]:
    """The nodes on which an observed playbook must run, and the labels by which its tool leaves them alone."""
    playbook = next((one for one in setting.playbooks if one.metadata.name == disabled), None)
    if playbook is None or playbook.external is None or not playbook.observed:
        return {}
    wanted = resolve_drill(setting).drill.expect.playbooks.must_fire
    nodes = [one.target for one in wanted if one.playbook == disabled and one.target is not None]
    return {"opted_out": {"nodes": nodes, "labels": dict(playbook.external.opt_out)}}
