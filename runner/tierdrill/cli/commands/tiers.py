"""`tierdrill tiers`: tier policy, checked and compared like code."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tierdrill.cli.drill_documents import seen_from_here
from tierdrill.cli.errors import Refusal
from tierdrill.cli.folders import Surroundings
from tierdrill.cli.options import echo_json, json_option
from tierdrill.text import plural

if TYPE_CHECKING:
    from tierdrill.documents.reading.reading_state import Reading
    from tierdrill.policy.lint import Finding, Rule

FOUND = 1
ENDINGS = (".yaml", ".yml")


@click.group("tiers")
def command() -> None:
    """Lint, test, compare, size and price the tiers of a platform."""


@command.command("lint")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path, exists=True))
@click.option("--rule", "chosen", multiple=True, metavar="ID", help="Only this rule (id or name); repeatable.")
@click.option("--list-rules", is_flag=True, help="Show every rule with its reason, and check nothing.")
@json_option
@click.pass_obj
def lint(here: Surroundings, paths: tuple[Path, ...], chosen: tuple[str, ...], list_rules: bool, as_json: bool) -> int:
    """Check that the tiers keep the rules of a tier policy: the catalogue's, or of the files and folders at PATHS.

    Each finding is one line, `file:line:column: ID name: what is wrong; what is right`. Exit code 0 where there is
    none, 1 where there is one, 2 for documents that cannot be read.
    """
    from tierdrill.policy.lint import lint as found_in
    from tierdrill.policy.tier_set import tier_sets

    rules = _rules(chosen)
    if list_rules:
        _show_rules(rules, as_json)
        return 0
    reading = _read(here.catalogue, paths)
    sets = tier_sets(reading, datetime.now(UTC).date())
    findings = [_from_here(one, here.catalogue) for one in found_in(sets, rules)]
    if as_json:
        echo_json({"ok": not findings, "rules": len(rules), "findings": [one.plain() for one in findings]})
        return FOUND if findings else 0
    for one in findings:
        click.echo(str(one))
    told = f"{plural(len(sets), 'tier set')}, {plural(len(rules), 'rule')}: "
    click.echo(told + (plural(len(findings), "finding") if findings else "no findings"), err=bool(findings))
    return FOUND if findings else 0


def _rules(chosen: tuple[str, ...]) -> list[Rule]:
    from tierdrill.documents.problems import none_named
    from tierdrill.policy.lint import RULES

    by_word = {word: rule for rule in RULES for word in (rule.id, rule.name)}
    for word in chosen:
        if word not in by_word:
            raise Refusal(f"--rule: {none_named('rule', word, by_word)}")
    wanted = {by_word[word].id for word in chosen}
    return [rule for rule in RULES if not wanted or rule.id in wanted]


def _show_rules(rules: list[Rule], as_json: bool) -> None:
    if as_json:
        echo_json([{"id": rule.id, "name": rule.name, "reason": rule.reason} for rule in rules])
        return
    for rule in rules:
        click.echo(f"{rule.id} {rule.name}\n    {rule.reason}")


def _read(root: Path, paths: tuple[Path, ...] = ()) -> Reading:
    """The documents of the catalogue, or of the files and folders named; SpecError where one cannot be used."""
    from tierdrill.documents.catalogue_reader import read_catalogue, read_files
    from tierdrill.documents.problems import SpecError

    if paths:
        named = [one for path in paths for one in (sorted(path.rglob("*")) if path.is_dir() else [path])]
        reading = read_files([one.resolve() for one in named if one in paths or one.suffix in ENDINGS], root)
    else:
        reading = read_catalogue(root)
    if reading.problems:
        raise SpecError([seen_from_here(problem, root) for problem in reading.problems])
    if not reading.catalogue.tiers:
        raise Refusal(f"no Tiers document in {', '.join(map(str, paths)) or root}")
    return reading


def _from_here(finding: Finding, root: Path) -> Finding:
    return replace(finding, problem=seen_from_here(finding.problem, root))
