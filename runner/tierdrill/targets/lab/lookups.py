"""What the faults of the lab's resolver share: the witness asks it, by the DNS."""

import itertools
import socket
from typing import Any

from tierdrill.lab.client import LabClient
from tierdrill.lab.dns_messages import Answer, answered, question, service
from tierdrill.targets.base import TargetError
from tierdrill.targets.lab.lab_fault import Parameters, known

ANSWER_S = 0.3
WITNESS = "a question to the resolver"
_NUMBERS = itertools.cycle(range(1, 65536))


def edges_of(client: LabClient, gateway: str | None, replica: str = "") -> dict[str, dict[str, Any]]:
    """The ways of a gateway (None: any) to replicas, or to a certain one, by the name that the resolver knows it by."""
    found = {}
    for edge in client.edges():
        source, _, name = str(edge["id"]).partition(">")
        asks = source == gateway if gateway else source.startswith("gateway")
        if asks and edge["destination"] != "controller" and replica in ("", name.partition(".")[0]):
            found[name] = edge
    if not found:
        raise TargetError(f"the lab's network has no way from {gateway or 'a gateway'} to {replica or 'any replica'}")
    return found


def reached(edge: dict[str, Any]) -> str:
    """Where an edge is for its source."""
    return str(edge.get("inside") or edge["listen"])


def resolver(client: LabClient) -> str:
    """Where this machine asks it."""
    programs = {one["program"]: one for one in client.status()["processes"]}
    return str(known(programs, "fabric", "program")["address"])


def look_up(p: Parameters) -> Answer | None:
    """What the resolver says of a name to its source; None where no answer comes."""
    host, _, port = p["resolver"].rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(ANSWER_S)
        number = next(_NUMBERS)
        asking.connect((host, int(port)))
        try:
            asking.send(question(number, service(p["name"], p["source"])))
            while (found := answered(asking.recv(4096)))[0] != number:
                continue
        except (OSError, ValueError):
            return None
        return found[1]
