"""The power of a cluster's nodes: the commands that the environment's owner wrote down, run where the runner is.

A command is a list of words in which `{node}` stands for the node's name on the cluster; no shell sees it. `state` says
`on` or `off` as a word of its output. As a program (`{"off": [...], "on": [...]}`) it switches a node off and on again.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from tierdrill.faults.known_kinds import KINDS
from tierdrill.process.programs import Program, program, user_environment
from tierdrill.targets.base import TargetError

BY_POWER = tuple(kind for kind, one in KINDS.items() if one.boots)
"""Faults after which a node has to boot: how long that takes only the environment knows."""
COMMAND_WITHIN_S = 60.0
SAID_CHARACTERS = 300
Command = Literal["off", "on", "state"]
_STATE = re.compile(r"\b(on|off)\b", re.IGNORECASE)


def commands_for(power: Mapping[str, Any], node: str) -> dict[str, list[str]]:
    """The commands for one node, as plain data: an undo needs no documents."""
    return {what: [word.replace("{node}", node) for word in power[what]] for what in ("off", "on", "state")}


def _run(words: Sequence[str], **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
        env=user_environment(),
        **more,
    )


def command(commands: Mapping[str, Sequence[str]], what: Command) -> str:
    """Run it, and what it said; TargetError where it cannot be run, fails, or does not end."""
    words = list(commands[what])
    shown = " ".join(words)
    try:
        done = _run(words, timeout=COMMAND_WITHIN_S)
    except OSError as error:
        raise TargetError(f"kubernetes.power.{what}: {shown}: {error.strerror or error}") from error
    except subprocess.TimeoutExpired as error:
        raise TargetError(f"kubernetes.power.{what}: {shown}: no end within {COMMAND_WITHIN_S:g} s") from error
    said = (done.stdout + done.stderr).strip()
    if done.returncode:
        raise TargetError(f"kubernetes.power.{what}: {shown}: exit code {done.returncode}: {said[-SAID_CHARACTERS:]}")
    return said


def cycle(commands: Mapping[str, Sequence[str]]) -> None:
    """Off and on again, by a process of its own: whatever becomes of this one, the node does not stay off."""
    words = program(Program.POWER_CYCLE, json.dumps(commands))
    try:
        done = _run(words, start_new_session=True)
    except OSError as error:
        raise TargetError(f"kubernetes.power: {error.strerror or error}") from error
    if done.returncode:
        raise TargetError(done.stderr.strip()[-SAID_CHARACTERS:])


def is_off(commands: Mapping[str, Sequence[str]]) -> bool | None:
    """Whether the node is without power; None where no command tells."""
    if "state" not in commands:
        return None
    said = command(commands, "state")
    found = _STATE.findall(said)
    if not found:
        raise TargetError(f"kubernetes.power.state: got {said[:SAID_CHARACTERS]!r}, expected on or off")
    return str(found[-1]).lower() == "off"


def main() -> int:
    """On also where off did not work out: half of it may have."""
    commands, failed = json.loads(sys.argv[1]), []
    steps: tuple[Command, ...] = ("off", "on")
    for step in steps:
        try:
            command(commands, step)
        except TargetError as error:
            failed.append(str(error))
    sys.stderr.write("; ".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
