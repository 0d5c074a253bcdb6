"""Reading the catalogue for a command: with every problem at once, and a drill with all it refers to."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tierdrill.cli.errors import Refusal, say
from tierdrill.cli.folders import Surroundings

if TYPE_CHECKING:
    from tierdrill.documents.catalogue import Catalogue, DrillSetting
    from tierdrill.documents.models.drill import Scalar
    from tierdrill.documents.models.environment import Environment
    from tierdrill.documents.models.kubernetes import KubernetesSettings
    from tierdrill.documents.models.tiers import Tiers
    from tierdrill.documents.models.workloads import Workloads
    from tierdrill.documents.problems import Problem
    from tierdrill.documents.reading.reading_state import Reading
    from tierdrill.training.exercise_setting import ExerciseSetting

    Reader = Callable[[Path, tuple[Path, ...]], Reading]
    """As `read_catalogue`: who asks about many drills has one that keeps what it read."""


ENDINGS = (".yaml", ".yml")
_OF_TIERS = re.compile(r"^kind:\s*Tiers\s*$", re.MULTILINE)
_KIND = re.compile(r"^kind:\s*[\"']?(\w+)", re.MULTILINE)
_NOTHING_RESTS_ON = frozenset({"Drill", "Calendar", "GameDay", "Scenario", "TierTests"})
"""Kinds of documents whose problems are nobody else's: a drill runs beside a broken draft of another."""


def read(root: Path, extra: Sequence[Path] = (), *, unused: bool = False) -> tuple[Catalogue, list[Problem]]:
    """The catalogue at `root`, with files from elsewhere, and its problems.

    With `unused` also what is wrong with other people's experiments that no drill uses. Paths of problems and of the
    catalogue's warnings are as seen from here.
    """
    from tierdrill.documents.catalogue_reader import load_catalogue
    from tierdrill.documents.models.channels import secret_variables
    from tierdrill.monitoring.alert_names import KNOWN_ALERTS
    from tierdrill.process.programs import withhold
    from tierdrill.targets.target_registry import absent_in

    catalogue, problems = load_catalogue(root, KNOWN_ALERTS, extra, absent=absent_in, unused=unused)
    withhold(secret_variables([*catalogue.calendars.values(), *catalogue.environments.values()]))
    return catalogue, all_seen_from_here(catalogue, problems, root)


def all_seen_from_here(catalogue: Catalogue, problems: Sequence[Problem], root: Path) -> list[Problem]:
    """The problems as `seen_from_here`; so are the catalogue's own, in their place, from then on."""
    for told in (catalogue.warnings, catalogue.excused):
        told[:] = [seen_from_here(one, root) for one in told]
    return [seen_from_here(problem, root) for problem in problems]


def seen_from_here(problem: Problem, root: Path) -> Problem:
    """The problem with a path that an editor opens from the working directory."""
    path = str(root / problem.path)
    try:
        near = os.path.relpath(path)
    except (OSError, ValueError):
        near = path
    return replace(problem, path=path if near.startswith("..") else near)


def whole_catalogue(root: Path, extra: Sequence[Path] = ()) -> Catalogue:
    """The catalogue; SpecError with every problem if it has any."""
    from tierdrill.documents.problems import SpecError

    catalogue, problems = read(root, extra)
    if problems:
        raise SpecError(problems)
    return catalogue


def usable_catalogue(root: Path, extra: Sequence[Path] = (), drill: str | None = None) -> Catalogue:
    """The catalogue for a command that uses its platform, and of its drills only that one, if any.

    SpecError with every problem if that has any; of problems in other drills, calendars and the like only a note.
    """
    from tierdrill.documents.problems import SpecError
    from tierdrill.text import plural

    catalogue, problems = read(root, extra)
    others = [one for one in problems if _is_others(one, drill)]
    if len(others) < len(problems) or (others and drill is not None and drill not in catalogue.drills):
        raise SpecError(problems)
    if others:
        say(f"note: {plural(len(others), 'problem')} in documents that this does not use (see `tierdrill validate`)")
    return catalogue


def _is_others(problem: Problem, drill: str | None) -> bool:
    """Whether a problem is in a file with nothing but drills and what is planned with them, and not with that drill."""
    try:
        text = Path(problem.path).read_text("utf-8")
    except (OSError, ValueError):
        return False
    kinds = set(_KIND.findall(text))
    mine = drill is not None and re.search(rf"\bname:\s*[\"']?{re.escape(drill)}\b(?!-)", text)
    return bool(kinds) and kinds <= _NOTHING_RESTS_ON and not mine


def readable_tiers(root: Path) -> list[Tiers]:
    """The Tiers documents of the catalogue that can be used, whatever is wrong with everything else in it."""
    from tierdrill.documents.catalogue_reader import read_files

    paths = []
    for path in sorted((root / "drills").rglob("*.y*ml")):
        with suppress(OSError, UnicodeDecodeError):
            if _OF_TIERS.search(path.read_text(encoding="utf-8")):
                paths.append(path)
    return list(read_files(paths, root).catalogue.tiers.values())


def environment_files(root: Path, environment: str, reader: Reader | None = None) -> tuple[str, list[Path]]:
    """An environment's name, and the files to read beside the catalogue: none where it was given by its name.

    Of one given by its file those are that file and, where the catalogue has not the Tiers and Workloads that it
    names, the files beside it that have. Refusal for a file that holds no environment, SpecError for a broken one.
    """
    path = Path(environment)
    if path.suffix not in ENDINGS and "/" not in environment:
        return environment, []
    from tierdrill.documents.catalogue_reader import catalogue_files, read_catalogue, read_files
    from tierdrill.documents.problems import SpecError
    from tierdrill.text import listed

    if not path.is_file():
        raise Refusal(f"no file {environment}, expected the name of an environment or its document")
    reading = read_files([path], root)
    if reading.problems:
        raise SpecError([seen_from_here(problem, root) for problem in reading.problems])
    if len(names := list(reading.catalogue.environments)) != 1:
        raise Refusal(f"{environment} holds {listed(names) if names else 'no environment'}, expected one environment")
    found = reading.catalogue.environments[names[0]]
    there = [Path(os.path.realpath(one)) for one in catalogue_files(root) or ()]
    if Path(os.path.realpath(path)) in there:
        return names[0], []
    known = (reader or read_catalogue)(root, ())
    extra = [path]
    for kind, name in (("Tiers", found.tiers), ("Workloads", found.workloads)):
        if name not in reading.named(kind) | known.named(kind):
            beside = (one for one in sorted(path.parent.glob("*.y*ml")) if one not in extra)
            extra += [one for one in beside if name in read_files([one], root).named(kind)][:1]
    return names[0], extra


def environment_setting(root: Path, environment: str) -> tuple[Environment, Tiers, Workloads]:
    """An environment, by name or file, with its tiers and workloads; SpecError, Refusal."""
    from tierdrill.did_you_mean import none_named

    name, extra = environment_files(root, environment)
    catalogue = usable_catalogue(root, extra)
    if name not in catalogue.environments:
        raise Refusal(none_named("environment", name, catalogue.environments))
    found = catalogue.environments[name]
    return found, catalogue.tiers[found.tiers], catalogue.workloads[found.workloads]


def cluster_environment(root: Path, environment: str | None) -> tuple[Environment, KubernetesSettings, Workloads]:
    """An environment with target: kubernetes, by name or file (None: the only one), with its `kubernetes:` and its
    workloads; SpecError, Refusal.
    """
    from tierdrill.text import either

    if environment is None:
        known = usable_catalogue(root).environments
        names = [name for name, one in known.items() if one.target == "kubernetes"]
        if len(names) != 1:
            if names:
                raise Refusal(f"--environment: missing, expected {either(names)}, or a file")
            hint = "`tierdrill kubernetes template` prints one to begin with"
            raise Refusal(f"no environment with target: kubernetes in {root}; {hint}")
        environment = names[0]
    document, _, workloads = environment_setting(root, environment)
    if document.kubernetes is None:
        raise Refusal(f"environment {document.metadata.name} has target {document.target}, expected kubernetes")
    return document, document.kubernetes, workloads


def drill_setting(
    root: Path, name: str, extra: Sequence[Path] = (), catalogue: Catalogue | None = None
) -> DrillSetting:
    """A drill with all it refers to; SpecError if the catalogue has problems, Refusal if there is no such drill.

    `catalogue` is the one at `root`, where it was read already.
    """
    from tierdrill.did_you_mean import none_named
    from tierdrill.documents.catalogue import setting_of

    catalogue = catalogue or usable_catalogue(root, extra, name)
    if name not in catalogue.drills:
        raise Refusal(none_named("drill", name, catalogue.drills, f" in {root}"))
    return setting_of(catalogue, name)


def catalogue_of(path: Path) -> Path | None:
    """The catalogue that a file lies in, if it lies in one."""
    from tierdrill.cli.folders import FOLDERS

    return next((parent.parent for parent in path.resolve().parents if parent.name in FOLDERS), None)


def changed_setting(
    root: Path,
    name: str,
    sets: Sequence[str],
    guardrails: Sequence[str] = (),
    environment: str | None = None,
    catalogue: Catalogue | None = None,
    reader: Reader | None = None,
) -> DrillSetting:
    """As `drill_setting`, changed for one run: NAME=VALUE variables, TIER:SHARE:WINDOW guardrails, the environment (its
    name, or a file that holds it).

    `catalogue` is the one at `root`, with the files of that environment, where it was read already. Refusal for what
    the drill, its experiment or its environment does not allow.
    """
    from tierdrill.documents.variables import changed, parse_guardrail, parse_set
    from tierdrill.text import either

    there, extra = environment_files(root, environment, reader) if environment is not None else (None, [])
    setting = drill_setting(root, name, extra, catalogue)
    if there is not None and there != setting.drill.environment:
        setting = _moved(root, setting, there, extra, reader)
    try:
        variables = dict(parse_set(setting.drill, text) for text in sets)
        added = [parse_guardrail(text) for text in guardrails]
    except ValueError as error:
        raise Refusal(str(error)) from error
    tiers = [tier.name for tier in setting.tiers.tiers]
    for one in added:
        if one.tier not in tiers:
            raise Refusal(f"no tier named {one.tier!r}, expected {either(tiers)}")
    if variables:
        _refuse_wrong_variables(root, setting, variables, extra)
    return changed(setting, variables, added)


def _moved(
    root: Path, setting: DrillSetting, environment: str, extra: Sequence[Path], reader: Reader | None
) -> DrillSetting:
    """The setting in another environment, without the sabotages that cannot be done there; Refusal if there is none of
    that name, or the drill makes no sense there.
    """
    from tierdrill.did_you_mean import none_named
    from tierdrill.documents.catalogue import setting_of
    from tierdrill.documents.catalogue_reader import read_catalogue
    from tierdrill.documents.check.check_context import Context
    from tierdrill.documents.check.variables import new_problems
    from tierdrill.documents.problems import worded
    from tierdrill.monitoring.alert_names import KNOWN_ALERTS
    from tierdrill.targets.target_registry import absent_in

    reading = (reader or read_catalogue)(root, tuple(extra))
    known = reading.catalogue.environments
    if environment not in known:
        raise Refusal(none_named("environment", environment, known))
    drill = setting.drill.model_copy(update={"environment": environment})
    name, absent = drill.metadata.name, absent_in(known[environment]).get("sabotage", {})
    for one in drill.sabotages:
        for field in one.do.model_fields_set & absent.keys():
            say(f"no sabotage {one.name} in environment {environment}: {absent[field]}")
    kept = tuple(one for one in drill.sabotages if not one.do.model_fields_set & absent.keys())
    drill = drill.model_copy(update={"sabotages": kept})
    for problem in new_problems(Context(reading, KNOWN_ALERTS, absent_in), setting.drill, drill):
        raise Refusal(f"{name} in environment {environment}: {worded(problem.found, problem.allowed)}")
    return setting_of(replace(reading.catalogue, drills={**reading.catalogue.drills, name: drill}), name)


def in_mode(setting: DrillSetting, mode: str | None) -> DrillSetting:
    """The setting in a lab of that mode; Refusal where its environment is no lab."""
    return setting if mode is None else replace(setting, environment=lab_in_mode(setting.environment, mode))


def lab_in_mode(environment: Environment, mode: str) -> Environment:
    """An environment with its lab in that mode; Refusal where it has none."""
    if environment.target != "lab":
        raise Refusal(f"--mode: environment {environment.metadata.name} has target {environment.target}, expected lab")
    return environment.model_copy(update={"lab": environment.lab.model_copy(update={"mode": mode})})


def within_reach(setting: DrillSetting, caps: Sequence[str]) -> DrillSetting:
    """The setting with its environment's blast radius narrowed to KIND=N; Refusal for a drill that goes beyond it."""
    if not caps:
        return setting
    from tierdrill.conductor.plan import PlanError, make_plan
    from tierdrill.documents.variables import narrowed, parse_reach
    from tierdrill.targets.target_registry import mechanisms_of

    try:
        narrow = replace(setting, environment=narrowed(setting.environment, parse_reach(caps)))
        make_plan(narrow, "unnamed", "drill", mechanisms_of(narrow.environment))
    except (ValueError, PlanError) as error:
        raise Refusal(str(error)) from error
    return narrow


def _refuse_wrong_variables(
    root: Path, setting: DrillSetting, variables: dict[str, Scalar], extra: Sequence[Path]
) -> None:
    from tierdrill.documents.catalogue_reader import read_catalogue
    from tierdrill.documents.check.check_context import Context
    from tierdrill.documents.check.variables import override_problems
    from tierdrill.documents.problems import worded
    from tierdrill.monitoring.alert_names import KNOWN_ALERTS
    from tierdrill.targets.target_registry import absent_in

    reading = read_catalogue(root, extra)
    for found, allowed, hint in override_problems(Context(reading, KNOWN_ALERTS, absent_in), setting.drill, variables):
        raise Refusal(worded(found, allowed, hint))


_RUN_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,98}[a-z0-9])?\Z")


def check_run_name(home: Path, name: str) -> None:
    """Refuse a run's name that is none, or that another run has."""
    if not _RUN_NAME.match(name):
        raise Refusal(f"--name: got {name!r}, expected at most 100 lower-case letters, digits and hyphens")
    if (home / "runs" / name).exists():
        raise Refusal(f"--name: run {name} already exists")


def check_place(here: Surroundings, settings: Iterable[DrillSetting | ExerciseSetting], lab: str | None = None) -> None:
    """TargetError where something is missing that runs in their environments (in the kept lab, if named) need."""
    from tierdrill.targets.target_registry import target_of

    for environment in {one.environment.metadata.name: one.environment for one in settings}.values():
        target_of(environment).check(here.home, here.tools, lab)
