"""Where the lab's programs are started: all on this machine, or, in namespace mode, nodes and gateways on hosts."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tierdrill.lab.lab_config import LabConfig
from tierdrill.lab.network.namespace_hosts import HOSTS_FILE, OUTSIDE, NamespaceHosts, addresses, program_path
from tierdrill.lab.supervisor.program_calls import CallFailed
from tierdrill.process.child import Child
from tierdrill.process.ready_line import program_argv
from tierdrill.process.safe_files import write_private
from tierdrill.process.spawn import spawn_async

NAMESPACES = "namespaces"


class LabHosts:
    """Of one lab, in either mode. Its programs work in its folder."""

    def __init__(self, config: LabConfig, folder: Path, env: Mapping[str, str]) -> None:
        self._means, self._folder, self._env = config.means, folder, env
        self._names = (*OUTSIDE, *config.gateways, *config.model_stores, *(node.name for node in config.nodes))
        self._within_s = config.startup_timeout_s
        self._hosts: NamespaceHosts | None = None

    async def start(self) -> Child:
        """Make the hosts. That is done once: who was on them is gone with them; CallFailed then."""
        if self._means is None or self._hosts is not None:
            raise CallFailed("the network namespaces of the lab have ended, and cannot be made again: end the lab")
        config = {
            "hosts": addresses(self._names),
            "file": str(self._folder / HOSTS_FILE),
            "own_user": any("U" in option for option in self._means.unshare),
        }
        made = [program_path("unshare"), *self._means.unshare, "--"]
        child = await self._spawn(made, NAMESPACES, NAMESPACES, config, ())
        self._hosts = NamespaceHosts.of(self._folder)
        return child

    async def spawn(self, program: str, name: str, config: Mapping[str, Any], fds: tuple[int, ...]) -> Child:
        """Start a program that has that name, on the host of that name if there is one; once it serves. SpawnError."""
        entering = self._hosts.entering(name) if self._is_host(name) and self._hosts is not None else []
        return await self._spawn(entering, program, name, config, fds)

    async def _spawn(
        self, prefix: list[str], program: str, name: str, config: Mapping[str, Any], fds: tuple[int, ...]
    ) -> Child:
        path = self._folder / "config" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, json.dumps({"name": name, **config}, indent=1))
        return await spawn_async(
            [*prefix, *program_argv(program, path)],
            log_path=self._folder / "logs" / f"{name}.log",
            env=self._env,
            cwd=self._folder,
            new_group=True,
            pass_fds=fds,
            ready_timeout_s=self._within_s,
        )

    def _is_host(self, name: str) -> bool:
        return self._hosts is not None and name in self._hosts.hosts and name not in OUTSIDE

    def listen(self, name: str) -> str:
        """Where a program on that host listens."""
        return f"{self._hosts.hosts[name].address if self._hosts is not None else '127.0.0.1'}:0"

    def is_inside(self, address: str) -> bool:
        """Whether an address is one of a host, and none of this machine."""
        return self._hosts is not None and self._hosts.has(address)
