"""`tierdrill tiers`: tier policy, checked and compared like code."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tierdrill.cli.commands import tier_overrides
from tierdrill.cli.commands.tiers_exchange import export, import_slos
from tierdrill.cli.commands.tiers_impact import capacity, cost, diff
from tierdrill.cli.completion import complete_lint_rule
from tierdrill.cli.drill_documents import seen_from_here, whole_catalogue
from tierdrill.cli.errors import Refusal
from tierdrill.cli.folders import FOLDERS, Surroundings
from tierdrill.cli.options import echo_json, json_option
from tierdrill.text import plural

if TYPE_CHECKING:
    from tierdrill.documents.models.workloads import Workloads
    from tierdrill.documents.reading.reading_state import Reading
    from tierdrill.tier_policy.lint import Finding, Rule
    from tierdrill.tier_policy.route_tests import TableOutcome

FOUND = 1
ENDINGS = (".yaml", ".yml")


@click.group("tiers")
def command() -> None:
    """Lint, test, compare, size and price the tiers of a platform."""


for further in (diff, capacity, cost, import_slos, export, tier_overrides.command):
    command.add_command(further)


@command.command("lint")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--rule", "chosen", multiple=True, metavar="ID", shell_complete=complete_lint_rule,
    help="Only this rule (id or name); repeatable.",
)
@click.option("--list-rules", is_flag=True, help="Show every rule with its reason, and check nothing.")
@json_option
@click.pass_obj
def lint(here: Surroundings, paths: tuple[Path, ...], chosen: tuple[str, ...], list_rules: bool, as_json: bool) -> int:
    """Check that the tiers keep the rules of a tier policy.

    The catalogue's tiers, or those in the files and folders at PATHS.

    Each finding is one line, `file:line:column: ID name: what is wrong; what is right`. Exit code 0 where there is
    none, 1 where there is one, 2 for documents that cannot be read.
    """
    from tierdrill.tier_policy.lint import lint as found_in
    from tierdrill.tier_policy.tier_set import tier_sets

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


@command.command("test")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@json_option
@click.pass_obj
def test(here: Surroundings, files: tuple[Path, ...], as_json: bool) -> int:
    """Hold routing and admission rules against tables of requests.

    The catalogue's TierTests, or those in FILES.

    Each case says which tier its request must get, or why it must be refused; the rules are those that the gateways
    use. Exit code 1 where a case gets something else, too few routes are reached, a route can be reached by no request,
    or a request by no route.
    """
    from tierdrill.documents.catalogue_reader import read_files
    from tierdrill.tier_policy.route_tests import run_table

    catalogue = whole_catalogue(here.catalogue, [one for one in files if not _is_in(one, here.catalogue)])
    named = set(read_files(files, here.catalogue).catalogue.tier_tests) if files else set(catalogue.tier_tests)
    if not named:
        raise Refusal(f"no TierTests document in {', '.join(map(str, files)) or here.catalogue}")
    outcomes = {}
    for name in sorted(named):
        tests = catalogue.tier_tests[name]
        workloads = catalogue.workloads[tests.workloads]
        outcomes[name] = run_table(tests, catalogue.tiers[workloads.tiers], workloads)
        if not as_json:
            _show_outcome(name, outcomes[name], workloads)
    ok = all(one.ok for one in outcomes.values())
    if as_json:
        echo_json({"ok": ok, "tests": {name: asdict(one) for name, one in outcomes.items()}})
    return 0 if ok else FOUND


def _is_in(path: Path, root: Path) -> bool:
    return any(path.resolve().is_relative_to((root / folder).resolve()) for folder in FOLDERS)


def _show_outcome(name: str, outcome: TableOutcome, workloads: Workloads) -> None:
    def told(route: int) -> str:
        said = workloads.routes[route].model_dump(exclude_none=True)
        return f"route {route + 1} ({', '.join(f'{key}: {value}' for key, value in said.items())})"

    for one in outcome.results:
        if not one.ok:
            click.echo(f"{name}: {one.name}: expected {one.expected}, got {one.got}")
    for number in outcome.shadowed:
        click.echo(f"{name}: {told(number)} is reached by no request: routes before it take all")
    for model in outcome.without_tier:
        click.echo(f"{name}: some requests to {model} match no route")
    for number in outcome.unreached:
        click.echo(f"{name}: {told(number)} is reached by no case")
    passed = sum(one.ok for one in outcome.results)
    reached = len(workloads.routes) - len(outcome.unreached)
    cases = f"{passed} of {plural(len(outcome.results), 'case')} passed"
    click.echo(f"{name}: {cases}, {reached} of {plural(len(workloads.routes), 'route')} reached")


def _rules(chosen: tuple[str, ...]) -> list[Rule]:
    from tierdrill.did_you_mean import none_named
    from tierdrill.tier_policy.lint import RULES

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
