"""A group whose first word may be left out: `train SCENARIO` is `train start SCENARIO`, beside `train forget NAME`."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from tierdrill.text import valid


class StartingGroup(click.Group):
    """`start` is the subcommand that is meant where the first word is no other's; `further` are loaded when called.

    `further` maps names to `module:attribute` below `tierdrill.cli.commands`.
    """

    def __init__(self, *args: Any, start: str, further: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._start, self._further = start, further

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *self._further})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = self._further.get(cmd_name)
        if place is None:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = place.partition(":")
        found: click.Command = getattr(importlib.import_module(f"tierdrill.cli.commands.{module}"), attribute)
        return takes_valid_text(found)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        known = {*self.commands, *self._further}
        asks_help = bool(args) and args[0] in ctx.help_option_names
        # Where the first word is being completed it may still become another subcommand's.
        completes_first = ctx.resilient_parsing and not args
        if not asks_help and not (args and args[0] in known) and not completes_first:
            args = [self._start, *args]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return ["[SCENARIO] [OPTIONS]"]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options of what is meant by default, then the other subcommands."""
        start = self.commands[self._start]
        records = [record for param in start.get_params(ctx) if (record := param.get_help_record(ctx)) is not None]
        with formatter.section("Options"):
            formatter.write_dl(records)
        if self._further:
            self.format_commands(ctx, formatter)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        start = self.commands[self._start]
        items = [] if incomplete.startswith("-") else super().shell_complete(ctx, incomplete)
        inner = click.Context(start, info_name=self._start, parent=ctx)
        arguments = [param for param in start.params if isinstance(param, click.Argument)]
        if incomplete.startswith("-"):
            return items + start.shell_complete(inner, incomplete)
        return items + (arguments[0].shell_complete(inner, incomplete) if arguments else [])


@dataclass(frozen=True)
class Entry:
    """A command in the table: where it is, and what the list of commands says of it."""

    name: str
    module: str
    attribute: str
    summary: str


def _entry(name: str, summary: str, module: str = "", attribute: str = "command") -> Entry:
    """A command in the module of its name, or in another."""
    return Entry(name, f"tierdrill.cli.commands.{module or name}", attribute, summary)


SECTIONS: dict[str, tuple[Entry, ...]] = {
    "Write drills": (
        _entry("init", "Create a catalogue."),
        _entry("list", "List the catalogue's documents by kind.", "listing"),
        _entry("validate", "Check the documents and show every problem."),
        _entry("schema", "Print the JSON Schema of a kind of document."),
        _entry("plan", "Show what a drill would do, without doing it."),
    ),
    "Govern tiers": (_entry("tiers", "Lint, test, compare, size and price tiers."),),
    "Run drills": (
        _entry("run", "Run a drill and judge it."),
        _entry("observe", "Judge a platform through somebody else's fault."),
        _entry("prove", "Run a drill, its blip twin and every sabotage."),
        _entry("stop", "Stop a run and wait for its clean-up."),
        _entry("lab", "Start, stop or inspect an embedded lab."),
        _entry("kubernetes", "Check a cluster, print the roles it needs."),
    ),
    "Schedule drills": (
        _entry("schedule", "Show and check when scheduled drills run."),
        _entry("scheduler", "Run scheduled drills until stopped."),
        _entry("notify", "Test a notification channel, show delivery history."),
        _entry("rollout", "Show or set the rollout stage of scheduled drills."),
    ),
    "Train people": (
        _entry("train", "Start an on-call exercise in a lab."),
        _entry("ops", "The trainee's tools: pager, status, remedies, hypotheses."),
        _entry("facilitate", "The facilitator's terminal: live state, injects, hints."),
    ),
    "Run game days": (_entry("gameday", "Run a game day: several drills in one session."),),
    "Results": (
        _entry("judge", "Judge a run again from its history."),
        _entry("report", "Write a run's report again."),
        _entry("history", "Show or export a run's events, or list runs."),
        _entry("trend", "Show results over time and regressions."),
        _entry("export", "Export every run with its figures, as JSON lines or CSV."),
        _entry("prune", "Delete old runs' events and files, and old game days."),
    ),
    "Dashboard": (
        _entry("web", "Serve the resilience dashboard, make tokens for it."),
        _entry("grafana", "Write dashboards for Grafana."),
    ),
    "Safety": (
        _entry("status", "Show active runs, injected faults, locks and labs."),
        _entry("recover", "Undo leftover faults and end leftover processes."),
        _entry("halt", "Kill switch: stop all runs and block new ones.", "switch", "halt"),
        _entry("resume", "Turn off the kill switch and allow runs again.", "switch", "resume"),
        _entry("audit", "Show, check or export who did what, when and why."),
        _entry("doctor", "Check this machine and show fault mechanisms."),
        _entry("version", "Print the version."),
    ),
}
ENTRIES = {entry.name: entry for section in SECTIONS.values() for entry in section}


class CommandTable(click.Group):
    """Lists the commands from the table alone and imports the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(ENTRIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = ENTRIES.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = getattr(importlib.import_module(entry.module), entry.attribute)
        command.short_help = entry.summary
        return takes_valid_text(command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in ENTRIES and not args[0].startswith("-"):
            raise click.UsageError(_no_such_command(ctx, args[0]), ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, section in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(entry.name, entry.summary) for entry in section])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        items: list[Any] = [
            CompletionItem(entry.name, help=entry.summary)
            for entry in ENTRIES.values()
            if entry.name.startswith(incomplete)
        ]
        return items + click.Command.shell_complete(self, ctx, incomplete)


class _Text(click.types.StringParamType):
    """A text from the command line or the environment: a byte in it that is not UTF-8 becomes U+FFFD."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return valid(super().convert(value, param, ctx))


def takes_valid_text(command: click.Command) -> click.Command:
    """Make a command and its subcommands take every text as a valid one; paths stay the bytes they are."""
    for param in command.params:
        if type(param.type) is click.types.StringParamType:
            param.type = _Text()
    if isinstance(command, click.Group):
        for further in command.commands.values():
            takes_valid_text(further)
    return command


def _no_such_command(ctx: click.Context, word: str) -> str:
    from tierdrill.cli.completion import drill_names
    from tierdrill.did_you_mean import did_you_mean, nearest

    if word in drill_names(ctx):
        return f"no command {word!r}; it is a drill: tierdrill run {word}"
    hint = did_you_mean(nearest(word, ENTRIES))
    return f"no command {word!r}, expected one of: {', '.join(ENTRIES)}{hint}"
