"""Writes the lock files from what is installed in this environment: exact versions of all that pyproject.toml needs.

Run it with the environment's own Python after an upgrade: `.venv/bin/python tools/lock.py`. Each package is listed with
the SHA-256 of every wheel that may be installed (Linux on x86-64 and ARM64, or any; CPython from 3.11), as pip's
configured package index gives them: a package that has been replaced since is refused at set-up.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version
from pip._internal.models.index import PyPI

REPOSITORY = Path(__file__).resolve().parents[1]
# The build backend and what it needs: the package itself is installed without a download of its own.
BUILD = ("hatchling", "editables")
HEADER = "# Exact versions and their wheels' hashes, written by tools/lock.py. "
OLDEST_PYTHON = 11
INDEX_TIMEOUT_S = 60


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


def package_index() -> str:
    """The address of the index that pip uses here."""
    configured = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return (os.environ.get("PIP_INDEX_URL") or configured or PyPI.simple_url).rstrip("/")


def usable(tag: Tag) -> bool:
    """Whether a wheel with this tag may be installed where tierdrill runs."""
    platform = tag.platform == "any" or (
        "linux" in tag.platform and tag.platform.endswith(("_x86_64", "_aarch64")) and "musl" not in tag.platform
    )
    number = re.fullmatch(r"cp3(\d+)", tag.interpreter)
    python = tag.interpreter == "py3" or (
        number is not None and (tag.abi == "abi3" or int(number[1]) >= OLDEST_PYTHON) and not tag.abi.endswith("t")
    )
    return platform and python


def wheel_hashes(index: str, name: str, version: str) -> list[str]:
    """The SHA-256 of each usable wheel of a version, sorted; the script ends where there is none."""
    request = urllib.request.Request(  # noqa: S310 - the scheme is pip's configuration's
        f"{index}/{name}/", headers={"Accept": "application/vnd.pypi.simple.v1+json"}
    )
    with urllib.request.urlopen(request, timeout=INDEX_TIMEOUT_S) as answer:  # noqa: S310
        files = json.load(answer)["files"]
    found = set()
    for file in files:
        try:
            _, wheel_version, _, tags = parse_wheel_filename(file["filename"])
        except InvalidWheelFilename:
            continue
        if wheel_version == Version(version) and any(map(usable, tags)):
            found.add(file["hashes"]["sha256"])
    if not found:
        sys.exit(f"lock: {name} {version} has no wheel for Linux and CPython 3.{OLDEST_PYTHON} or newer")
    return sorted(found)


def write(path: Path, what: str, versions: dict[str, str], hashes: dict[str, list[str]]) -> None:
    """A requirement of pip's, sorted by name: `name==version`, then each hash on a line of its own."""
    entries = [
        " \\\n    ".join([f"{name}=={version}", *(f"--hash=sha256:{one}" for one in hashes[name])]) + "\n"
        for name, version in sorted(versions.items())
    ]
    path.write_text(HEADER + what + "\n" + "".join(entries), encoding="utf-8")
    sys.stdout.write(f"{path.name}: {len(entries)} packages\n")


def main() -> None:
    """Both files."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    needed = closure([*project["project"]["dependencies"], *project["build-system"]["requires"], *BUILD])
    development = closure(project["project"]["optional-dependencies"]["dev"])
    more = {name: version for name, version in development.items() if name not in needed}
    every = needed | more
    if wrong := [line for line in every.values() if not re.fullmatch(r"[0-9][\w.+!]*", line)]:
        sys.exit(f"lock: not plain versions: {wrong}")
    index = package_index()
    with ThreadPoolExecutor(8) as pool:
        hashes = dict(zip(every, pool.map(lambda one: wheel_hashes(index, *one), every.items()), strict=True))
    write(REPOSITORY / "requirements.lock", "What tierdrill needs to run.", needed, hashes)
    write(REPOSITORY / "requirements-dev.lock", "What its tests need beside requirements.lock.", more, hashes)


if __name__ == "__main__":
    main()
