"""A resolver that fails a gateway of the lab: it answers that gateway with SERVFAIL, or not at all."""

from tierdrill.lab.client import LabClient
from tierdrill.lab.dns_messages import SERVFAIL
from tierdrill.lab.network.link_rules import RESOLVER
from tierdrill.targets.base import Mechanism, Proof
from tierdrill.targets.lab.lab_fault import LabFault, Parameters, State, seen
from tierdrill.targets.lab.leases import GRACE_S
from tierdrill.targets.lab.lookups import WITNESS, edges_of, look_up, resolver


def _bind(client: LabClient, state: State, p: Parameters) -> Parameters:
    name = next(iter(edges_of(client, p["gateway"])))
    return {"resolver": resolver(client), "name": name, "source": p["gateway"]}


def _fail(client: LabClient, p: Parameters) -> object:
    leased = {"lease_s": p["lease_s"] + GRACE_S, "lease": p["fault"]}
    return client.set_link(p["gateway"], RESOLVER, "blackhole" if p["silent"] else "reset", **leased)


def _mend(client: LabClient, p: Parameters) -> object:
    return client.set_link(p["gateway"], RESOLVER, "pass")


def _fails(client: LabClient, p: Parameters) -> Proof:
    said = look_up(p)
    told = "no answer" if said is None else f"an answer of code {said.code}"
    return seen(said is None if p["silent"] else said is not None and said.code == SERVFAIL, WITNESS, told)


def _answers(client: LabClient, p: Parameters) -> Proof:
    said = look_up(p)
    # The replica may have moved since: that there is no such name is an answer as well.
    well = said is not None and said.code != SERVFAIL
    return seen(well, WITNESS, "no answer" if said is None else f"an answer of code {said.code}")


FAULT = LabFault(Mechanism("SERVFAIL, or silence, of the lab's resolver"), _bind, _fail, _mend, _fails, _answers)
