"""Other people's experiments, read as Chaos Toolkit reads them: with YAML 1.1, where ours are YAML 1.2.

`yes` is true to it, `12:30` a number of minutes, a key that stands twice has its last value. What is read otherwise
than in a document of ours is a warning with its place. An experiment is somebody else's if no Python module that it
names is tierdrill's.
"""

import datetime
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import yaml

from tierdrill.documents.problems import Problem, shown
from tierdrill.documents.reading.fault_actions import MODULE
from tierdrill.documents.reading.yaml_nodes import DEPTH_MAX, Refused, compose, decode
from tierdrill.documents.reading.yaml_positions import NODES_MAX, Key, Source, Text

OURS = MODULE.split(".")[0]
DIFFERENCES_MAX = 20
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def is_foreign(content: dict[str, Any]) -> bool:
    """Whether it is somebody else's experiment: no Python module in it is tierdrill's."""
    return not any(str(module).split(".")[0] == OURS for module in _modules(content))


def _modules(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        if "module" in value:
            yield value["module"]
        for item in value.values():
            yield from _modules(item)
    elif isinstance(value, list):
        for item in value:
            yield from _modules(item)


def as_chaos_toolkit_reads(
    path: str, raw: bytes, sources: list[Source], problems: list[Problem]
) -> tuple[list[Source], list[Problem], list[Problem]]:
    """The one document of an experiment's file, what is wrong with its text, and what is odd about it.

    It comes as it was read by our rules; what is not somebody else's, or Chaos Toolkit cannot read, stays so.
    """
    if path.endswith(".json") or f"{OURS}.".encode() in raw:
        return sources, problems, []
    try:
        text = decode(raw)
        if len(list(compose(text, is_json=False))) != 1:
            return sources, problems, []
        theirs = _Plain().of(yaml.load(text, _Loader), 0)  # noqa: S506 it is a safe loader
    except (Refused, yaml.YAMLError, ValueError, RecursionError):
        return sources, problems, []
    if not isinstance(theirs, dict) or not is_foreign(theirs):
        return sources, problems, []
    if not sources:
        return [Source(path, theirs, Text(text, is_json=False))], [], problems
    (source,) = sources
    told = [
        source.problem(spot, f"got {shown(ours)}", f"Chaos Toolkit reads {shown(other)} (YAML 1.1): quote it")
        for spot, ours, other in _differences(source.data, theirs, ())
    ]
    return [replace(source, data=theirs)], problems, told[:DIFFERENCES_MAX]


def _differences(ours: Any, theirs: Any, path: tuple[Key, ...]) -> Iterator[tuple[tuple[Key, ...], Any, Any]]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name, item in ours.items():
            if name in theirs:
                yield from _differences(item, theirs[name], (*path, name))
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, (item, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from _differences(item, other, (*path, number))
    elif type(ours) is not type(theirs) or ours != theirs:
        yield path, ours, theirs


class _Plain:
    """Makes JSON of what a safe loader returns, within the bounds of a document."""

    def __init__(self) -> None:
        self.count = 0

    def of(self, value: Any, depth: int) -> Any:
        self.count += 1
        if self.count > NODES_MAX or depth > DEPTH_MAX:
            raise ValueError("far too large for a document")
        if isinstance(value, dict):
            return {self._key(key): self.of(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list):
            return [self.of(item, depth + 1) for item in value]
        if isinstance(value, datetime.date | datetime.datetime):
            return value.isoformat()
        if value is None or isinstance(value, str | bool | int | float):
            return value
        raise ValueError(f"a {type(value).__name__} is no value of a document")

    @staticmethod
    def _key(key: Any) -> str:
        if isinstance(key, bool):
            return "true" if key else "false"
        if key is None or isinstance(key, str | int | float):
            return "null" if key is None else str(key)
        raise ValueError("keys are text")
