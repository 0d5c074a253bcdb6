"""A group whose first word may be left out: `train SCENARIO` is `train start SCENARIO`, beside `train forget NAME`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

from tierdrill.cli.command_table import takes_valid_text


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
