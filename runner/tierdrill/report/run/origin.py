"""Where a verdict comes from: run, versions, seed, mechanisms, and plainly which parts were emulated."""

import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tierdrill.documents.catalogue import DrillSetting
from tierdrill.history.kinds.run_kinds import RunStarted
from tierdrill.history.payload import plain
from tierdrill.judge.verdict import Verdict
from tierdrill.report.format import fault_words, show_seconds, variant_words
from tierdrill.report.run_model import RunState


def utc(at: float | None) -> str:
    """A moment as people write it, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if at is not None else "unknown"


def duration_of(state: RunState) -> float | None:
    """From the run's start to its end."""
    return None if state.started is None else (state.ended or state.now) - state.started


def emulated_parts(setting: DrillSetting, state: RunState) -> tuple[str, ...]:
    """What was not the real thing, one sentence each; empty on a real cluster with real faults."""
    parts = []
    if setting.environment.target == "lab":
        lab = setting.environment.lab
        parts += [
            f"GPUs are emulated: {lab.nodes} nodes with {lab.gpus_per_node} × {lab.gpu_model} exist as metrics, "
            "kernel-log lines and service times; no GPU computed anything.",
            "Models are small stand-ins whose answers are really computed; their service time comes from token counts.",
            "Nodes are groups of real processes on one machine, and the network between them never leaves it.",
        ]
    parts += [
        f"The fault {fault_words(fault.kind) or fault.id} is emulated: {fault.mechanism} stands for the real thing."
        for fault in state.faults.values()
        if fault.emulated
    ]
    return tuple(parts)


def provenance(setting: DrillSetting, state: RunState, verdict: Verdict) -> dict[str, str]:
    origin = state.origin or RunStarted.read({})
    rows: dict[str, str] = {
        "run": verdict.run or state.run,
        "drill": f"{verdict.drill}, {variant_words(verdict.variant)}",
        "experiment": setting.drill.experiment,
        "started": utc(state.started),
        "lasted": show_seconds(duration_of(state)),
        "environment": _environment(setting, origin.environment),
        "machine": plain(origin.machine),
        "started by": plain(origin.author),
        "git": _git(origin.git),
        "versions": plain(origin.versions),
        "seed": f"run {plain(origin.seed)}, load {setting.drill.load.seed}",
        "alert windows": f"production's divided by {setting.environment.clock.window_scale:g}",
        "lease of a fault": show_seconds(setting.environment.lease),
        "command": _command(origin.argv),
        "history": f"{state.events} events, digest {state.digest}" if state.digest else "",
    }
    for fault in state.faults.values():
        rows[f"mechanism of {fault_words(fault.kind) or fault.id} on {fault.target}"] = (
            f"{fault.mechanism}; parameters: {plain(fault.parameters) or 'none'}"
        )
    return {name: value for name, value in rows.items() if value}


def _environment(setting: DrillSetting, recorded: Any) -> str:
    name = f"{setting.environment.metadata.name} ({setting.environment.target})"
    details = plain(recorded) if isinstance(recorded, Mapping) else ""
    return f"{name}: {details}" if details else name


def _git(git: Any) -> str:
    if isinstance(git, Mapping):
        commit = str(git.get("commit") or "")
        changed = " with uncommitted changes" if git.get("changed") else ""
        return f"{commit}{changed}" if commit else plain(git)
    return plain(git)


def _command(argv: Any) -> str:
    return shlex.join(str(word) for word in argv) if isinstance(argv, list | tuple) else plain(argv)
