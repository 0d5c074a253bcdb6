"""Reads a folder tree of documents into a catalogue, with every problem of every file at once."""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tierdrill.did_you_mean import nearest
from tierdrill.documents.bounded_files import read_file
from tierdrill.documents.catalogue import KINDS, SCHEMAS, Catalogue, Document, Experiment, Template
from tierdrill.documents.check import check_documents
from tierdrill.documents.models.units import Metadata
from tierdrill.documents.problems import Problem, in_order, shown
from tierdrill.documents.reading.drill_templates import DRILL, TEMPLATE, is_templated, with_template
from tierdrill.documents.reading.located_errors import as_name, problems_of
from tierdrill.documents.reading.reading_state import EXPERIMENT, AbsentIn, KnownAlerts, Place, Reading, nothing_absent
from tierdrill.documents.reading.stock_experiments import as_chaos_toolkit_reads
from tierdrill.documents.reading.yaml_nodes import SIZE_MAX
from tierdrill.documents.reading.yaml_positions import Source, read_text
from tierdrill.text import either, listed

FOLDERS = ("drills", "experiments", "playbooks")
ENDINGS = (".yaml", ".yml", ".json")
_NAME = re.compile(rb"\bname\s*:\s*[\"']?([A-Za-z0-9][A-Za-z0-9-]*)")
FROM_DOCUMENT = {"written": True}
"""Validation context of what people wrote: quantities must carry their units, as floats made in code do not."""


def load_catalogue(
    root: Path,
    known_alerts: KnownAlerts | None = None,
    extra: Sequence[Path] = (),
    *,
    absent: AbsentIn = nothing_absent,
    unused: bool = True,
) -> tuple[Catalogue, list[Problem]]:
    """All documents under `root`'s drills/, experiments/ and playbooks/, and every problem of each and between them.

    `extra` are files from elsewhere, read as if they were part of it. Without `unused` Chaos Toolkit is not asked about
    experiments that no drill uses: that takes a second, and keeps nobody from anything.
    """
    reading = read_catalogue(root, extra)
    check_documents(reading, known_alerts, absent, unused=unused)
    return reading.catalogue, in_order(reading.problems)


def load_documents(
    paths: Iterable[Path],
    root: Path | None = None,
    known_alerts: KnownAlerts | None = None,
    *,
    absent: AbsentIn = nothing_absent,
) -> tuple[Catalogue, list[Problem]]:
    """As `load_catalogue`, but these files only; paths are shown relative to `root` where they lie under it."""
    reading = read_files(list(paths), root or Path())
    check_documents(reading, known_alerts, absent)
    return reading.catalogue, in_order(reading.problems)


def read_catalogue(root: Path, extra: Sequence[Path] = ()) -> Reading:
    """Every document of the tree, each checked alone."""
    files = catalogue_files(root)
    if files is None:
        reading = Reading(Catalogue(root=root))
        reading.problems.append(
            Problem(
                str(root),
                1,
                1,
                "no documents",
                f"a catalogue has folders {listed(FOLDERS)} (`tierdrill init` makes them)",
            )
        )
        return reading
    return read_files([*files, *extra], root)


def read_files(paths: Sequence[Path], root: Path) -> Reading:
    """The documents of these files, each checked alone; names must be unique within a kind."""
    reading = Reading(Catalogue(root=root))
    templated: list[tuple[Source, Path]] = []
    for path in paths:
        shown_path = _shown(path, root)
        try:
            raw = read_file(path, SIZE_MAX)
        except OSError as error:
            reading.problems.append(Problem(shown_path, 1, 1, f"cannot be read: {error.strerror}", "a readable file"))
            if "experiments" in path.parts:
                reading.experiments[shown_path] = experiment_name(path)
                reading.suspects.add(experiment_name(path))
            continue
        if _is_other_json(path, raw):
            right = "a document in JSON has the keys apiVersion and kind"
            reading.catalogue.warnings.append(Problem(shown_path, 1, 1, "no document, and not read", right))
            continue
        sources, problems = read_text(shown_path, raw)
        if _holds_experiment(path, sources):
            sources, problems, odd = as_chaos_toolkit_reads(shown_path, raw, sources, problems)
            reading.catalogue.warnings.extend(odd)
            reading.experiments[shown_path] = experiment_name(path)
        reading.problems += problems
        if problems:
            reading.suspects |= {found.decode("ascii") for found in _NAME.findall(raw)} | {experiment_name(path)}
        for source in sources:
            if is_templated(source.data):
                templated.append((source, path))
            else:
                _take(reading, source, path)
    _take_templated(reading, templated)
    return reading


def _take_templated(reading: Reading, drills: Sequence[tuple[Source, Path]]) -> None:
    """The drills that have a template, once those are read."""
    for source, path in drills:
        template = source.data["template"]
        if template in reading.catalogue.templates:
            _take(reading, with_template(source, reading.sources[TEMPLATE, template]), path)
            continue
        if (name := _name_in(source.data)) is not None:
            reading.named(DRILL).add(name)
        Place(source, reading.problems, ("template",)).known(template, "template", reading.named(TEMPLATE))


def read_pasted(text: str, name: str) -> Reading:
    """The documents of a text that is no file, each checked alone; its problems are told under that name."""
    reading = Reading(Catalogue(root=Path()))
    sources, problems = read_text(name, text.encode("utf-8", "replace"))
    reading.problems += problems
    for source in sources:
        _take(reading, source, Path(name))
    return reading


def catalogue_files(root: Path) -> list[Path] | None:
    """The files that are read of the tree, in order; None where none of its folders is there."""
    folders = [root / name for name in FOLDERS if (root / name).is_dir()]
    return [path for folder in folders for path in _files(folder)] if folders else None


def _files(folder: Path) -> list[Path]:
    found: list[Path] = []
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != SCHEMAS.name and not name.startswith((".", "__"))]
        found += [Path(where, name) for name in names if name.endswith(ENDINGS) and not name.startswith(".")]
    return sorted(found)


def _shown(path: Path, root: Path) -> str:
    try:
        return str(path.relative_to(root))
    except ValueError:
        return str(path)


def _take(reading: Reading, source: Source, path: Path) -> None:
    data = source.data
    if "kind" in data or "apiVersion" in data or not is_experiment(data, path):
        _take_document(reading, source, path)
        return
    name = experiment_name(path)
    _keep(reading, EXPERIMENT, name, source, path, Experiment(name=name, path=path, content=data))


def _is_other_json(path: Path, raw: bytes) -> bool:
    """Whether it is no document: a recorded load, say, or a dashboard."""
    if path.suffix != ".json" or "experiments" in path.parts:
        return False
    return b'"apiVersion"' not in raw and b'"kind"' not in raw


def _holds_experiment(path: Path, sources: list[Source]) -> bool:
    if not sources:
        return "experiments" in path.parts
    return all(not {"kind", "apiVersion"} & one.data.keys() and is_experiment(one.data, path) for one in sources)


def is_experiment(data: dict[str, Any], path: Path) -> bool:
    """Whether a document without our `kind` is a Chaos Toolkit experiment, by its folder or its keys."""
    return "experiments" in path.parts or "method" in data or "steady-state-hypothesis" in data


def experiment_name(path: Path) -> str:
    """The short name of an experiment: its path below the nearest `experiments` folder, without the ending."""
    parts = path.with_suffix("").parts
    if "experiments" in parts[:-1]:
        last = len(parts) - 2 - parts[:-1][::-1].index("experiments")
        return "/".join(parts[last + 1 :])
    return parts[-1]


def _take_document(reading: Reading, source: Source, path: Path) -> None:
    data = source.data
    kind = data.get("kind")
    model = KINDS.get(kind) if isinstance(kind, str) else None
    name = _name_in(data)
    if model is None:
        if "kind" not in data:
            reading.problems.append(source.problem((), "no key 'kind'", f"kind is required: {listed(KINDS)}", key=True))
        else:
            reading.problems.append(
                source.problem(("kind",), f"kind: got {shown(kind)}", f"expected {either(KINDS)}", nearest(kind, KINDS))
            )
        if name is not None:
            reading.suspects.add(name)
        return
    document: Document | Template
    try:
        document = model.model_validate(data, context=FROM_DOCUMENT)
    except ValidationError as error:
        problems = problems_of(error, source, model, partial=kind == TEMPLATE)
        reading.problems += problems
        if problems or kind != TEMPLATE:
            if name is not None:
                reading.named(str(kind)).update({name, as_name(name) or name})
            return
    if kind == TEMPLATE:
        # However much of a drill it says.
        document = Template(Metadata.model_validate(data["metadata"]), data)
    _keep(reading, str(kind), document.metadata.name, source, path, document)


def _name_in(data: dict[str, Any]) -> str | None:
    """The name that a document gives itself, if it is text."""
    metadata = data.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return name if isinstance(name, str) else None


def _keep(
    reading: Reading, kind: str, name: str, source: Source, path: Path, item: Document | Experiment | Template
) -> None:
    place: tuple[str, ...] = () if isinstance(item, Experiment) else ("metadata", "name")
    if (kind, name) in reading.sources:
        first = reading.sources[kind, name]
        line, column = first.value_at(place)
        reading.problems.append(
            source.problem(
                place, f"a second {kind} named {name}", f"names are unique; {first.path}:{line}:{column} has it"
            )
        )
        return
    reading.sources[kind, name] = source
    reading.named(kind).add(name)
    catalogue = reading.catalogue
    catalogue.paths[kind, name] = path
    by_kind: dict[str, dict[str, Any]] = {
        "Tiers": catalogue.tiers,
        "Workloads": catalogue.workloads,
        "Environment": catalogue.environments,
        "Playbook": catalogue.playbooks,
        "Drill": catalogue.drills,
        "DrillTemplate": catalogue.templates,
        "Calendar": catalogue.calendars,
        "GameDay": catalogue.gamedays,
        "Scenario": catalogue.scenarios,
        "TierTests": catalogue.tier_tests,
        EXPERIMENT: catalogue.experiments,
    }
    by_kind[kind][name] = item
