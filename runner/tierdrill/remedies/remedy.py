"""What is known of one remedy, whatever carries it out: the record that each file of `kinds/` fills in. Pure.

The witness of a remedy is never what carries it out: not the setting it wrote, and not its own answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tierdrill.remedies.facts import A_SHARE

CONTROL_PLANE = "the control plane"
TRAFFIC = "the load's own requests"
PROCESSES = "the lab's processes"
PROMETHEUS = "Prometheus"
RECEIVER = "the receiver of alerts"

AN_INDEX, A_RATE = "a GPU's index", "requests a second, or none"
UNSET: Any = object()

TargetForm = Literal["", "replica", "node", "place", "link", "gateway", "tier", "store", "flag"]
SettingKind = Literal["shed", "caps", "retries", "weights", "flags", "cordon", "places"]
GATEWAY_KINDS = ("shed", "caps", "retries", "weights", "flags")
"""Settings that each gateway has for itself."""
UNTOLD: Mapping[str, Any] = {"shed": 0.0, "weights": 1.0, "caps": None, "retries": None, "flags": False}
"""What a gateway does where it was told nothing."""


@dataclass(frozen=True)
class Argument:
    """An argument. Its kind is what it names (a node, a tier, ...), or how its value must be; `many` are a list.

    The `neutral` value takes back what the remedy set.
    """

    name: str
    kind: str
    required: bool = True
    many: bool = False
    neutral: Any = UNSET


@dataclass(frozen=True)
class TargetArguments:
    """How a form of target is given: as arguments, and by people; `astray` is the one that names a wrong target."""

    arguments: tuple[Argument, ...]
    astray: str
    usage: str
    word: str


_NODE, _GPU = Argument("node", "node"), Argument("gpu", AN_INDEX, required=False)
ONE_GATEWAY = Argument("gateway", "gateway", required=False)
TIERS = Argument("tiers", "tier", required=False, many=True)
MODELS = Argument("models", "model", required=False, many=True)
TARGETS: Mapping[TargetForm, TargetArguments] = {
    "": TargetArguments((), "", "", ""),
    "replica": TargetArguments((Argument("replica", "replica"),), "replica", "REPLICA", "replica"),
    "node": TargetArguments((_NODE,), "node", "NODE", "node"),
    "place": TargetArguments((_NODE, _GPU), "node", "NODE[/GPU]", "node or GPU"),
    "link": TargetArguments((_NODE, _GPU, ONE_GATEWAY), "node", "[GATEWAY>]NODE[/GPU]", "node or GPU"),
    "gateway": TargetArguments((Argument("gateway", "gateway"),), "gateway", "GATEWAY", "gateway"),
    "tier": TargetArguments((Argument("tier", "tier"),), "tier", "TIER", "tier"),
    "store": TargetArguments((Argument("store", "store"),), "store", "STORE", "state store"),
    "flag": TargetArguments((Argument("flag", "flag"),), "gateway", "FLAG", "flag"),
}
"""The arguments that say on what a remedy acts, the one that must be there first."""


@dataclass(frozen=True)
class Setting:
    """What a remedy leaves changed until somebody takes it back: a tier's shed or cap, a node's (or GPU's) weight or
    cordon, a flag, where replicas are. `gateway` None means at all gateways.
    """

    kind: SettingKind
    name: str = ""
    gateway: str | None = None

    def __str__(self) -> str:
        """As people say it: "shed of best-effort", "weights of node-1 at gateway-a"."""
        words = f"{self.kind} of {self.name}" if self.name else self.kind
        return f"{words} at {self.gateway}" if self.gateway else words

    def concerns(self, other: Setting) -> bool:
        """Whether setting one sets (some of) the other."""
        same = (self.kind, self.name) == (other.kind, other.name)
        return same and (None in (self.gateway, other.gateway) or self.gateway == other.gateway)


def in_words(setting: str) -> str:
    """A setting by the name that ledger and history have for it, as people say it."""
    return "replicas away from home" if setting == "places" else setting


@dataclass(frozen=True)
class RemedyKind:
    """One remedy.

    - `command` is how `tierdrill ops` calls it ("" where nobody can do it by hand), `help` what that says.
    - `sets` are the settings it leaves changed, `undo` the remedies that take it back, with what was set before;
      `forgets` is the argument that names whose settings are gone afterwards. `changes` are facts.
    - `witness` says who sees its effect ("" where nobody but the remedy could: such a step is judged by those after
      it), `look` with which of judge.checks.remedy_effects.Witnesses, and `seen` what.
    - `tier_rule` is the rule of the tiers that it may break. `harmless` gives something back or only tells somebody.
    - `repeats`: to do it twice is more than to do it once. `ends_replicas`: replicas end by it, and begin elsewhere.
    - `needs` is what not every deployment offers: gateways' settings, nodes' power, exporters, a store, monitoring, a
      say in where models come from, others' processes.
    """

    name: str
    target: TargetForm
    help: str
    command: str
    settings_arguments: tuple[Argument, ...] = ()
    sets: tuple[SettingKind, ...] = ()
    undo: tuple[str, ...] = ()
    forgets: str = ""
    changes: tuple[str, ...] = ()
    witness: str = ""
    look: str = ""
    seen: str = ""
    tier_rule: str = ""
    harmless: bool = False
    repeats: bool = False
    ends_replicas: bool = False
    needs: Literal["", "gateway", "power", "exporter", "store", "monitoring", "models", "processes"] = ""
    in_playbooks: bool = True
    any_arguments: bool = False

    @property
    def arguments(self) -> tuple[Argument, ...]:
        """All its arguments, those that say on what it acts first."""
        return (*TARGETS[self.target].arguments, *self.settings_arguments)

    @property
    def required(self) -> tuple[str, ...]:
        return tuple(one.name for one in self.arguments if one.required)

    @property
    def halves(self) -> bool:
        """Whether it can be done by half: half the way to a value, or for half of the models."""
        return MODELS in self.arguments or any(one.kind == A_SHARE for one in self.arguments)

    def target_of(self, arguments: Mapping[str, Any]) -> str:
        """The target as people write it: `node-1/0`, `gateway-a>node-1`, a tier; "" where none is given."""
        named = TARGETS[self.target].arguments
        first = str(arguments.get(named[0].name, "")) if named else ""
        if first and _GPU in named and arguments.get("gpu") is not None:
            first = f"{first}/{arguments['gpu']}"
        if first and ONE_GATEWAY in named and arguments.get("gateway"):
            return f"{arguments['gateway']}>{first}"
        return first

    def settings(self, arguments: Mapping[str, Any]) -> tuple[Setting, ...]:
        """The settings that it changes, whatever it sets them to."""
        gateway = arguments.get("gateway") if ONE_GATEWAY in self.arguments else None
        names: dict[str, str] = {"places": "", "cordon": str(arguments.get("node", ""))}
        where = self.target_of({**arguments, "gateway": None})
        return tuple(
            Setting(kind, names.get(kind, where), None if gateway is None else str(gateway)) for kind in self.sets
        )

    def lasting(self, arguments: Mapping[str, Any]) -> tuple[Setting, ...]:
        """The settings that a playbook must take back: not where the remedy itself gives back, and not where replicas
        are: one serves from wherever it is, and the end of a run brings it home.
        """
        gives_back = self.harmless or self.restores(arguments)
        return () if gives_back else tuple(one for one in self.settings(arguments) if one.kind != "places")

    def restores(self, arguments: Mapping[str, Any]) -> bool:
        """Whether it sets what it sets to what that is when all is well."""
        return any(one.neutral is not UNSET and arguments.get(one.name, UNSET) == one.neutral for one in self.arguments)
