"""What the package imports and what pyproject.toml declares are the same."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement

import tierdrill

PACKAGE = Path(tierdrill.__file__).parent
NOT_IMPORTED = {
    "chaostoolkit": "the command `chaos run`, with which shipped experiments run without a drill",
}


def names(text: str) -> set[str]:
    """The packages that a module's text imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {one.name.partition(".")[0] for one in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    project = tomllib.loads((PACKAGE.parents[1] / "pyproject.toml").read_text())["project"]
    declared = {canonical(Requirement(one).name) for one in project["dependencies"]}
    imported = set().union(*(names(path.read_text()) for path in PACKAGE.rglob("*.py")))
    distributions = packages_distributions()
    used = {
        canonical(distributions.get(name, [name])[0]) for name in imported - sys.stdlib_module_names - {"tierdrill"}
    }
    assert used - declared == set(), "imported and not declared"
    assert declared - used == set(NOT_IMPORTED), "declared and imported nowhere"


def test_an_import_is_found_in_whatever_form() -> None:
    text = "import one.two as x\ndef f():\n    from three.four import y\n    from . import z\n"
    assert names(text) == {"one", "three"}
