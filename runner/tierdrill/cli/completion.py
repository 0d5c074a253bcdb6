"""Tab completion of names: drills, runs, tiers, channels, entries. Quick and quiet: what is broken gives nothing.

Documents are only scanned for their first lines; parsing them all would be felt at every press of the key.
"""

import re
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from tierdrill.cli.folders import find_catalogue, find_home
from tierdrill.documents.models.protections import FLAGS, LIFTABLE
from tierdrill.history.audit_log import ACTIONS

_SECTION = r"^{name}:[^\n]*\n(?:(?:[ -][^\n]*)?\n)*"
_ITEM = re.compile(r"^( *)- *\{? *name:\s*[\"']?([a-z0-9-]+)", re.MULTILINE)
_NAME = re.compile(r"^metadata:[^\n]*\n(?:\s+[^\n]*\n)*?\s+name:\s*[\"']?([a-z0-9-]+)", re.MULTILINE)
_SABOTAGE = re.compile(r"^sabotages:.*\Z", re.MULTILINE | re.DOTALL)
_SABOTAGE_NAME = re.compile(r"^\s*-\s*\{?\s*name:\s*[\"']?([a-z0-9-]+)", re.MULTILINE)


def _option(ctx: click.Context, name: str) -> Path | None:
    value = ctx.find_root().params.get(name)
    return Path(value) if value else None


def _documents(ctx: click.Context, kind: str, folder: str = "drills") -> list[str]:
    """The files in a folder of the catalogue that have a document of that kind, as text."""
    wanted = re.compile(rf"^kind:\s*{kind}\s*$", re.MULTILINE)
    found = []
    paths = find_catalogue(_option(ctx, "catalogue")).glob(f"{folder}/**/*.y*ml")
    for path in sorted(paths, key=lambda path: path.with_suffix("")):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if wanted.search(text):
            found.append(text)
    return found


def _names(ctx: click.Context, kind: str, folder: str = "drills") -> list[str]:
    return [name[1] for text in _documents(ctx, kind, folder) if (name := _NAME.search(text))]


def _listed(ctx: click.Context, kind: str, section: str) -> dict[str, None]:
    """The names in a list of a kind of document: those least indented, since its items have lists with names, too."""
    names: dict[str, None] = {}
    for text in _documents(ctx, kind):
        part = re.search(_SECTION.format(name=section), f"{text}\n", re.MULTILINE)
        found = _ITEM.findall(part[0]) if part else []
        outermost = min((len(indent) for indent, _ in found), default=0)
        names |= {name: None for indent, name in found if len(indent) == outermost}
    return names


def _drill(ctx: click.Context) -> str:
    """The text of the drill that is already on the line; "" where none is."""
    # While an option is completed, click has not yet given the words before it to their parameters.
    words = [str(ctx.params.get("drill") or ""), *ctx.args]
    drills = (text for text in _documents(ctx, "Drill") if (name := _NAME.search(text)) and name[1] in words)
    return next(drills, "")


def _sabotages(ctx: click.Context) -> list[str]:
    part = _SABOTAGE.search(_drill(ctx))
    return _SABOTAGE_NAME.findall(part[0]) if part else []


def _variables(ctx: click.Context) -> list[str]:
    """Each as it is in the document, to be changed: `delay_ms=600`."""
    import yaml

    part = re.search(_SECTION.format(name="variables"), f"{_drill(ctx)}\n", re.MULTILINE)
    try:
        found = yaml.safe_load(part[0]) if part else {}
    except yaml.YAMLError:
        return []
    return [f"{name}={value}" for name, value in (found.get("variables") or {}).items()]


def _lint_rules(ctx: click.Context) -> list[str]:
    from tierdrill.tier_policy.lint import RULES

    return [rule.id for rule in RULES]


Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _completing(names: Callable[[click.Context], Iterable[str]]) -> Complete:
    """Those of the names that begin as the word does."""
    return lambda ctx, _, begun: [CompletionItem(name) for name in names(ctx) if name.startswith(begun)]


def drill_names(ctx: click.Context) -> list[str]:
    return _names(ctx, "Drill")


complete_drill = _completing(drill_names)
complete_environment = _completing(lambda ctx: _names(ctx, "Environment"))
complete_calendar = _completing(lambda ctx: _names(ctx, "Calendar"))
complete_sabotage = _completing(_sabotages)
complete_set = _completing(_variables)
complete_variant = _completing(lambda ctx: ("drill", "blip", *(f"sabotage:{name}" for name in _sabotages(ctx))))
complete_lint_rule = _completing(_lint_rules)
complete_part = _completing(lambda ctx: (*FLAGS, *_names(ctx, "Playbook", "playbooks")))
complete_channel = _completing(lambda ctx: _listed(ctx, "Calendar", "channels"))
complete_entry = _completing(lambda ctx: _listed(ctx, "Calendar", "entries"))
complete_action = _completing(lambda ctx: ACTIONS)
complete_rule = _completing(lambda ctx: LIFTABLE)
complete_tier = _completing(lambda ctx: _listed(ctx, "Tiers", "tiers"))


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
    found = [CompletionItem(name) for name in _names(ctx, "GameDay") if name.startswith(incomplete)]
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
