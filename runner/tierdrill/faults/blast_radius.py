"""How far faults may reach at one time, and what they must leave alone: one rule for checks, plans and injection. Pure.

Targets are named as everywhere: `node-1`, `node-1/0`, `assistant-0`, `gateway-a`, `gateway-a>node-2`, where a link may
have `*` for an end.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import product

from tierdrill.faults.known_kinds import KINDS
from tierdrill.text import listed

PLATFORM_HOSTS = ("controller", "prometheus")


def hosts_of(gateways: Iterable[str], nodes: Iterable[str]) -> tuple[str, ...]:
    """Both ends that a link can have."""
    return (*gateways, *nodes, *PLATFORM_HOSTS)


def links_of(gateways: Iterable[str], nodes: Iterable[str]) -> tuple[str, ...]:
    """Links that carry something, `from>to`."""
    near = tuple(gateways)
    pairs = [*product((*near, *PLATFORM_HOSTS), nodes), *((gateway, "controller") for gateway in near)]
    return tuple(f"{one}>{other}" for one, other in pairs)


@dataclass(frozen=True)
class Layout:
    """What is there, as far as it is known: the links, what falls with a node or a GPU, and the tier of a replica."""

    links: tuple[str, ...] = ()
    falls: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tiers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Limits:
    """What an environment allows: how many targets of a kind at one time, and what is protected (fnmatch patterns)."""

    environment: str
    most: Mapping[str, int]
    protected: Sequence[str] = ()


@dataclass(frozen=True)
class Violation:
    """One limit that is exceeded: what was found, and what is allowed."""

    found: str
    allowed: str

    def __str__(self) -> str:
        return f"{self.found}; {self.allowed}"


class ConcurrentFaults:
    """The faults that stand at one time, held against the limits as they come and go."""

    def __init__(self, limits: Limits, layout: Layout) -> None:
        self._limits, self._layout = limits, layout
        self._standing: dict[tuple[str, str], frozenset[str]] = {}

    def add(self, kind: str, *targets: str) -> list[Violation]:
        """Faults of one kind on these targets come on top: what is exceeded. Of kinds that are not ours, nothing."""
        if kind not in KINDS:
            return []
        what = KINDS[kind].target_kind
        before = self.reach(what)
        for target in targets:
            self._standing[kind, _undirected(what, target)] = touched(what, target, self._layout)
        found = []
        count, most = self.reach(what), self._limits.most.get(what)
        # More requests touch no part of the deployment; what they do to it is what the drill finds out.
        if most is not None and len(count) > max(most, len(before)):
            found.append(
                Violation(
                    f"{len(count)} {what}{'s' * (len(count) != 1)} at a time ({listed(sorted(count), 4)})",
                    f"environment {self._limits.environment} allows {most} (blast_radius.{what}s)",
                )
            )
        for target in targets:
            names = affected(what, target, self._layout)
            hit = [one for one in self._limits.protected if any(_matches(name, one) for name in names)]
            if hit:
                protects = f"environment {self._limits.environment} protects {listed(hit)}"
                found.append(Violation(f"{kind} of {target}", protects))
        return found

    def remove(self, kinds: Iterable[str], target: str) -> None:
        for kind in kinds:
            self._standing.pop((kind, _undirected(KINDS[kind].target_kind, target)), None)

    def reach(self, target_kind: str) -> frozenset[str]:
        """Everything of a kind of target that is touched now."""
        mine = [names for (kind, _), names in self._standing.items() if KINDS[kind].target_kind == target_kind]
        return frozenset().union(*mine)


def touched(target_kind: str, target: str, layout: Layout) -> frozenset[str]:
    """What one fault counts as; a link with `*` is every link that it cuts."""
    if target_kind != "link":
        return frozenset({target})
    ends = target.split(">")
    wild = len(ends) == 2 and "*" in ends
    cut = [link for link in layout.links if _fits(ends, link.split(">"))] if wild else []
    return frozenset(_undirected("link", link) for link in cut or (target,))


def affected(target_kind: str, target: str, layout: Layout) -> frozenset[str]:
    """Everything that suffers: what it touches, the node of a GPU, what falls with either, models and tiers of those.

    Of a link it is the far end that is cut off; a gateway at the near end is where traffic comes from.
    """
    names = {target, *touched(target_kind, target, layout), *layout.falls.get(target, ())}
    if target_kind == "link":
        near, _, far = target.partition(">")
        names |= {far} if far != "*" else {end for link in names for end in link.split(">")} - {near}
    elif target_kind == "gpu":
        names.add(target.partition("/")[0])
    replicas = {name for name in names if name in layout.tiers} | ({target} if target_kind == "replica" else set())
    names |= {name.rpartition("-")[0] for name in replicas}
    names |= {layout.tiers[name] for name in replicas if name in layout.tiers}
    return frozenset(names)


def _undirected(target_kind: str, target: str) -> str:
    return ">".join(sorted(target.split(">"))) if target_kind == "link" else target


def _fits(ends: list[str], link: list[str]) -> bool:
    return any(all(end in ("*", name) for end, name in zip(ends, order, strict=True)) for order in (link, link[::-1]))


def _matches(name: str, pattern: str) -> bool:
    """A pattern for hosts is none for links, which have both ends in their names."""
    return (">" in name) == (">" in pattern) and fnmatchcase(name, pattern)
