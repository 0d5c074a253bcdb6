"""The table of commands, and a click group that loads a command's module only when that command is called."""

from __future__ import annotations

import difflib
import importlib
from dataclasses import dataclass
from typing import Any

import click

from tierdrill.text import valid


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
        _entry("init", "Start a catalogue of your own."),
        _entry("list", "Show what the catalogue has, by kind.", "listing"),
        _entry("validate", "Find every problem in the documents, with its place."),
        _entry("schema", "Print the JSON Schema of a kind of document."),
        _entry("plan", "Show what a drill would do; nothing is touched."),
    ),
    "Run them": (
        _entry("run", "Run a drill and judge it."),
        _entry("prove", "Run a drill, its blip twin and every sabotage; print the matrix."),
        _entry("stop", "Ask a run to stop and clean up."),
        _entry("lab", "Keep an embedded lab up for hand use."),
    ),
    "Run them by themselves": (
        _entry("schedule", "Show and check when drills run by themselves."),
        _entry("scheduler", "Run the calendars' drills, each slot once, until told to end."),
        _entry("notify", "Try a channel of a calendar, and see what was told."),
        _entry("rollout", "Show at which stage each scheduled drill stands, or set it."),
    ),
    "Train people": (
        _entry("train", "Be on call in a lab where something will go wrong."),
        _entry("ops", "The trainee's tools: pager, looking, remedies, thinking."),
        _entry("facilitate", "The facilitator's terminal: what really happens, injects, hints."),
    ),
    "Drill people": (
        _entry("gameday", "Hold a game day: several drills in one sitting, with people."),
    ),
    "Look back": (
        _entry("judge", "Judge a run again from its history alone."),
        _entry("report", "Write a run's report again."),
        _entry("history", "Show or export what happened in a run, or list the runs."),
        _entry("trend", "Show how drills and tiers do over time, and what became worse."),
        _entry("export", "Export every run with its figures, as JSON lines or CSV."),
        _entry("prune", "Let the events and files of old runs go, and old game days."),
    ),
    "Stay safe": (
        _entry("status", "Show what runs, what is injected, what is halted or locked."),
        _entry("recover", "Undo what is still injected, end what was left behind."),
        _entry("halt", "The kill switch: stop every run and let none start.", "switch", "halt"),
        _entry("resume", "Lift the kill switch.", "switch", "resume"),
        _entry("doctor", "Show what this machine has and what each fault would use here."),
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

    if word in drill_names(ctx):
        return f"found {word!r}, which is a drill; allowed is: tierdrill run {word}"
    near = difflib.get_close_matches(word, ENTRIES, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return f"no command {word!r}; allowed: {', '.join(ENTRIES)}{hint}"
