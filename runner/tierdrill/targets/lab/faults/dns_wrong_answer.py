"""A name that leads to another replica: the lab's resolver gives that one's address, to every gateway."""

from tierdrill.lab.client import LabClient
from tierdrill.lab.network.link_rules import RESOLVER
from tierdrill.targets.base import Mechanism, Proof
from tierdrill.targets.lab.lab_fault import LabFault, Parameters, State, seen
from tierdrill.targets.lab.leases import GRACE_S
from tierdrill.targets.lab.lookups import WITNESS, edges_of, look_up, reached, resolver


def _bind(client: LabClient, state: State, p: Parameters) -> Parameters:
    name, edge = next(iter(edges_of(client, None, p["replica"]).items()))
    other, wrong = next(iter(edges_of(client, edge["source"], p["leads_to"]).items()))
    bound = {"resolver": resolver(client), "name": name, "source": edge["source"]}
    return {**bound, "other": other, "wrong": reached(wrong)}


def _misdirect(client: LabClient, p: Parameters) -> object:
    leased = {"lease_s": p["lease_s"] + GRACE_S, "lease": p["fault"]}
    return client.set_link(RESOLVER, p["replica"], "misdirect", leads_to=p["other"], **leased)


def _redirect(client: LabClient, p: Parameters) -> object:
    return client.set_link(RESOLVER, p["replica"], "pass")


def _wrong(client: LabClient, p: Parameters) -> Proof:
    said = look_up(p)
    given = None if said is None else said.address
    return seen(given == p["wrong"], WITNESS, f"got {given}; {p['leads_to']} is at {p['wrong']}")


def _right(client: LabClient, p: Parameters) -> Proof:
    said = look_up(p)
    # The replica may have moved since: that there is no such name is right as well.
    return seen(said is not None and said.address != p["wrong"], WITNESS, f"got {said and said.address}")


FAULT = LabFault(Mechanism("another address from the lab's resolver"), _bind, _misdirect, _redirect, _wrong, _right)
