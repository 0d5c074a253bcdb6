"""Tab completion of scenarios: their code names, read from the first lines of the documents."""

from __future__ import annotations

import re
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from tierdrill.cli.folders import find_catalogue

_SCENARIO = re.compile(r"^kind:\s*Scenario\s*$", re.MULTILINE)
_NAME = re.compile(r"^metadata:[^\n]*\n(?:\s+[^\n]*\n)*?\s+name:\s*[\"']?([a-z0-9-]+)", re.MULTILINE)
_LEVEL = re.compile(r"^level:\s*(\S+)\s*$", re.MULTILINE)


def complete_scenario(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Scenarios that begin so, with their level."""
    named = ctx.find_root().params.get("catalogue")
    items = []
    for path in sorted(find_catalogue(Path(named) if named else None).glob("drills/**/*.y*ml")):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if _SCENARIO.search(text) and (name := _NAME.search(text)) and name[1].startswith(incomplete):
            level = _LEVEL.search(text)
            items.append(CompletionItem(name[1], help=level[1] if level else ""))
    return items
