"""What is known of one kind of fault, whatever it is injected into: the record that each file of `kinds/` fills in."""

import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from tierdrill.text import Explained

TargetKind = Literal[
    "node", "gpu", "replica", "link", "gateway", "stream", "tier", "store", "prometheus", "alertmanager", "engine"
]


class UnknownFault(Explained, ValueError):
    """No such fault, or arguments it cannot have; the message says what is allowed."""


def modules_by_kind(package: ModuleType) -> Iterator[tuple[str, ModuleType]]:
    """The modules of a package that has one for each kind of fault, each with the kind it is named after."""
    for found in sorted(pkgutil.iter_modules(package.__path__), key=lambda one: one.name):
        yield found.name.replace("_", "-"), import_module(f"{package.__name__}.{found.name}")


@cache
def kinds_in(folder: Path) -> frozenset[str]:
    """The kinds of fault that a folder has a module for, without importing any."""
    return frozenset(found.name.replace("_", "-") for found in pkgutil.iter_modules([str(folder)]))


@dataclass(frozen=True)
class Parameter:
    """An argument of a fault: text, or a whole number where it has bounds. One with a default may be left out.

    `names` is what its text is the name of: a kind of target, a model, a remedy.
    """

    name: str
    meaning: str
    unit: str = ""
    bounds: tuple[int, int] | None = None
    default: int | None = None
    names: str = ""

    def checked(self, kind: str, value: Any) -> str | int:
        """The value with its type made right; UnknownFault if it is not allowed."""
        if self.bounds is None:
            if not isinstance(value, str) or not value:
                raise UnknownFault(f"{kind}: got {self.name}={value!r}, expected {self.meaning}")
            return value
        try:
            number = int(value)
        except (TypeError, ValueError):
            raise UnknownFault(f"{kind}: got {self.name}={value!r}, expected a whole number") from None
        low, high = self.bounds
        if not low <= number <= high:
            raise UnknownFault(f"{kind}: got {self.name}={number}, expected {low} to {high}")
        return number


_NODE = Parameter("node", "the node's name, such as node-2")
IDENTITY: Mapping[TargetKind, tuple[Parameter, ...]] = {
    "node": (_NODE,),
    "gpu": (_NODE, Parameter("gpu", "the GPU's index on its node", "", (0, 63), default=0)),
    "replica": (Parameter("replica", "the replica's name, such as assistant-1"),),
    "link": (
        Parameter("source", "where the link begins, such as gateway-a"),
        Parameter("destination", "where the link ends, such as node-2"),
    ),
    "gateway": (Parameter("gateway", "the gateway's name, such as gateway-a"),),
    "stream": (Parameter("stream", "the stream's name in the drill's load, such as batch"),),
    "tier": (Parameter("tier", "the tier's name, such as critical"),),
    "store": (Parameter("store", "a store's name, or a member's of it, such as state-store-1 or store-a"),),
    "prometheus": (),
    "alertmanager": (),
    "engine": (),
}
"""The arguments that say what is hit; the undo of a fault must repeat them. None where there is one of it."""


@dataclass(frozen=True)
class FaultKind:
    """One kind of fault.

    `action` and `undo` are its functions in tierdrill.chaos.actions, `does` is what the action does, `settings` are its
    arguments beside those that name the target. A fault that does not disrupt changes only what is said of its target.
    `pods` is what becomes of the replicas at its target: lost with a node that is not ready any more, evicted (budgets
    are asked), or deleted. With `boots` their node has to boot before they can be there again.
    `among` are the only targets that it can be of, where not all of their kind can have it.
    `blinds` are the ways of watching alerts that show nothing while it lasts (`what` of a monitoring.gap).
    """

    kind: str
    target_kind: TargetKind
    action: str
    undo: str
    does: str
    cause: str
    source: str
    visible: str
    undone: str
    proof: str
    settings: tuple[Parameter, ...] = ()
    disrupts: bool = True
    pods: Literal["stay", "lost", "evicted", "deleted"] = "stay"
    boots: bool = False
    among: tuple[str, ...] = ()
    blinds: tuple[str, ...] = ()

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """All its arguments, those that say what is hit first."""
        return (*IDENTITY[self.target_kind], *self.settings)

    @property
    def identity(self) -> tuple[str, ...]:
        """The names of the arguments that say what is hit."""
        return tuple(one.name for one in IDENTITY[self.target_kind])

    @property
    def required(self) -> tuple[str, ...]:
        return tuple(one.name for one in self.parameters if one.default is None)

    def words(self, arguments: Mapping[str, Any]) -> list[str]:
        """The values of the identity, in order; "" for one that is missing."""
        named = IDENTITY[self.target_kind]
        return [str(arguments.get(one.name, "" if one.default is None else one.default)) for one in named]

    def target(self, arguments: Mapping[str, Any]) -> str:
        """The target as alerts and playbooks name it: `node-1`, `node-1/0`, `assistant-0` or `gateway-a>node-2`."""
        return {"gpu": "/", "link": ">"}.get(self.target_kind, "").join(self.words(arguments)) or self.target_kind
