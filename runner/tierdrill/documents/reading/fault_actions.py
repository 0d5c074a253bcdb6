"""The uses that an experiment makes of `tierdrill.chaos.actions`, read without importing the extension."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tierdrill.faults.kind import FaultKind
from tierdrill.faults.known_kinds import ACTIONS, UNDOS

MODULE = "tierdrill.chaos.actions"
OUR_MODULES = (MODULE, "tierdrill.chaos.probes")
LEASE = "lease_s"
FUNCTIONS = (*sorted(ACTIONS), *sorted(UNDOS))


@dataclass(frozen=True)
class Call:
    """One use of our extension in an experiment: where it stands, and its arguments as written or filled in."""

    section: Literal["method", "rollbacks"]
    index: int
    func: str
    arguments: Mapping[str, Any]

    @property
    def fault(self) -> FaultKind:
        return ACTIONS.get(self.func) or UNDOS[self.func][0]

    @property
    def words(self) -> list[str]:
        """The identity arguments, in order; "" for one that is missing."""
        return self.fault.words(self.arguments)

    @property
    def target(self) -> str:
        """The target as alerts and playbooks name it: `node-1`, `node-1/0`, `assistant-0` or `gateway-a>node-2`."""
        return self.fault.target(self.arguments)

    @property
    def identity(self) -> tuple[str, ...]:
        """The target for comparing a fault with its undo; a link has no direction."""
        return tuple(sorted(self.words)) if self.fault.target_kind == "link" else tuple(self.words)


def calls(content: Mapping[str, Any]) -> Iterator[Call]:
    """Every use of our fault actions and undos in an experiment, `ref`s followed, in the order they would run."""
    by_name = {
        activity.get("name"): activity
        for activity in (*_activities(content, "method"), *_activities(content, "rollbacks"))
        if isinstance(activity.get("name"), str)
    }
    for section in ("method", "rollbacks"):
        for index, written in enumerate(_list(content, section)):
            if not isinstance(written, dict):
                continue
            ref = written.get("ref")
            activity = by_name.get(ref, written) if isinstance(ref, str) else written
            provider = activity.get("provider")
            if not isinstance(provider, dict) or provider.get("module") != MODULE:
                continue
            func, arguments = provider.get("func"), provider.get("arguments", {})
            if func in FUNCTIONS and isinstance(arguments, dict):
                yield Call("method" if section == "method" else "rollbacks", index, str(func), arguments)


def _list(content: Mapping[str, Any], section: str) -> list[Any]:
    found = content.get(section)
    return found if isinstance(found, list) else []


def _activities(content: Mapping[str, Any], section: str) -> list[dict[str, Any]]:
    return [activity for activity in _list(content, section) if isinstance(activity, dict)]
