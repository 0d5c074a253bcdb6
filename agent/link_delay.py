"""Delay, jitter and bandwidth of what leaves one network: by tc where the kernel can, else by a queue of ours."""

from __future__ import annotations

import ipaddress
import os
import re
import select
import zlib
from typing import Any

from fault import NOTHING, REVERTED, Fault, Refused
from namespaces import Network, Tool, TrialNetwork, end_child, first_line, in_child, in_found, same_network, tool
from netfilter import PREFIX, Chain, peers_of, programs
from nfqueue import Queue, hold
from processes import Process, state

DELAY_MS = (0, 60_000)
UNLIMITED = "100gbit"
ROOT = "7d11:"
"""The handle of what stands first at a device while faults of ours shape it."""

OUTPUT = ("OUTPUT",)
READY_S = 5.0


class Shape(Fault):
    """`delay_ms` with `jitter_ms` around it, and `rate_kbit`, of what leaves a network by `device` towards `peers`;
    with `syn` only of what begins a TCP connection.
    """

    tick_s = 0.5
    _child: Process | None = None

    def bind(self) -> dict[str, Any]:
        network = Network(self.target)
        network.refuse_the_nodes()
        delay, rate = self._delay(), self.number("rate_kbit", 0, 100_000_000, 0)
        if not delay and not rate:
            raise Refused("got neither delay_ms nor rate_kbit, expected one")
        program = tool("tc")
        why = "neither this program's image nor the node has tc" if program is None else self._lacking(program)
        found: dict[str, Any] = {"network": network.inode, "device": str(self.parameters.get("device", "eth0"))}
        if program is not None and not why:
            self._rooted(network, program, found["device"])
            return {**found, "tc": list(program)}
        families = {"6" if ":" in peer else "4" for peer in peers_of(self.parameters)} or {"4", "6"}
        used = programs(network, "".join(sorted(families)), queue=True)
        self._refuse_held(network, used, found["device"])
        return {**found, "used": used, "queue": 1024 + zlib.crc32(self.record["fault"].encode()) % 60_000, "no_tc": why}

    def _delay(self) -> float:
        self.number("jitter_ms", *DELAY_MS, 0)
        return self.number("delay_ms", *DELAY_MS, 0)

    @property
    def _number(self) -> int:
        return zlib.crc32(self.record["fault"].encode())

    @property
    def _class(self) -> str:
        return f"{ROOT}{1 + self._number % 0xFFFE:x}"

    def _filters(self) -> list[tuple[str, int, str]]:
        """What goes through the class of this fault: protocol, priority (no other fault has it) and match of each."""
        peers, first = peers_of(self.parameters), 2 + 2 * (self._number % 30_000)
        if not peers:
            return [("all", 61_000 + self._number % 4000, "u32 0 0")]
        both = [("ipv6", first + 1, f"ip6 dst {one}") for one in peers if ":" in one]
        return [("ip", first, f"ip dst {one}") for one in peers if ":" not in one] + both

    def _syn(self, protocol: str) -> str:
        """What a filter also asks for: TCP, and of its flags SYN without ACK."""
        of_ip6 = protocol == "ipv6"
        match = f" match {'ip6' if of_ip6 else 'ip'} protocol 6 0xff match u8 0x02 0x12 at {53 if of_ip6 else 33}"
        return match if self.parameters.get("syn") else ""

    def _commands(self, device: str, *, root: bool) -> str:
        """As `tc -batch` reads them: what is meant goes through one class of the one root, all else is as before."""
        rate = self.parameters.get("rate_kbit")
        lines = [f"qdisc add dev {device} root handle {ROOT} htb default 0"] if root else []
        rate_told = f"{rate}kbit" if rate else UNLIMITED
        lines.append(f"class add dev {device} parent {ROOT} classid {self._class} htb rate {rate_told}")
        if self._delay():
            times = f"{self.parameters['delay_ms']}ms {self.parameters.get('jitter_ms', 0)}ms"
            lines.append(f"qdisc add dev {device} parent {self._class} netem limit 100000 delay {times}")
        for protocol, priority, match in self._filters():
            filters = f"filter add dev {device} parent {ROOT} protocol {protocol} prio {priority}"
            lines.append(f"{filters} u32 match {match}{self._syn(protocol)} flowid {self._class}")
        return "\n".join([*lines, ""])

    def _lacking(self, program: Tool) -> str:
        """Why this kernel cannot do it, in tc's words, tried on the loopback of a new network; "" where it can."""
        done = TrialNetwork().run(program, ["-batch", "-"], self._commands("lo", root=True))
        return first_line(done.stderr, "no reason given") if done.returncode else ""

    def _rooted(self, network: Network, program: Tool, device: str) -> bool:
        """Whether the root of our faults is there. Refused where another is, which is named, or one of ours shapes the
        same already.
        """
        kind, handle = self._root(network, program, device)
        if handle not in ("0:", ROOT):
            raise Refused(f"{device}: {kind} {handle} shapes it already, and nothing is put in its place")
        if handle == ROOT:
            there = network.run(program, ["filter", "show", "dev", device, "parent", ROOT]).stdout
            for _, _, match in self._filters():
                if (words := _as_shown(match)) and words in there:
                    raise Refused(f"{device}: another fault shapes {match} already")
        return handle == ROOT

    def _root(self, network: Network, program: Tool, device: str) -> tuple[str, str]:
        """Kind and handle of what stands first at a device; "0:" where nobody has put anything there."""
        done = network.run(program, ["qdisc", "show", "dev", device])
        if done.returncode:
            raise Refused(f"{device}: {first_line(done.stderr, 'no reason given')}")
        found = re.search(r"^qdisc (\S+) (\w+:) (?:dev \S+ )?root", done.stdout, re.MULTILINE)
        return (found[1], found[2]) if found else ("", "0:")

    def apply(self) -> None:
        network = same_network(self.target, self.found["network"])
        if network is None:
            raise Refused("the network that was found is gone")
        if "tc" in self.found:
            program = Tool(*self.found["tc"])
            device = self.found["device"]
            root = not self._rooted(network, program, device)
            done = network.run(program, ["-batch", "-"], self._commands(device, root=root))
            if done.returncode:
                raise Refused(f"{program.told}: {first_line(done.stderr, 'no reason given')}")
            return
        self._child = self._daemon(network)
        number = self.found["queue"]
        chain = Chain(network, self.record["fault"], self.found["used"])
        chain.make(self._held, OUTPUT, {"iptables": f"-j NFQUEUE --queue-num {number} --queue-bypass"})

    def _held(self, family: str) -> list[str]:
        return [one + " -p tcp --syn" if self.parameters.get("syn") else one for one in self._matches(family)]

    def _matches(self, family: str, device: str = "") -> list[str]:
        peers = peers_of(self.parameters)
        mine = [f"-d {one}" for one in peers if (":" in one) == (family == "6")]
        return mine if peers else [f"-o {device or self.found['device']}"]

    def _refuse_held(self, network: Network, used: list[list[Any]], device: str) -> None:
        """Refused where a queue of ours holds the same packets back already: they would never come to another."""
        for family, path, of_node in used:
            there = network.run(Tool(path, of_node), ["-w", "5", "-S"]).stdout
            for match in self._matches(family, device):
                if re.search(rf"^-A {PREFIX}\w+ {re.escape(match)} .*-j NFQUEUE", there, re.MULTILINE):
                    raise Refused(f"{device}: another fault holds back {match} already")

    def _daemon(self, network: Network) -> Process:
        """The child that holds packets back, once its queue is there."""
        heard, says = os.pipe()
        delay, jitter = self._delay() / 1000, self.parameters.get("jitter_ms", 0) / 1000
        bytes_per_s = self.parameters.get("rate_kbit", 0) * 1000 / 8

        def work() -> None:
            try:
                queue = Queue(self.found["queue"])
            except OSError as error:
                os.write(says, str(error).encode())
                return
            os.write(says, b"ready")
            os.close(says)
            hold(queue, delay, jitter, bytes_per_s)

        child = in_child(work, before=network.enter, output=says)
        os.close(says)
        ready, _, _ = select.select([heard], [], [], READY_S)
        told = os.read(heard, 4096).decode(errors="replace") if ready else "it did not begin in time"
        os.close(heard)
        if told != "ready":
            end_child(child)
            raise Refused(f"packets cannot be held back here: {told or 'its network cannot be entered'}")
        return child

    def tick(self) -> None:
        if self._child is not None and not state(self._child):
            self.tell("ended", what="the process that holds packets back; nothing is delayed any more")
            self._end()

    def _end(self) -> None:
        if self._child is not None:
            end_child(self._child)
            self._child = None

    def undo(self) -> str:
        done = in_found(self.target, self.found["network"], self._revert, False)
        self._end()
        return REVERTED if done else NOTHING

    def _revert(self, network: Network) -> bool:
        if "tc" not in self.found:
            return Chain(network, self.record["fault"], self.found["used"]).delete()
        program, device = Tool(*self.found["tc"]), self.found["device"]
        if self._root(network, program, device)[1] != ROOT:
            return False
        there = self._classes(network, program, device)
        was = self._class in there
        if not set(there) - {self._class}:
            self._delete(network, program, ["qdisc", "del", "dev", device, "root"])
        elif was:
            at = ["filter", "del", "dev", device, "parent", ROOT]
            for protocol, priority in {filters[:2] for filters in self._filters()}:
                network.run(program, [*at, "protocol", protocol, "prio", str(priority)])
            self._delete(network, program, ["class", "del", "dev", device, "classid", self._class])
        return was

    def _delete(self, network: Network, program: Tool, arguments: list[str]) -> None:
        done = network.run(program, arguments)
        if done.returncode:
            raise Refused(f"{program.told}: {first_line(done.stderr, 'no reason given')}")

    def _classes(self, network: Network, program: Tool, device: str) -> list[str]:
        shown = network.run(program, ["class", "show", "dev", device]).stdout
        return re.findall(rf"^class htb ({ROOT}\w+)", shown, re.MULTILINE)

    def _is_there(self, network: Network, program: Tool, device: str) -> bool:
        return self._class in self._classes(network, program, device)

    def look(self) -> tuple[bool, str]:
        gone = (False, "the network is gone, and what was done to it")
        return in_found(self.target, self.found["network"], self._seen, gone)

    def _seen(self, network: Network) -> tuple[bool, str]:
        if "tc" in self.found:
            seen = self._is_there(network, Tool(*self.found["tc"]), self.found["device"])
            return seen, f"{self.found['device']} has {'its' if seen else 'no'} class {self._class}"
        there, told = Chain(network, self.record["fault"], self.found["used"]).standing()
        held = self._child is not None and bool(state(self._child))
        return there and held, f"{told}, {'a process holds' if held else 'nothing holds'} packets back"


def _as_shown(match: str) -> str:
    """A match as `tc filter show` has it; "" for one of IPv6, which it splits."""
    kind, _, value = match.split()
    if kind == "u32":
        return "match 00000000/00000000 at 0"
    if kind == "ip6":
        return ""
    network = ipaddress.IPv4Network(value)
    return f"match {int(network.network_address):08x}/{int(network.netmask):08x} at 16"
