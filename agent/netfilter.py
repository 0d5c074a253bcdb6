"""What the faults of packets stand in: a chain of our own in one network, first in its hooks, deleted whole."""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Callable

from fault import Refused, short
from namespaces import Network, Tool, first_line, tool

PREFIX = "TIERDRILL-"


def peers_of(parameters: dict[str, Any]) -> list[str]:
    """The addresses and networks that are meant; none: all."""
    peers = parameters.get("peers") or []
    try:
        return [str(ipaddress.ip_network(str(one), strict=False)) for one in peers]
    except (ValueError, TypeError) as error:
        raise Refused(f"peers: {error}, expected IP addresses or networks") from None


class Chain:
    """One chain `TIERDRILL-...` in the filter table of one network, by iptables and ip6tables, or as a table of nft.

    `used` says by which programs, as plain data: what made it deletes it.
    """

    def __init__(self, network: Network, fault: str, used: list[Any]) -> None:
        self.network, self.fault = network, fault
        self.name, self.table = PREFIX + short(fault), "tierdrill_" + short(fault)
        self.used = [(str(family), Tool(str(path), bool(of_node))) for family, path, of_node in used]

    def make(self, matches: Callable[[str], list[str]], hooks: tuple[str, ...], verdicts: dict[str, str]) -> None:
        """Make it whole or not at all. `matches` gives what is matched, for iptables, of a family (4 or 6)."""
        for family, program in self.used:
            if family == "nft":
                self._make_table(matches, hooks, verdicts["nft"])
                continue
            rules = [f"-A {self.name} {match} {verdicts['iptables']}".replace("  ", " ") for match in matches(family)]
            jumps = [f"-I {hook} 1 -j {self.name}" for hook in hooks] if rules else []
            self._restore(program, [f":{self.name} - [0:0]", *rules, *jumps])

    def _restore(self, program: Tool, lines: list[str]) -> None:
        restore = program._replace(path=program.path + "-restore")
        text = "\n".join(["*filter", *lines, "COMMIT", ""])
        done = self.network.run(restore, ["--noflush", "-w", "5"], text)
        if done.returncode:
            raise Refused(f"{restore.told}: {first_line(done.stderr, 'no reason given')}")

    def _make_table(self, matches: Callable[[str], list[str]], hooks: tuple[str, ...], verdict: str) -> None:
        lines = [f"table inet {self.table} {{"]
        for hook in hooks:
            rules = [f"{_as_nft(match, family)} {verdict}".strip() for family in "46" for match in matches(family)]
            head = f"chain {hook.lower()} {{ type filter hook {hook.lower()} priority -1;"
            lines += [head, *dict.fromkeys(rules), "}"]
        program = dict(self.used)["nft"]
        done = self.network.run(program, ["-f", "-"], "\n".join([*lines, "}", ""]))
        if done.returncode:
            raise Refused(f"{program.told}: {first_line(done.stderr, 'no reason given')}")

    def delete(self) -> bool:
        """Delete it with every jump to it; whether there was anything."""
        return sum(self._delete(family, program) for family, program in self.used) > 0

    def _delete(self, family: str, program: Tool) -> bool:
        if family == "nft":
            done = self.network.run(program, ["delete", "table", "inet", self.table])
            if done.returncode and "No such file" not in done.stderr:
                raise Refused(f"{program.told}: {first_line(done.stderr, 'no reason given')}")
            return done.returncode == 0
        lines = self._listed(program)
        if not lines:
            return False
        jumps = [line.replace("-A", "-D", 1) for line in lines if line.endswith(f"-j {self.name}")]
        self._restore(program, [*jumps, f"-F {self.name}", f"-X {self.name}"])
        return True

    def _listed(self, program: Tool) -> list[str]:
        done = self.network.run(program, ["-w", "5", "-S"])
        if done.returncode:
            raise Refused(f"{program.told}: {first_line(done.stderr, 'no reason given')}")
        return [line for line in done.stdout.splitlines() if self.name in line.split()]

    def standing(self) -> tuple[bool, str]:
        """Whether it is there and in effect, and how many packets it has met."""
        met, there = 0, False
        for family, program in self.used:
            if family == "nft":
                there = there or not self.network.run(program, ["list", "table", "inet", self.table]).returncode
                continue
            there = there or any(line.endswith(f"-j {self.name}") for line in self._listed(program))
            counted = self.network.run(program, ["-w", "5", "-nvxL", self.name]).stdout
            met += sum(int(found) for found in re.findall(r"^\s*(\d+)\s", counted, re.MULTILINE))
        return there, f"{self.name} is there and has met {met} packets" if there else f"no {self.name}"


def _as_nft(match: str, family: str) -> str:
    """A match of iptables (-s, -d, -i, -o) as nft spells it."""
    words = match.split()
    ip = "ip" if family == "4" else "ip6"
    names = {"-s": f"{ip} saddr", "-d": f"{ip} daddr", "-i": "iifname", "-o": "oifname"}
    return " ".join(f"{names[key]} {value}" for key, value in zip(words[::2], words[1::2]))


def programs(network: Network, families: str, *, queue: bool = False) -> list[list[Any]]:
    """What can filter in a network: iptables for those of the families (4, 6) that it has, else nft; else Refused."""
    found: list[list[Any]] = []
    told = []
    for family, name in (("4", "iptables"), ("6", "ip6tables")):
        program = tool(name) if family in families else None
        if program is None or not (tool(name + "-restore") or program.of_node):
            continue
        tried = network.run(program, ["-w", "5", "-S"])
        if tried.returncode == 0:
            found.append([family, program.path, program.of_node])
        else:
            told.append(f"{program.told}: {first_line(tried.stderr, 'no reason given')}")
    if found and (found[0][0] == "4" or families == "6"):
        return found
    program = None if queue else tool("nft")
    if program is None:
        raise Refused("; ".join(told) or "neither this program's image nor the node has iptables or nft")
    return [["nft", program.path, program.of_node]]
