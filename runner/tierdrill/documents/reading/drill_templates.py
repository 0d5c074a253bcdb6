"""What drills share by reference: a drill says only what its template does not say, or says otherwise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tierdrill.documents.problems import Problem
from tierdrill.documents.reading.yaml_nodes import Position
from tierdrill.documents.reading.yaml_positions import Key, Source

DRILL, TEMPLATE = "Drill", "DrillTemplate"
HEAD = ("apiVersion", "kind", "metadata")


@dataclass(frozen=True, kw_only=True)
class Templated(Source):
    """A drill with what its template says: `data` is both in one, a place is in the file that says it."""

    own: Source
    base: Source

    def key_at(self, path: Sequence[Key]) -> Position:
        return self._sayer(path).key_at(path)

    def value_at(self, path: Sequence[Key]) -> Position:
        return self._sayer(path).value_at(path)

    def problem(self, path: Sequence[Key], found: str, allowed: str, hint: str = "", *, key: bool = False) -> Problem:
        return self._sayer(path).problem(path, found, allowed, hint, key=key)

    def _sayer(self, path: Sequence[Key]) -> Source:
        own, base = self.own.data, self.base.data
        for step in path:
            if not isinstance(own, dict):
                break
            if step not in own:
                return self.base if isinstance(base, dict) and step in base else self.own
            own, base = own[step], base.get(step) if isinstance(base, dict) else None
        return self.own


def is_templated(data: Mapping[str, Any]) -> bool:
    """Whether a document is a drill that names a template."""
    return data.get("kind") == DRILL and isinstance(data.get("template"), str)


def with_template(drill: Source, template: Source) -> Templated:
    """The drill's document as if all were written in it: mappings are merged key by key, anything else is the drill's
    own where it says it. The template's head (kind, metadata) is its own.
    """
    shared = {key: value for key, value in template.data.items() if key not in HEAD}
    return Templated(
        path=drill.path, data=merged(shared, drill.data), text=drill.text, number=drill.number,
        own=drill, base=replace(template, data=shared),
    )  # fmt: skip


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Both in one, what is in `over` before what is in `base`."""
    both = {**base, **over}
    for key in base.keys() & over.keys():
        if isinstance(base[key], dict) and isinstance(over[key], dict):
            both[key] = merged(base[key], over[key])
    return both
