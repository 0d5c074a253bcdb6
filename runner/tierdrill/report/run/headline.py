"""The three questions a reader has first, answered in a few short lines: what broke, did the tiers hold, what fired."""

from dataclasses import dataclass

from tierdrill.documents.catalogue import DrillSetting
from tierdrill.documents.models.drill import Sabotage
from tierdrill.documents.variables import find_sabotage
from tierdrill.judge.proof import names
from tierdrill.judge.verdict import HARMLESS, Check, Status, Verdict
from tierdrill.report.charts.deployment_lanes import checks_of, worst
from tierdrill.report.format import (
    aspect_words,
    fault_words,
    held_words,
    show_limit,
    show_offset,
    show_seconds,
    show_seen,
    variant_words,
)
from tierdrill.report.run.touched_targets import BlastView
from tierdrill.report.run_model import RunState
from tierdrill.text import plural

NO_BREAK = "\u00a0"


@dataclass(frozen=True)
class Answer:
    """One line: a status where there is one, the words, and a second line of detail."""

    text: str
    detail: str = ""
    status: Status | None = None


@dataclass(frozen=True)
class Answers:
    """What the head of the report and of the summary say."""

    broke: tuple[Answer, ...]
    held: tuple[Answer, ...]
    fired: tuple[Answer, ...]
    meant: str


def answers(setting: DrillSetting, state: RunState, verdict: Verdict, blast: BlastView) -> Answers:
    """All three, and what this variant of the drill is meant to show."""
    return Answers(
        broke=_broke(state, blast),
        held=tuple(_held(tier.name, checks_of(verdict, f"slo/{tier.name}/")) for tier in setting.tiers.by_rank()),
        fired=_fired(setting, state, verdict),
        meant=meaning(setting, verdict),
    )


def sabotage_of(setting: DrillSetting, variant: str) -> Sabotage | None:
    return find_sabotage(setting, variant.partition(":")[2])


def meaning(setting: DrillSetting, verdict: Verdict) -> str:
    """Why a run that is not the plain drill was made, and what it should come to."""
    if verdict.variant == "blip":
        length = f" for {show_seconds(setting.drill.blip.fault)}" if setting.drill.blip else ""
        return f"Blip twin: the same fault{length}. Nothing may fire."
    sabotage = sabotage_of(setting, verdict.variant)
    if sabotage is None:
        return variant_words(verdict.variant).capitalize() if verdict.variant.startswith("sabotage") else ""
    failed = [check.id for check in verdict.checks if check.status is Status.FAILED]
    lacking = [pattern for pattern in sabotage.fails if not any(names(pattern, check) for check in failed)]
    why = f"{sabotage.why[:1].upper()}{sabotage.why[1:].rstrip('.')}. " if sabotage.why else ""
    ending = f"it did not, for {', '.join(lacking)}" if lacking else "it did"
    return f"{why}This run had to fail for {', '.join(sabotage.fails)}: {ending}."


def _broke(state: RunState, blast: BlastView) -> tuple[Answer, ...]:
    lines = []
    for fault in state.faults.values():
        text = f"{fault_words(fault.kind) or fault.id} on {fault.target}"
        if fault.effective_at is None:
            lines.append(Answer(text, fault.trouble or "not seen to land", Status.INCONCLUSIVE))
        elif fault.gone_at is None:
            lines.append(Answer(text, fault.trouble or "not seen to be gone", Status.UNCLEAN))
        else:
            seconds = show_seconds(fault.gone_at - fault.effective_at)
            lines.append(
                Answer(text, f"in effect for {seconds}, then seen gone; witness {fault.landed_by or 'unknown'}")
            )
    if not lines:
        lines.append(Answer("Nothing", "no fault was injected", Status.INCONCLUSIVE))
    if blast.carried:
        lines.append(Answer(f"{plural(len(blast.carried), 'replica')} went with it", ", ".join(blast.carried)))
    return tuple(lines)


def headline(checks: list[Check]) -> list[Check]:
    """The two objectives people ask about first: any not held, then the good share and the highest latency quantile."""
    wrong = [check for check in checks if check.status not in HARMLESS]
    shares = [check for check in checks if check.id.endswith(("/availability", "/error_ceiling"))][:1]
    latencies = [check for check in checks if "/latency-p" in check.id][-1:]
    return list(dict.fromkeys([*wrong, *shares, *latencies]))[:2]


def _held(tier: str, checks: list[Check]) -> Answer:
    if not checks:
        return Answer(tier, "not judged in this drill")
    text = f"{tier}: {held_words(checks)}"
    shown = [
        f"{aspect_words(check)} {show_seen(check)} ({show_limit(check).replace(' ', NO_BREAK)})"
        for check in headline(checks)
    ]
    return Answer(text, "; ".join(shown), worst(checks))


def _fired(setting: DrillSetting, state: RunState, verdict: Verdict) -> tuple[Answer, ...]:
    lines = []
    must_fire = [wanted.alert for wanted in setting.drill.expect.alerts.must_fire]
    fired = [view.alert for view in state.alerts.values() if view.firing_at is not None]
    forbidden = {wanted.alert for wanted in setting.drill.expect.alerts.must_not_fire}
    for name in dict.fromkeys([*must_fire, *(name for name in fired if name in forbidden)]):
        views = state.alerts_named(name)
        at = min((view.firing_at for view in views if view.firing_at is not None), default=None)
        words = "never fired" if at is None else f"fired {show_offset(at - state.zero)}"
        lines.append(Answer(f"alert {name}", words, worst(checks_of(verdict, f"alert/{name}/"))))
    others = sorted(set(fired) - set(must_fire) - forbidden)
    if others:
        lines.append(Answer(plural(len(others), "other alert"), ", ".join(others)))
    must_run = [wanted.playbook for wanted in setting.drill.expect.playbooks.must_fire]
    ran = [view.playbook for view in state.playbooks]
    for name in dict.fromkeys([*must_run, *ran]):
        acts = [view for view in state.playbooks if view.playbook == name and view.phase == "act"]
        done = next((view.finished_at for view in acts if view.ok and view.finished_at is not None), None)
        if done is not None:
            words = f"{show_offset(acts[0].started_at - state.zero)}, done {show_offset(done - state.zero)}"
        else:
            words = "ran without success" if acts else "never ran"
        lines.append(Answer(f"playbook {name}", words, worst(checks_of(verdict, f"playbook/{name}/"))))
    pages = [page for page in state.pages if page.action not in ("acknowledge", "resolve")]
    if pages:
        lines.append(Answer(plural(len(pages), "page"), ", ".join(dict.fromkeys(page.contact for page in pages))))
    if not lines:
        lines.append(Answer("Nothing fired", "and nothing had to"))
    return tuple(lines)
