"""Every remedy there is, found by walking `kinds/`: what documents, targets, the judge, exercises and docs share."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tierdrill.faults.kind import modules_by_kind
from tierdrill.remedies import kinds
from tierdrill.remedies.remedy import RemedyKind, Setting

REMEDIES: dict[str, RemedyKind] = {name: module.KIND for name, module in modules_by_kind(kinds)}
IN_PLAYBOOKS: tuple[str, ...] = tuple(name for name, one in REMEDIES.items() if one.in_playbooks)
COMMANDS: Mapping[str, tuple[RemedyKind, ...]] = {
    command: tuple(one for one in reversed(REMEDIES.values()) if one.command == command)
    for command in sorted({one.command for one in REMEDIES.values()} - {""})
}
"""By the command of `tierdrill ops`; what is told apart by its target shares one."""


def settings_of(name: str, arguments: Mapping[str, Any]) -> tuple[Setting, ...]:
    """The settings that a remedy changes; none for a name that is no remedy's."""
    return REMEDIES[name].settings(arguments) if name in REMEDIES else ()


def of_gpu(name: str) -> str:
    """A remedy of a node or a GPU, done to a GPU alone, as targets name what they do not have."""
    return f"{name} of a GPU"


def implemented(names: Iterable[str], module: Mapping[str, Any]) -> dict[str, Callable[..., Any]]:
    """What a module does under each of the names: its function of that name, with `_` for `-` and `.`."""
    found = {name: module.get(name.replace("-", "_").replace(".", "_")) for name in names}
    return {name: function for name, function in found.items() if callable(function)}
