"""Packets lost (a share of them, or all), or TCP connections refused, between a network and its peers."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any, Callable

from fault import NOTHING, REVERTED, Fault, Refused
from namespaces import Network, in_found, same_network
from netfilter import Chain, peers_of, programs

HOOKS = {"in": ("INPUT",), "out": ("OUTPUT",), "both": ("INPUT", "OUTPUT")}
UPLINKS = "uplinks"
TURN_S = 0.05
"""How often is looked whether what comes and goes has to."""


class Drop(Fault):
    """What passes between a network and `peers` (none: everybody) is dropped; with `reject` TCP is reset; `percent`:
    only so much of it. `direction` in, out or both. `interfaces`: what passes through those, also what is forwarded;
    "uplinks" are those by which the node reaches others. With `period_ms` it comes and goes: of each period it is there
    for `down_percent`.
    """

    _since: float | None = None
    _passing = False

    def bind(self) -> dict[str, Any]:
        self._hooks()
        self.number("percent", 0.01, 100, 100)
        self._period_s()
        if self.target.get("host") is True and not self.parameters.get("interfaces"):
            raise Refused("in the node's own network, interfaces must be named: lo and the pods' would be cut as well")
        families = {"6" if ":" in peer else "4" for peer in peers_of(self.parameters)} or {"4", "6"}
        network = Network(self.target)
        network.refuse_the_nodes()
        names = self.parameters.get("interfaces") or []
        if names == UPLINKS:
            names = uplinks()
        return {
            "network": network.inode,
            "used": programs(network, "".join(sorted(families))),
            "interfaces": names,
        }

    def _hooks(self) -> tuple[str, ...]:
        direction = self.parameters.get("direction", "both")
        if direction not in HOOKS:
            raise Refused(f"direction: got {direction!r}, expected in, out or both")
        return (*HOOKS[direction], *(("FORWARD",) if self.parameters.get("interfaces") else ()))

    def _matches(self, family: str) -> list[str]:
        names = [str(one) for one in self.found["interfaces"]]
        if any(not re.fullmatch(r"[\w.@:-]{1,15}", name) or name == "lo" for name in names):
            raise Refused(f"interfaces: got {names}, expected names of network interfaces other than lo")
        peers = [one for one in peers_of(self.parameters) if (":" in one) == (family == "6")]
        direction = self.parameters.get("direction", "both")
        pairs = [(key, name) for name in names for key in ("-i", "-o")]
        pairs += [(key, peer) for peer in peers for key in ("-s", "-d")]
        wanted = {"in": "-i-s", "out": "-o-d", "both": "-i-s-o-d"}[direction]
        matches = [f"{key} {value}" for key, value in pairs if key in wanted]
        return matches if self.parameters.get("peers") or names else [""]

    def _period_s(self) -> float:
        self.number("down_percent", 1, 100, 100)
        return self.number("period_ms", 0, 60_000, 0) / 1000

    def apply(self) -> None:
        network = same_network(self.target, self.found["network"])
        if network is None:
            raise Refused("the network that was found is gone")
        self._drop(network)
        if self._period_s():
            self._since, self.tick_s = time.monotonic(), TURN_S

    def tick(self) -> None:
        if self._since is not None:
            at = (time.monotonic() - self._since) / self._period_s() % 1
            passing = at * 100 >= self.parameters["down_percent"]
            if passing != self._passing and in_found(self.target, self.found["network"], self._turn(passing), False):
                self._passing = passing

    def _turn(self, passing: bool) -> Callable[[Network], bool]:
        def turn(network: Network) -> bool:
            if passing:
                self._chain(network).delete()
            else:
                self._drop(network)
            return True

        return turn

    def _drop(self, network: Network) -> None:
        percent = float(self.parameters.get("percent", 100))
        what = {"iptables": "-j DROP", "nft": "drop"}
        if self.parameters.get("reject"):
            what["iptables"] = "-p tcp ! --tcp-flags RST RST -j REJECT --reject-with tcp-reset"
            what["nft"] = "tcp flags & rst == 0 reject with tcp reset"
        if percent < 100:
            share = percent / 100
            what["iptables"] = f"-m statistic --mode random --probability {share:.6f} {what['iptables']}"
            what["nft"] = f"numgen random mod 1000000 < {int(share * 1000000)} {what['nft']}"
        self._chain(network).make(self._matches, self._hooks(), what)

    def _chain(self, network: Network) -> Chain:
        return Chain(network, self.record["fault"], self.found["used"])

    def undo(self) -> str:
        done = in_found(self.target, self.found["network"], lambda network: self._chain(network).delete(), False)
        return REVERTED if done else NOTHING

    def look(self) -> tuple[bool, str]:
        gone = (False, "the network is gone, and the rules with it")
        there, told = in_found(self.target, self.found["network"], lambda net: self._chain(net).standing(), gone)
        return (True, f"{told}: it passes now, and not for long") if self._passing else (there, told)


def uplinks() -> list[str]:
    """The interfaces that the node's default routes lead through. Refused where there is none."""
    found = set()
    for name, destination, prefix, device in (("route", 1, 7, 0), ("ipv6_route", 0, 1, 9)):
        try:
            rows = [line.split() for line in Path(f"/proc/1/net/{name}").read_text().splitlines()]
        except OSError:
            continue
        whole = [row for row in rows if len(row) > 8 and not (row[destination] + row[prefix]).strip("0")]
        found |= {row[device] for row in whole}
    if not found - {"lo"}:
        raise Refused("the node has no default route: its uplinks are not known")
    return sorted(found - {"lo"})
