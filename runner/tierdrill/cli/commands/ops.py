"""`tierdrill ops`: the trainee's tools in an exercise: pager, looking, remedies, thinking.

Only click and the standard library are imported: somebody on call must not wait for a tool.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from tierdrill.cli.folders import Surroundings, find_home
from tierdrill.training.protocol import NoExercise, ask

if TYPE_CHECKING:
    from tierdrill.remedies.remedy import RemedyKind
    from tierdrill.web.tools_and_transcripts import Tool, ToolField

REMEDIES = "Remedies (--override ROLE --reason TEXT overrides a tier rule)"


class OpsGroup(click.Group):
    """Lists its commands by what they are for, in the order in which somebody on call needs them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sections: dict[str, list[str]] = {}
        self.questions: dict[str, str] = {}

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.commands:
            _add_remedies()
        return super().get_command(ctx, cmd_name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        _add_remedies()
        return [name for names in self.sections.values() for name in names]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _add_remedies()
        for title, names in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(100)) for name in names])


@click.group("ops", cls=OpsGroup)
@click.option("--exercise", metavar="NAME", help="Name of the exercise, if several are in progress.")
@click.pass_context
def command(ctx: click.Context, exercise: str | None) -> None:
    """Work on call in the exercise in progress: pager, status, remedies, hypotheses.

    Exit code 0 done, 1 refused or failed, 2 bad input. Every command has --json.
    """
    ctx.meta["tierdrill.exercise"] = exercise


def _complete(kind: str) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        named = ctx.find_root().params.get("home")
        wanted = {"kind": kind, "playbook": ctx.params.get("playbook")}
        try:
            known = ask(find_home(named), "complete", wanted)["data"]
        except NoExercise:
            return []
        return [CompletionItem(name) for name in known or [] if name.startswith(incomplete)]

    return complete


def _send(ctx: click.Context, do: str, as_json: bool, said: dict[str, Any]) -> int:
    here: Surroundings = ctx.obj
    said = {key: value for key, value in said.items() if value is not None}
    found = ask(here.home, do, said, exercise=ctx.meta.get("tierdrill.exercise"))
    if as_json:
        click.echo(json.dumps(found, sort_keys=True, ensure_ascii=False))
    else:
        click.echo(found["text"], err=not found["ok"])
    return int(found["code"])


_section = ""


def _begin(title: str) -> None:
    global _section
    _section = title


def _add(name: str, text: str, *params: click.Parameter, do: str | None = None) -> None:
    """One subcommand of the section begun last: its arguments go to the exercise under their names."""

    @click.pass_context
    def run(ctx: click.Context, /, as_json: bool, **said: Any) -> int:
        return _send(ctx, do or name, as_json, said)

    json_flag = click.Option(["--json", "as_json"], is_flag=True, help="Print JSON.")
    command.add_command(click.Command(name, callback=run, params=[*params, json_flag], help=text))
    command.sections.setdefault(_section, []).append(name)
    command.questions[name] = do or name


def _target(kind: str, metavar: str, *, required: bool = True, name: str = "target") -> click.Argument:
    return click.Argument([name], metavar=metavar, required=required, shell_complete=_complete(kind))


def _remedy_options() -> list[click.Parameter]:
    return [
        click.Option(["--override"], metavar="ROLE", shell_complete=_complete("role"),
                     help="Role that overrides a tier rule (rights.override of the tier)."),
        click.Option(["--reason"], metavar="TEXT", help="Reason, recorded with it."),
        click.Option(["--wait"], is_flag=True, help="Wait until it has finished."),
    ]  # fmt: skip


def _remedy(name: str, text: str, *params: click.Parameter, do: str | None = None) -> None:
    _add(name, text, *params, *_remedy_options(), do=do)


@cache
def _add_remedies() -> None:
    """The commands that are remedies, which take a moment to read."""
    from tierdrill.remedies.known_remedies import COMMANDS
    from tierdrill.remedies.remedy import TARGETS

    here = command.sections[REMEDIES]
    others = here.copy()
    here.clear()
    _begin(REMEDIES)
    for name, kinds in COMMANDS.items():
        forms = [one.target for one in kinds if one.target]
        where = [_target("|".join(forms), "|".join(TARGETS[one].usage for one in forms))] if forms else []
        text = "; or ".join([kinds[0].help[:-1], *(one.help[0].lower() + one.help[1:-1] for one in kinds[1:])])
        _remedy(name, f"{text}.", *where, *_settings(kinds[0]))
    here += others


def _settings(kind: RemedyKind) -> list[click.Parameter]:
    """What else a remedy is told; lists of names nobody types."""
    from tierdrill.remedies.facts import YES_OR_NO

    return [
        click.Argument([one.name], metavar=None if one.kind == YES_OR_NO else one.name.upper(),
                       type=click.Choice(["on", "off"]) if one.kind == YES_OR_NO else None)
        if one.required
        else click.Option([f"--{one.name}"], metavar="NAME", shell_complete=_complete(one.kind), help="Gateway.")
        for one in kind.settings_arguments
        if not one.many
    ]  # fmt: skip


_begin("Your pager")
_all = click.Option(["--all"], is_flag=True, help="Include resolved pages.")
_add("status", "The exercise: its time, brief and your open pages.")
_add("pages", "Open pages, the most important tier first.", _all)
_add("ack", "Acknowledge a PAGE, so that it does not escalate.", _target("page", "PAGE", name="page"), do="acknowledge")
_add("escalate", "Escalate a PAGE to the next level now.", _target("page", "PAGE", name="page"))
_add("resolve", "Resolve a PAGE.", _target("page", "PAGE", name="page"))
_add("messages", "Messages to you.")

_begin("Status")
_add("tiers", "Every tier: objectives, replicas, rate, latency, shedding.")
_add("replicas", "Every replica: place, state, restarts.")
_add("nodes", "Every node: ready, cordoned, replicas.")
_add("gpus", "Every GPU: state, last XID, temperature, clock, load.")
_add("links", "Every path from a gateway to a node: probe results and latency.")
_add("gateways", "Every gateway: endpoint picker, responses, disabled flags.")
_add("alerts", "Firing alerts.", click.Option(["--full"], is_flag=True, help="Include each alert's description."))
_add(
    "logs", "Last lines of a log: a program, a replica, or NODE/kernel.", _target("log", "WHAT", name="what"),
    click.Option(
        ["-n", "--lines"], type=click.IntRange(1, 500), default=20, show_default=True, help="Show at most this many."
    ),
)  # fmt: skip
_add("query", "Run a Prometheus query.", click.Argument(["promql"], metavar="PROMQL"))
_add("playbooks", "Every playbook and what it applies to now.")
_add("actions", "Your actions and their results.")

_begin(REMEDIES)
_remedy(
    "shift-traffic", "Shift traffic away from a node, or from one gateway's path to it.",
    _target("link", "[GATEWAY>]NODE"),
    click.Option(["--weight"], default="0", show_default=True, help="Weight to set."), do="set-weight",
)  # fmt: skip
_remedy(
    "rollback", "Undo one of your actions (default: the last one).",
    _target("action", "[NUMBER]", required=False, name="action"),
)  # fmt: skip
_remedy(
    "playbook", "Run a playbook, with its guards and checks.",
    _target("playbook", "NAME", name="playbook"),
    _target("fits", "[TARGET]", required=False),
)  # fmt: skip

_begin("Hypotheses and updates")
_add("causes", "List the causes a hypothesis can name.")
_add(
    "hypothesis", "State a hypothesis about the cause.", click.Argument(["cause"], metavar="CAUSE"),
    click.Option(["--about"], metavar="WHAT", help="Page or component it is about, if there are several."),
)  # fmt: skip
_add("update", "Send a status update.", click.Argument(["text"], metavar="TEXT"))
_add("hint", "Get a hint; each costs points.")
_add("done", "End your shift, if the incident is over.")
_add("give-up", "End the exercise here.")


def tools() -> dict[str, list[Tool]]:
    """The commands by section, as forms: what each asks of the exercise, and what it is told."""
    from tierdrill.web.tools_and_transcripts import Tool

    _add_remedies()
    return {
        title: [
            Tool(name, command.questions[name], command.commands[name].help or "", tuple(_fields(name)))
            for name in names
        ]
        for title, names in command.sections.items()
    }


def _fields(name: str) -> Iterator[ToolField]:
    from tierdrill.web.tools_and_transcripts import ToolField

    for param in command.commands[name].params:
        # A page waits for nothing, and shows no JSON.
        if param.name is None or param.name in ("as_json", "wait"):
            continue
        choices = tuple(map(str, param.type.choices)) if isinstance(param.type, click.Choice) else ()
        help_text = getattr(param, "help", None)
        label = str(help_text or param.metavar or param.name).rstrip(".")
        flag = bool(getattr(param, "is_flag", False))
        value = str(param.default) if isinstance(param.default, str | int) and not flag else ""
        yield ToolField(param.name, label, param.required, choices, flag, value)
