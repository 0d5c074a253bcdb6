"""What a remedy leaves changed after it has been carried out: settings of the deployment, by name. Pure.

A restart leaves nothing behind; a shed, a weight, a flag, a cap and a cordon stay until somebody takes them back, and a
replica that was moved stays where it was moved to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

SettingKind = Literal["shed", "caps", "weights", "flags", "cordon", "places"]
GATEWAY_KINDS = ("shed", "caps", "weights", "flags")
"""Settings that each gateway has for itself."""


@dataclass(frozen=True)
class Setting:
    """A tier's shed or cap, a node's (or GPU's) weight or cordon, a flag; `gateway` None means at all gateways."""

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


def settings_of(action: str, arguments: Mapping[str, Any]) -> tuple[Setting, ...]:
    """The settings that a remedy changes, whatever it sets them to."""
    name = {key: str(value) for key, value in arguments.items()}
    gateway = name.get("gateway")
    if action in ("shed", "cap"):
        return (Setting("shed" if action == "shed" else "caps", name.get("tier", "")),)
    if action == "set-weight":
        where = name.get("node", "") + (f"/{name['gpu']}" if "gpu" in name else "")
        return (Setting("weights", where, gateway),)
    if action == "set-flag":
        return (Setting("flags", name.get("flag", ""), gateway),)
    if action in ("cordon", "uncordon"):
        return (Setting("cordon", name.get("node", "")),)
    if action == "drain":
        return (Setting("cordon", name.get("node", "")), Setting("places"))
    if action in ("reschedule", "replace-replica", "rebalance"):
        return (Setting("places"),)
    return ()


def lasting_settings(action: str, arguments: Mapping[str, Any]) -> tuple[Setting, ...]:
    """Those that a playbook must take back. None where the remedy itself gives back, and not where replicas are: one
    serves from wherever it is, and the end of a run brings it home.
    """
    gives_back = (
        action == "uncordon"
        or (action == "shed" and arguments.get("fraction") == 0)
        or (action == "set-weight" and arguments.get("weight") == 1)
    )
    return () if gives_back else tuple(one for one in settings_of(action, arguments) if one.kind != "places")
