"""JSON Schema of each kind of document, for editors and for other tools (draft 2020-12).

A schema sees one document alone; what lies between documents only `tierdrill validate` sees. The files are made on
demand (`tierdrill init`, `tierdrill schema --write`) and not kept in the repository, so that they are up to date.
A document names its schema in its first line, relative to itself: see `schema_line`.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from tierdrill.documents.catalogue import KINDS, SCHEMAS
from tierdrill.documents.models.units import DURATION_PATTERN, PERCENT_PATTERN, show_duration, show_ratio
from tierdrill.documents.reading.drill_templates import DRILL, HEAD, TEMPLATE
from tierdrill.process.safe_files import write_atomic

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ANY_KIND = "document"


def _as_it_is(value: float) -> float:
    return value


_SPELLINGS: dict[str, Callable[[float], str | float]] = {
    DURATION_PATTERN: show_duration,
    PERCENT_PATTERN: show_ratio,
}


class _AsWritten(GenerateJsonSchema):
    """The schema of documents as written: the default of a quantity carries its unit there."""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        inner = self.generate_inner(schema["schema"])
        default = schema.get("default")
        if isinstance(default, float):
            default = _SPELLINGS.get(inner.get("pattern", ""), _as_it_is)(default)
        if isinstance(default, bool | str | int | float) and "$ref" not in inner:
            return {**inner, "default": default}
        return inner


def json_schema(kind: str) -> dict[str, Any]:
    """The schema of that kind; KeyError for a kind that does not exist."""
    model = KINDS[kind]
    schema = model.model_json_schema(schema_generator=_AsWritten)
    schema["$defs"] = {name: _plain(part) for name, part in sorted(schema.get("$defs", {}).items())}
    if kind in (DRILL, TEMPLATE):
        complete = {"required": schema["required"], "properties": _taken_requirements(schema, schema["$defs"])}
        schema["required"] = [name for name in HEAD if name in schema["properties"]]
        if kind == DRILL:
            schema |= {"if": {"required": ["template"]}, "else": complete}
    return {"$schema": DIALECT, "$id": _identifier(kind), **_plain(schema), "title": f"tierdrill {kind}"}


def _taken_requirements(part: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """What the mappings below `part` require, by their keys, and no longer do by themselves: a template may say it."""
    taken: dict[str, Any] = {}
    for name, field in part["properties"].items():
        references = [one["$ref"] for one in (field, *field.get("anyOf", ())) if "$ref" in one]
        below = definitions[references[0].rpartition("/")[2]] if references else {}
        if name not in HEAD and "properties" in below:
            found = {"required": below.pop("required", []), "properties": _taken_requirements(below, definitions)}
            if kept := {key: value for key, value in found.items() if value}:
                taken[name] = kept
    return taken


def any_kind_schema() -> dict[str, Any]:
    """One schema for all kinds, chosen by `kind`: for files that hold several documents."""
    definitions: dict[str, Any] = {}
    choices = []
    for kind in KINDS:
        schema = json_schema(kind)
        definitions |= schema.pop("$defs")
        definitions[kind] = {key: value for key, value in schema.items() if key not in ("$schema", "$id")}
        condition = {"properties": {"kind": {"const": kind}}, "required": ["kind"]}
        choices.append({"if": condition, "then": {"$ref": f"#/$defs/{kind}"}})
    return {
        "$schema": DIALECT,
        "$id": _identifier(ANY_KIND),
        "title": "tierdrill document",
        "type": "object",
        "required": ["apiVersion", "kind", "metadata"],
        "properties": {"apiVersion": {"const": "tierdrill/v1"}, "kind": {"enum": list(KINDS)}},
        "allOf": choices,
        "$defs": definitions,
    }


def write_schemas(folder: Path) -> list[Path]:
    """Write every kind's schema, and the one for any kind, into the folder; gives the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, schema in [*((kind, json_schema(kind)) for kind in KINDS), (ANY_KIND, any_kind_schema())]:
        path = folder / f"{name.lower()}.json"
        write_atomic(path, json.dumps(schema, indent=2) + "\n")
        written.append(path)
    return written


def schema_line(kind: str, path: PurePath, root: PurePath) -> str:
    """The first line of a document of that kind at that path, by which editors find its schema."""
    relative = os.path.relpath(root / SCHEMAS / f"{kind.lower()}.json", path.parent)
    return f"# yaml-language-server: $schema={PurePath(relative).as_posix()}"


def _identifier(kind: str) -> str:
    return f"urn:tierdrill:schema:v1:{kind.lower()}"


def _plain(part: Any) -> Any:
    """Docstrings as one paragraph a piece, as editors show them."""
    if isinstance(part, dict):
        return {
            key: "\n\n".join(" ".join(piece.split()) for piece in value.split("\n\n"))
            if key == "description" and isinstance(value, str)
            else _plain(value)
            for key, value in part.items()
        }
    return [_plain(item) for item in part] if isinstance(part, list) else part
