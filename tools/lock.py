"""Writes the lock files from what is installed in this environment: exact versions of all that pyproject.toml needs.

Run it with the environment's own Python after an upgrade: `.venv/bin/python tools/lock.py`.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parents[1]
# The build backend and what it needs: the package itself is installed without a download of its own.
BUILD = ("hatchling", "editables")
HEADER = "# Exact versions, written by tools/lock.py. "


def closure(requirements: Iterable[str]) -> dict[str, str]:
    """Name and version of everything these need, as installed here."""
    found: dict[str, str] = {}
    queue = [(Requirement(text), frozenset[str]()) for text in requirements]
    done: set[tuple[str, frozenset[str]]] = set()
    while queue:
        requirement, extras_of_parent = queue.pop()
        if requirement.marker and not any(
            requirement.marker.evaluate({"extra": extra}) for extra in (*extras_of_parent, "")
        ):
            continue
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, extras) in done:
            continue
        done.add((name, extras))
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            sys.exit(f"lock: {name} is not installed here; allowed is an environment with everything of pyproject.toml")
        found[name] = installed.version
        queue += [(Requirement(text), extras) for text in installed.requires or []]
    return found


def write(path: Path, what: str, versions: dict[str, str]) -> None:
    """One `name==version` a line, sorted."""
    lines = [f"{name}=={version}\n" for name, version in sorted(versions.items())]
    path.write_text(HEADER + what + "\n" + "".join(lines), encoding="utf-8")
    sys.stdout.write(f"{path.name}: {len(lines)} packages\n")


def main() -> None:
    """Both files."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    needed = closure([*project["project"]["dependencies"], *project["build-system"]["requires"], *BUILD])
    development = closure(project["project"]["optional-dependencies"]["dev"])
    write(REPOSITORY / "requirements.lock", "What tierdrill needs to run.", needed)
    more = {name: version for name, version in development.items() if name not in needed}
    write(REPOSITORY / "requirements-dev.lock", "What its tests need beside requirements.lock.", more)
    if wrong := [line for line in (*needed.values(), *more.values()) if not re.fullmatch(r"[0-9][\w.+!]*", line)]:
        sys.exit(f"lock: not plain versions: {wrong}")


if __name__ == "__main__":
    main()
