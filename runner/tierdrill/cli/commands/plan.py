"""`tierdrill plan`: what a drill would do, from the documents alone."""

from __future__ import annotations

import shutil
import textwrap
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from tierdrill.cli.completion import complete_drill, complete_variant
from tierdrill.cli.drill_documents import changed_setting, check_place, in_mode
from tierdrill.cli.folders import Surroundings
from tierdrill.cli.load_size import tier_loads
from tierdrill.cli.options import echo_json, environment_option, json_option, mode_option, set_option
from tierdrill.text import plural, table, visible

if TYPE_CHECKING:
    from tierdrill.conductor.plan import Plan
    from tierdrill.documents.catalogue import DrillSetting
    from tierdrill.targets.base import Preview


REFUSED = 1


@click.command("plan")
@click.argument("drill", shell_complete=complete_drill)
@click.option(
    "--variant", default="drill", show_default=True, shell_complete=complete_variant,
    help='"drill", "blip" or "sabotage:NAME".',
)
@set_option
@environment_option()
@mode_option
@json_option
@click.pass_obj
def command(
    here: Surroundings,
    drill: str,
    variant: str,
    sets: tuple[str, ...],
    environment: str | None,
    mode: str | None,
    as_json: bool,
) -> int:
    """Show what a DRILL would do: faults, targets, mechanisms, phases, deadlines, load, blast radius.

    Also shows what its load can detect: how likely each objective passes, and the shortest total outage that fails it.
    Nothing is changed, and no lab needs to be up. A cluster is asked what the drill would hit there, and what keeps it
    from being run: exit code 1 if something does.
    """
    from tierdrill.conductor.plan import make_plan, preview_of
    from tierdrill.targets.target_registry import mechanisms_of

    if variant not in ("drill", "blip") and not variant.startswith("sabotage:"):
        raise click.UsageError(f"--variant: got {variant!r}, expected drill, blip or sabotage:NAME")
    setting = in_mode(changed_setting(here.catalogue, drill, sets, (), environment), mode)
    plan = make_plan(setting, f"{drill}-planned", variant, mechanisms_of(setting.environment))
    preview = preview_of(plan)
    missing = _missing_here(here, setting)
    if as_json:
        document = {**_document(plan), **({"missing_here": missing} if missing else {})}
        echo_json({**document, **({"preview": asdict(preview)} if preview is not None else {})})
    else:
        width = shutil.get_terminal_size().columns
        now = _preview_lines(preview) if preview is not None else []
        now += ["", f"cannot be run here: {missing}"] if missing else []
        for line in [*_lines(plan), *now, "", "Nothing was changed."]:
            deeper = " " * (len(line) - len(line.lstrip()) + 2)
            folded = textwrap.wrap(line, max(width, 40), subsequent_indent=deeper, break_on_hyphens=False)
            # A table keeps its columns, also where it is wider than the terminal.
            click.echo(line if "\n" in line else "\n".join(folded))
    return REFUSED if preview is not None and (preview.refusals or preview.missing) else 0


def _missing_here(here: Surroundings, setting: DrillSetting) -> str:
    """What this machine lacks for the lab of the drill's environment; "" where nothing, or where that is no lab."""
    from tierdrill.targets.base import TargetError

    try:
        if setting.environment.target == "lab":
            check_place(here, [setting])
    except TargetError as error:
        return str(error)
    return ""


def _document(plan: Plan) -> dict[str, Any]:
    from tierdrill.conductor.plan import describe_faults

    setting = plan.setting
    return {
        "drill": setting.drill.metadata.name,
        "variant": plan.variant,
        "title": setting.drill.metadata.title,
        "environment": {"name": setting.environment.metadata.name, "target": setting.environment.target},
        "experiment": setting.drill.experiment,
        "variables": plan.variables,
        "phases": [{"phase": phase.name, "seconds": phase.seconds} for phase in plan.phases],
        "seconds": sum(phase.seconds for phase in plan.phases),
        "faults": [
            {
                "activity": fault.activity,
                "kind": fault.kind,
                "target": fault.target,
                "target_kind": fault.target_kind,
                "parameters": fault.parameters,
                "mechanism": fault.mechanism.text,
                "cause": cause,
            }
            for fault, cause in describe_faults(plan)
        ],
        "lease": setting.environment.lease,
        "blast_radius": setting.environment.blast_radius.model_dump(mode="json"),
        "protected": list(setting.environment.protected),
        "load": [{**asdict(load), "notices_s": load.notices_s} for load in tier_loads(plan)],
        "deadlines": [{"what": deadline.what, "within": deadline.within_s} for deadline in plan.deadlines],
        "guardrails": [guardrail.model_dump(mode="json") for guardrail in setting.drill.guardrails],
        "sabotage": plan.sabotage.model_dump(mode="json", exclude_none=True) if plan.sabotage else None,
        "must_not": {
            "alerts": [alert.alert for alert in setting.drill.expect.alerts.must_not_fire],
            "playbooks": list(setting.drill.expect.playbooks.must_not_fire),
        },
    }


def _lines(plan: Plan) -> list[str]:
    from tierdrill.documents.models.units import show_duration as seconds

    document = _document(plan)
    setting = plan.setting
    lines = [
        f"{document['drill']} ({document['variant']}): {visible(document['title'])}",
        f"in environment {document['environment']['name']} ({document['environment']['target']}), "
        f"experiment {document['experiment']}, {seconds(document['seconds'])} in all",
    ]
    if plan.sabotage is not None:
        taken = ", ".join(
            f"{key} {_words(value)}" for key, value in plan.sabotage.do.model_dump(exclude_unset=True).items() if value
        )
        lines += ["", f"sabotage: {taken} ({visible(plan.sabotage.why)})"]
        lines += [f"  must fail: {', '.join(plan.sabotage.fails)}"]
    lines += ["", "phases"]
    begin = 0.0
    for phase in plan.phases:
        lines.append(f"  {phase.name:<10} {begin:>6.1f} s to {begin + phase.seconds:>6.1f} s")
        begin += phase.seconds
    lines += ["", "faults"]
    for fault in document["faults"]:
        lines += [
            f"  {fault['kind']} on {fault['target_kind']} {fault['target']} (activity {fault['activity']})",
            f"    stands for: {fault['cause']}",
            f"    mechanism here: {fault['mechanism']}",
        ]
    lines.append(f"  each under a lease of {seconds(setting.environment.lease)}, undone by the reaper when it expires")
    touched = Counter(fault["target_kind"] for fault in document["faults"])
    allowed = ", ".join(plural(count, kind.removesuffix("s")) for kind, count in document["blast_radius"].items())
    protected = ", ".join(setting.environment.protected) or "nothing named"
    lines += ["", f"blast radius: {', '.join(plural(count, kind) for kind, count in touched.items()) or 'not known'}"]
    lines += [f"  blast radius limit: {allowed}", f"  protected: {protected}"]
    lines += ["", "load"]
    rows = [
        (
            row["tier"],
            f"{row['rate']:g}/s",
            str(row["sent"]),
            str(row["judged"]),
            str(row["needed"]) if row["needed"] is not None else "-",
            row["hardest"],
        )
        for row in document["load"]
    ]
    lines.append(table(rows, ("tier", "rate", "requests", "judged", "needed", "for its hardest promise"), "  "))
    lines += _power_lines(document["load"])
    for guardrail in document["guardrails"]:
        lines.append(
            f"guardrail: abort when {guardrail['tier']} availability is below {guardrail['availability_below']:.0%} "
            f"for {seconds(guardrail['window'])}"
        )
    lines += ["", "must happen, counted from the observed effect of the fault"]
    lines += [f"  within {seconds(one['within']):>6}  {one['what']}" for one in document["deadlines"]] or ["  nothing"]
    must_not = [*document["must_not"]["alerts"], *document["must_not"]["playbooks"]]
    lines += [f"must not happen: {', '.join(must_not) or 'nothing named'}"]
    return lines


def _preview_lines(preview: Preview) -> list[str]:
    lines = ["", f"in the cluster now: {preview.place}", "  names"]
    lines.append(table([(alias, real) for alias, real in preview.names.items()], indent="    "))
    for target, words in preview.falls.items():
        lines.append(f"  with {target}: {'; '.join(words) or 'nothing else'}")
    lines += [f"  not allowed to {one} (`tierdrill kubernetes rbac` prints the roles)" for one in preview.missing]
    lines += [f"  REFUSED: {one}" for one in preview.refusals]
    return [*lines, *(f"  note: {one}" for one in preview.remarks)]


def _power_lines(loads: list[dict[str, Any]]) -> list[str]:
    """How likely each promise passes, and which outage it notices."""
    from tierdrill.documents.models.units import show_ratio

    every = [power for load in loads for power in load["power"]]
    if not every:
        return []
    rows = [
        (
            power["tier"],
            power["promise"],
            "none" if power["bad_passes"] is None else f"{power['bad_passes']} of {power['requests']}",
            *(f"{chance:.0%}" for chance in power["passes"]),
            "-"
            if power["passes_typical"] is None
            else f"{power['passes_typical']:.0%} ({show_ratio(power['typical'])} bad)",
            "-" if power["notices_s"] is None else f"{power['notices_s']:.1f} s",
        )
        for power in every
    ]
    heads = ("tier", "promise", "bad that pass", "at 1/10", "at 1/2", "at all", "as is typical", "notices")
    notices = ", ".join(f"{load['tier']} {load['notices_s']:.1f} s" for load in loads if load["notices_s"] is not None)
    return [
        "",
        "chance to pass at 1/10, 1/2 or all of the allowed bad requests; shortest outage detected",
        table(rows, heads, "  "),
        f"notices: {notices or 'no outage'}",
    ]


def _words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
