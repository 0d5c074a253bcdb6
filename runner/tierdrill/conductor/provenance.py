"""What a run was made from: documents, versions, the commit, the machine, the command line. No secrets.

The environment is not recorded.
"""

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tierdrill import __version__
from tierdrill.conductor.plan import Plan
from tierdrill.documents.catalogue import DrillSetting
from tierdrill.documents.variables import resolve_drill
from tierdrill.history.kinds.run_kinds import RunStarted
from tierdrill.judge.trend.run_figures import Build, documents_digest

PACKAGES = ("chaostoolkit-lib", "locust", "aiohttp", "pydantic")
GIT_TIMEOUT_S = 2.0


def provenance(
    plan: Plan,
    argv: tuple[str, ...],
    author: str,
    origin: Mapping[str, str] = MappingProxyType({}),
    planned: Mapping[str, float] | None = None,
    unloaded: bool = False,
) -> RunStarted:
    """What a run begins with; `planned` is in place of the plan's own phases."""
    limits = plan.setting.environment.blast_radius.model_dump(mode="json")
    return RunStarted(
        run=plan.run,
        drill=plan.setting.drill.metadata.name,
        variant=plan.variant,
        setting=plan.setting.to_json(),
        mechanisms={fault.kind: fault.mechanism.text for fault in plan.faults},
        faults=[{"activity": one.activity, "kind": one.kind, "target": one.target} for one in plan.faults],
        environment=plan.setting.environment.metadata.name,
        seed=plan.setting.drill.load.seed,
        versions={"tierdrill": __version__, "python": platform.python_version(), **_packages()},
        machine={"system": f"{platform.system()} {platform.release()}", "cpus": os.cpu_count() or 0},
        git=git_state(),
        argv=list(argv),
        author=author,
        origin=dict(origin),
        limits=limits,
        planned=planned or {phase.name: phase.seconds for phase in plan.phases},
        unloaded=unloaded,
    )


def build_of(setting: DrillSetting, git: Mapping[str, Any]) -> Build:
    """What a run of these documents would be made by, with the code as `git_state` has it."""
    return Build(__version__, documents=documents_digest(resolve_drill(setting).to_json()), **git)


def _packages() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def git_state() -> dict[str, Any]:
    """The commit of the code that runs, and whether it was changed since; empty outside a checkout."""
    here = Path(__file__).resolve().parent
    commit = _git(here, "rev-parse", "HEAD")
    if not commit:
        return {}
    return {"commit": commit, "changed": bool(_git(here, "status", "--porcelain", "--untracked-files=no"))}


def _git(folder: Path, *arguments: str) -> str:
    git = shutil.which("git")
    if git is None:
        return ""
    try:
        done = subprocess.run(
            [git, "-C", str(folder), *arguments],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=GIT_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
