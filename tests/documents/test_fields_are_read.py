"""Every field that a document may set is used: enforced, shown or judged, and not only checked for its form."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

import tierdrill
from tierdrill.documents.catalogue import KINDS

PACKAGE = Path(tierdrill.__file__).parent
MODELS = "documents/models/"
FORM = ("documents/check/", "documents/reading/")
"""Rooms that hold documents against their schema and against each other: a field that only they read does nothing."""
ENFORCING = ("documents/check/decision_rights.py",)
"""What refuses to act without a right is no check of form."""
ENVELOPE = {"apiVersion", "kind"}
IN_TEMPLATE = re.compile(r"\.([a-z_]+)")


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from models_in(inner)


def parts_of(model: type[BaseModel], seen: set[type[BaseModel]]) -> set[type[BaseModel]]:
    if model not in seen:
        seen.add(model)
        for field in model.model_fields.values():
            for inner in models_in(field.annotation):
                parts_of(inner, seen)
    return seen


def names_read(tree: ast.AST) -> set[str]:
    """Attributes that are read, and texts: names for getattr, or of a table of fields to read.

    Of a name that is put together (`f"{service}_credentials"`) the end, after a star.
    """
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            found.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
        elif isinstance(node, ast.JoinedStr) and isinstance(end := node.values[-1], ast.Constant):
            found |= {f"*{end.value}"} if re.fullmatch("_[a-z_]+", str(end.value)) else set()
    return found


@cache
def used() -> frozenset[str]:
    """The names that are read outside the models, and those that their properties and functions read which are used
    there.
    """
    found: set[str] = set()
    called: set[str] = set()
    inside: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).as_posix()
        if room.startswith(FORM) and room not in ENFORCING:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if not room.startswith(MODELS):
            found |= names_read(tree)
            called |= {
                name.name
                for node in ast.walk(tree)
                if isinstance(node, ast.ImportFrom) and str(node.module).startswith("tierdrill.documents.models.")
                for name in node.names
            }
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                made = [one.func for one in ast.walk(node) if isinstance(one, ast.Call)]
                calls = {one.id for one in made if isinstance(one, ast.Name)}
                inside.setdefault(node.name, set()).update(names_read(node), calls)
    for path in PACKAGE.rglob("*.html"):
        found |= set(IN_TEMPLATE.findall(path.read_text(encoding="utf-8")))
    found |= {name for made in called & set(inside) for name in inside[made]}
    while more := {name for made in found & set(inside) for name in inside[made]} - found:
        found |= more
    return frozenset(found)


def unused(model: type[BaseModel], names: frozenset[str]) -> list[str]:
    """The fields of a kind of document, as `Part.field`, that nothing reads."""
    ends = tuple(name[1:] for name in names if name.startswith("*_"))
    return sorted(
        f"{part.__name__}.{field}"
        for part in parts_of(model, set())
        for field in part.model_fields
        if field not in names | ENVELOPE and not field.endswith(ends)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_that_a_document_may_set_is_read(kind: str) -> None:
    assert unused(KINDS[kind], used()) == []


def test_a_field_that_nothing_reads_is_found() -> None:
    assert unused(KINDS["Tiers"], used() - {"deadline", "review_every"}) == ["Tier.deadline", "Tier.review_every"]
