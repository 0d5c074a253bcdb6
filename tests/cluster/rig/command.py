"""The command line of the rig."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from .build import binaries, build, built
from .control_plane import ControlPlane
from .instance import PORTS, SERVICES, Instance, RigError
from .lifetime import alive, down, up, wait_for_nodes
from .needs import missing, packages
from .node import Node, node_names
from .programs import Programs, say

Arguments, Parser = argparse.Namespace, argparse.ArgumentParser


def _node(arguments: Arguments) -> Node:
    return Node(_up(arguments), arguments.node, binaries())


def _up(arguments: Arguments) -> Instance:
    instance: Instance = arguments.instance
    if not alive(instance):
        raise RigError(f"{instance.name} is down: tests/cluster/cluster up")
    return instance


def doctor(arguments: Arguments) -> int:
    if arguments.packages:
        print("\n".join(packages()))
        return 0
    lacking = missing()
    for line in lacking:
        print(f"missing: {line}")
    if not lacking:
        done, command = ("started", "up") if built() else ("built", "build")
        print(f"a cluster can be {done} here: tests/cluster/cluster {command}")
    return 1 if lacking else 0


def build_command(arguments: Arguments) -> None:
    print(build())


def up_command(arguments: Arguments) -> None:
    up(arguments.instance, arguments.nodes)
    if not arguments.bare:
        platform(arguments)
    print(arguments.instance.kubeconfig)


def platform(arguments: Arguments) -> None:
    from .deployment import add_platform

    add_platform(_up(arguments))


def down_command(arguments: Arguments) -> None:
    down(arguments.instance)


def wait(arguments: Arguments) -> None:
    instance = _up(arguments)
    ControlPlane(instance, binaries()).wait_ready()
    wait_for_nodes(instance, [node.name for node in _nodes(instance) if node.on])


def _nodes(instance: Instance) -> list[Node]:
    return [Node(instance, name, binaries()) for name in node_names(instance)]


def status(arguments: Arguments) -> int:
    instance: Instance = arguments.instance
    if not alive(instance):
        print(f"{instance.name} is down")
        return 3
    print(f"{instance.name} is up: {instance.kubeconfig}")
    if (environment := instance.folder / "environment.yaml").exists():
        print(f"  --environment {environment}")
    for name in PORTS:
        print(f"  127.0.0.1:{instance.port(name)}  {SERVICES.get(name, 'API server')}")
    for node in _nodes(instance):
        link = "connected" if node.connected else "cut off"
        states = ["on", link, *(["frozen"] if node.group.frozen else [])] if node.on else ["off"]
        bad = [f"GPU {index} unhealthy" for index in range(node.gpus) if (node.unhealthy / str(index)).exists()]
        print(f"  {node.name}  {', '.join(states + bad)}")
    return 0


def power(arguments: Arguments) -> None:
    node = _node(arguments)
    if arguments.what == "state":
        print("on" if node.on else "off")
    elif arguments.what == "on":
        node.power_on()
    else:
        node.power_off()


def partition(arguments: Arguments) -> None:
    _node(arguments).connect(arguments.command == "heal")


def freeze(arguments: Arguments) -> None:
    _node(arguments).freeze(arguments.command == "freeze")


def gpu(arguments: Arguments) -> None:
    _node(arguments).set_gpu(arguments.index, arguments.health == "healthy")


def pid(arguments: Arguments) -> None:
    print(_node(arguments).pid(arguments.program))


def program(arguments: Arguments) -> None:
    programs = Programs(_up(arguments) if arguments.command == "kill" else arguments.instance)
    if arguments.command == "kill":
        programs.end(arguments.program)
    else:
        programs.restart(arguments.program)


def execute(arguments: Arguments) -> None:
    instance = _up(arguments)
    path = f"{binaries()}:{os.environ['PATH']}"
    environment = os.environ | {"KUBECONFIG": str(instance.folder / "pki" / "admin.kubeconfig"), "PATH": path}
    argv = instance.in_control_net(*arguments.argv)
    os.execvpe(argv[0], argv, environment)


def kubectl(arguments: Arguments) -> None:
    instance = _up(arguments)
    environment = os.environ | {"KUBECONFIG": str(instance.kubeconfig)}
    os.execve(str(binaries() / "kubectl"), ["kubectl", *arguments.argv], environment)


def parser() -> Parser:
    whole = Parser(
        prog="cluster",
        description="A Kubernetes cluster on this machine: a control plane, and nodes with kubelets and emulated GPUs.",
        epilog="TIERDRILL_CLUSTER (or --name) names the cluster: several live beside each other.",
    )
    whole.add_argument("--name", help="the cluster's name (default: $TIERDRILL_CLUSTER, else drill)")
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[Arguments], int | None], text: str, node: bool = False) -> Parser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        if node:
            command.add_argument("node", metavar="NODE", help="node-1, say")
        return command

    add("doctor", doctor, "say what is missing on this machine; exit code 1 where something is").add_argument(
        "--packages", action="store_true", help="print the Debian packages to install, and nothing else"
    )
    add("build", build_command, "build Kubernetes from Go modules, once")
    start = add("up", up_command, "start the cluster with its platform, and print the path of its kubeconfig")
    start.add_argument("nodes", nargs="?", type=int, default=3, choices=range(1, 10), metavar="N", help="default: 3")
    start.add_argument("--bare", action="store_true", help="without the platform")
    add("platform", platform, "add the tiered deployment of `tierdrill kubernetes demo`, on a node of its own")
    add("down", down_command, "end the cluster and remove all that it made")
    add("status", status, "what runs, and where it is reached; exit code 3 where the cluster is down")
    add("wait", wait, "wait until the API server answers and every node that is on is Ready")
    switch = add("power", power, "switch a node off and on as a power loss does, or say which it is")
    switch.add_argument("what", choices=("off", "on", "state"))
    switch.add_argument("node", metavar="NODE")
    add("partition", partition, "pull the network cable of a node", node=True)
    add("heal", partition, "plug the network cable of a node in again", node=True)
    add("freeze", freeze, "stop every process of a node where it is", node=True)
    add("thaw", freeze, "let the processes of a frozen node go on", node=True)
    health = add("gpu", gpu, "make an emulated GPU unhealthy, or healthy again", node=True)
    health.add_argument("index", type=int, metavar="INDEX")
    health.add_argument("health", choices=("healthy", "unhealthy"))
    add("pid", pid, "pid of a program of a node, as numbered on this machine", node=True).add_argument(
        "program", metavar="PROGRAM", help="kubelet, containerd, kube-proxy or gpus"
    )
    for name, text in (("kill", "end a program of the control plane"), ("start", "start one again that was ended")):
        add(name, program, text).add_argument("program", metavar="PROGRAM", help="kube-apiserver, say")
    add("exec", execute, "run a command where nodes and pods are reached: exec CMD...")
    add("kubectl", kubectl, "kubectl for this cluster: kubectl ARGUMENTS...")
    return whole


def main() -> int:
    words = sys.argv[1:]
    # What follows exec and kubectl is theirs, also where it looks like an option of ours.
    own = next((i + 1 for i, word in enumerate(words) if word in ("exec", "kubectl")), len(words))
    arguments = parser().parse_args(words[:own])
    arguments.argv = words[own:]
    try:
        arguments.instance = Instance.named(arguments.name)
        return arguments.run(arguments) or 0
    except RigError as error:
        say(f"cluster: {error}")
        return 2 if str(error).startswith(("name", "node:", "GPU:", "program:")) else 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
