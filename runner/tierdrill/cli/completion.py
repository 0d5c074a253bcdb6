"""Tab completion of names: drills, runs, tiers, channels, entries. Quick and quiet: what is broken gives nothing.

Documents are only scanned for their first lines; parsing them all would be felt at every press of the key.
"""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from tierdrill.cli.folders import find_catalogue, find_home
from tierdrill.documents.models.protections import FLAGS

_DRILL = re.compile(r"^kind:\s*Drill\s*$", re.MULTILINE)
_ENVIRONMENT = re.compile(r"^kind:\s*Environment\s*$", re.MULTILINE)
_TIERS = re.compile(r"^kind:\s*Tiers\s*$", re.MULTILINE)
_CALENDAR = re.compile(r"^kind:\s*Calendar\s*$", re.MULTILINE)
_GAMEDAY = re.compile(r"^kind:\s*GameDay\s*$", re.MULTILINE)
_PLAYBOOK = re.compile(r"^kind:\s*Playbook\s*$", re.MULTILINE)
_SECTION = r"^{name}:[^\n]*\n(?:(?:[ -][^\n]*)?\n)*"
_ITEM = re.compile(r"^( *)- *\{? *name:\s*[\"']?([a-z0-9-]+)", re.MULTILINE)
_NAME = re.compile(r"^metadata:[^\n]*\n(?:\s+[^\n]*\n)*?\s+name:\s*[\"']?([a-z0-9-]+)", re.MULTILINE)
_SABOTAGE = re.compile(r"^sabotages:.*\Z", re.MULTILINE | re.DOTALL)
_SABOTAGE_NAME = re.compile(r"^\s*-\s*\{?\s*name:\s*[\"']?([a-z0-9-]+)", re.MULTILINE)


def _option(ctx: click.Context, name: str) -> Path | None:
    value = ctx.find_root().params.get(name)
    return Path(value) if value else None


def _documents(ctx: click.Context, kind: re.Pattern[str], folder: str = "drills") -> list[str]:
    """The files in a folder of the catalogue that have a document of that kind, as text."""
    found = []
    paths = find_catalogue(_option(ctx, "catalogue")).glob(f"{folder}/**/*.y*ml")
    for path in sorted(paths, key=lambda path: path.with_suffix("")):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if kind.search(text):
            found.append(text)
    return found


def _drill_files(ctx: click.Context) -> dict[str, str]:
    return {name[1]: text for text in _documents(ctx, _DRILL) if (name := _NAME.search(text))}


def drill_names(ctx: click.Context) -> list[str]:
    return list(_drill_files(ctx))


def complete_drill(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in drill_names(ctx) if name.startswith(incomplete)]


def complete_environment(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    names = [name[1] for text in _documents(ctx, _ENVIRONMENT) if (name := _NAME.search(text))]
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def complete_calendar(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    names = [name[1] for text in _documents(ctx, _CALENDAR) if (name := _NAME.search(text))]
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def complete_sabotage(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Sabotages of the drill that is already on the line."""
    # While an option is completed, click has not yet given the words before it to their parameters.
    words = [str(ctx.params.get("drill") or ""), *ctx.args]
    text = next((text for name, text in _drill_files(ctx).items() if name in words), "")
    part = _SABOTAGE.search(text)
    names = _SABOTAGE_NAME.findall(part[0]) if part else []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def complete_part(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Protections of the gateways and playbooks that begin so."""
    playbooks = [name[1] for text in _documents(ctx, _PLAYBOOK, "playbooks") if (name := _NAME.search(text))]
    return [CompletionItem(name) for name in (*FLAGS, *playbooks) if name.startswith(incomplete)]


def _named_in(ctx: click.Context, kind: re.Pattern[str], section: str, incomplete: str) -> list[CompletionItem]:
    """The names in a list of a kind of document: those least indented, since its items have lists with names, too."""
    names: dict[str, None] = {}
    for text in _documents(ctx, kind):
        part = re.search(_SECTION.format(name=section), f"{text}\n", re.MULTILINE)
        found = _ITEM.findall(part[0]) if part else []
        outermost = min((len(indent) for indent, _ in found), default=0)
        names |= {name: None for indent, name in found if len(indent) == outermost}
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def complete_channel(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return _named_in(ctx, _CALENDAR, "channels", incomplete)


def complete_entry(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return _named_in(ctx, _CALENDAR, "entries", incomplete)


def complete_tier(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return _named_in(ctx, _TIERS, "tiers", incomplete)


def complete_run(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Runs in the history that begin so, newest first."""
    database = find_home(_option(ctx, "home")) / "history.db"
    if not database.is_file():
        return []
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=0.5)) as connection:
            rows = connection.execute("SELECT run, status FROM runs ORDER BY started_at DESC LIMIT 50").fetchall()
    except sqlite3.Error:
        return []
    return [CompletionItem(run, help=status or "running") for run, status in rows if run.startswith(incomplete)]


def complete_gameday_document(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Game days of the catalogue that begin so, and files."""
    names = [name[1] for text in _documents(ctx, _GAMEDAY) if (name := _NAME.search(text))]
    found = [CompletionItem(name) for name in names if name.startswith(incomplete)]
    return found or [CompletionItem(incomplete, type="file")]


def complete_gameday(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Game days that were held and begin so, newest first."""
    folder = find_home(_option(ctx, "home")) / "gamedays"
    try:
        found = [path for path in folder.iterdir() if path.name.startswith(incomplete) and path.is_dir()]
        found.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    except OSError:
        return []
    return [CompletionItem(path.name) for path in found[:50]]
