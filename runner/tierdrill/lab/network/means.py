"""What this machine has for a lab in namespace mode: tried by the agent itself, in a namespace that ends with it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from tierdrill.home import agent_folder
from tierdrill.lab.lab_config import Means
from tierdrill.lab.network.namespace_hosts import NoSuchProgram, program_path
from tierdrill.process.child import Child
from tierdrill.process.spawn import shared_pipe, start

WITHIN_S = 20.0
_HERE = {"netns": "/proc/self/ns/net"}
_TRIAL = "link add lab type bridge\nlink add host0 type veth peer name eth0\n"
_NOBODY = "127.9.9.9"
_WAYS = (("-Urn",), ("-n",))
"""How namespaces are made: as any user, in one of its own; or as root."""


class NoMeans(Exception):
    """This machine cannot have a lab in namespace mode; the message says why."""


@cache
def means() -> Means:
    """What there is; NoMeans."""
    try:
        needed = [program_path(name) for name in ("unshare", "nsenter", "ip")]
    except NoSuchProgram as error:
        raise NoMeans(str(error)) from error
    way = _way(needed[0])
    with _agent([needed[0], *way, "--"]) as agent:
        found = {
            "delay": _shaping(agent, "delay", delay_ms=1),
            "rate": _shaping(agent, "rate", rate_kbit=1000),
            "drop": _filtering(agent, "DROP"),
            "reset": _filtering(agent, "REJECT --reject-with tcp-reset", reject=True),
        }
    return Means(way, **found)


def _way(unshare: str) -> tuple[str, ...]:
    said = ""
    for way in _WAYS if os.geteuid() == 0 else _WAYS[:1]:
        trial = [unshare, *way, "--", program_path("ip"), "-batch", "-"]
        try:
            done = subprocess.run(
                trial, input=_TRIAL, capture_output=True, text=True, timeout=WITHIN_S, check=False
            )
        except (OSError, subprocess.SubprocessError) as error:
            said = said or str(error)
            continue
        if not done.returncode:
            return way
        said = said or next(iter(done.stderr.strip().splitlines()), f"exit code {done.returncode}")
    raise NoMeans(f"no network namespaces can be made here: {said}")


class _Agent:
    def __init__(self, says: BinaryIO, child: Child) -> None:
        self._says, self._child = says, child

    def ask(self, order: str, **told: Any) -> dict[str, Any]:
        """Its answer; NoMeans with its reason."""
        try:
            self._child.say(json.dumps({"id": order, "do": order, **told}))
            said: dict[str, Any] = {}
            while said.get("id") != order:
                said = json.loads(self._says.readline())
        except (OSError, ValueError):
            raise NoMeans("the agent does not answer in a network namespace") from None
        if not said.get("ok"):
            raise NoMeans(str(said.get("error")))
        return dict(said)

    def injected(self, fault: str, kind: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """What was found of the target, once the kernel has taken it; NoMeans where it does not."""
        record = self.ask("bind", fault=fault, kind=kind, target=_HERE, parameters=parameters)["record"]
        self.ask("inject", record=record)
        if not (seen := self.ask("look", fault=fault))["seen"]:
            raise NoMeans(f"{kind} {parameters}: {seen['detail']}")
        self.ask("revert", fault=fault)
        return dict(record["found"])


@contextlib.contextmanager
def _agent(prefix: list[str]) -> Iterator[_Agent]:
    command = [*prefix, sys.executable, "-I", "-B", str(agent_folder())]
    with contextlib.ExitStack() as kept:
        with shared_pipe() as (ours, childs), open(childs, "wb", closefd=False) as out:
            says = kept.enter_context(open(ours, "rb"))  # noqa: PTH123 a descriptor
            # What it warns of is no answer.
            nowhere = kept.enter_context(Path(os.devnull).open("wb"))
            child = start(command, (out, nowhere), stdin=True)
        kept.callback(child.stop, 0.0)  # and its network with it
        give_up = threading.Timer(WITHIN_S, child.send_signal, [signal.SIGKILL])
        give_up.start()
        kept.callback(give_up.cancel)
        agent = _Agent(says, child)
        agent.ask("arm", lease_s=WITHIN_S)
        yield agent


def _shaping(agent: _Agent, name: str, **parameters: Any) -> str:
    found = agent.injected(name, "shape", {**parameters, "device": "lo", "peers": [_NOBODY]})
    with_tc = "netem" if name == "delay" else "tc htb"
    why = str(found.get("no_tc", "")).removeprefix("Error: ").rstrip(".")
    return with_tc if "tc" in found else f"NFQUEUE daemon of the agent (no {with_tc} here: {why})"


def _filtering(agent: _Agent, target: str, **parameters: Any) -> str:
    found = agent.injected(target, "drop", {**parameters, "peers": [_NOBODY]})
    program = found["used"][0][0]
    return f"nft {'reject with tcp reset' if parameters else 'drop'}" if program == "nft" else f"iptables {target}"
