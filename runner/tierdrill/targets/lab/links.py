"""What the faults of a lab's links share: their rule in the proxy, and the proofs.

Those are requests sent through, or, where nothing serves behind the link, the proxy's own rules.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from tierdrill.lab.client import LabClient, LabError
from tierdrill.lab.lab_config import Means
from tierdrill.targets.base import Mechanism, Proof, TargetError
from tierdrill.targets.lab.lab_fault import LabFault, Parameters, State, seen
from tierdrill.targets.lab.leases import GRACE_S

PROBE_TIMEOUT_S = 0.15
SERVES_WITHIN_S = 1.0
"""How long whoever serves behind a link that refuses may take to answer: that it does is all that is asked."""
BURST_BYTES = 2000
"""So much a narrow link of the kernel's carries at once."""
WITNESS = "requests sent through the link"


@dataclass(frozen=True)
class Probing:
    """How a link is asked: how late is late, how many requests it takes to meet one that is, how large each is, and
    over how many seconds they are spread.
    """

    limit_s: float = PROBE_TIMEOUT_S
    requests: int = 1
    size: int = 0
    over_s: float = 0.0


def link_fault(
    mechanism: str,
    mode: str,
    settings: Callable[[Parameters], Mapping[str, Any]] = lambda p: {},
    probing: Callable[[Parameters], Probing] = lambda p: Probing(),
    *,
    kernel: Callable[[Means], str],
    refuses: bool = False,
    emulated: bool = False,
) -> LabFault:
    """A fault of a link by one rule of the lab's network: of its proxy, or, in namespace mode, of the kernel. It is
    there when a request is late or lost, or, where it `refuses`, when every one is refused that whoever serves behind
    the link would answer.
    """

    def inject(client: LabClient, p: Parameters) -> object:
        leased = {"lease_s": p["lease_s"] + GRACE_S, "lease": p["fault"]}
        return client.set_link(p["source"], p["destination"], mode, **settings(p), **leased)

    def landed(client: LabClient, p: Parameters) -> Proof:
        return _proof(client, p, probing(p), refuses=refuses, wanted=True)

    def gone(client: LabClient, p: Parameters) -> Proof:
        return _proof(client, p, probing(p), refuses=refuses, wanted=False)

    return LabFault(Mechanism(mechanism, emulated), _bind, inject, _heal, landed, gone, kernel=kernel)


def _bind(client: LabClient, state: State, p: Parameters) -> Parameters:
    """The addresses of the proxy through which gateways reach the other end."""
    links = client.edges()
    through = [edge["listen"] for edge in _of_gateways(links, p)]
    if not through:
        hosts = sorted({edge["source"] for edge in links} | {edge["destination"] for edge in links})
        raise TargetError(f"no link {p['source']}>{p['destination']}, expected hosts of: {', '.join(hosts)}")
    return {"through": through}


def _of_gateways(links: list[dict[str, Any]], p: Parameters) -> list[dict[str, Any]]:
    ends = {p["source"], p["destination"]}
    return [
        edge
        for edge in links
        if {edge["source"], edge["destination"]} == ends and str(edge["id"]).startswith("gateway")
    ]


def _heal(client: LabClient, p: Parameters) -> object:
    return client.set_link(p["source"], p["destination"], "pass")


def _proof(client: LabClient, p: Parameters, probing: Probing, *, refuses: bool, wanted: bool) -> Proof:
    began = time.time()
    for address in p["through"]:
        late, told = _ask(address, probing)
        if late is not None:
            return seen(late and not refuses if wanted else not late, WITNESS, told, began)
    try:
        if refuses:
            for edge in _of_gateways(client.edges(), p):
                if (_ask(edge["target"], Probing(limit_s=SERVES_WITHIN_S))[0]) is False:
                    return seen(wanted, WITNESS, "refused, while whoever serves behind the link answers", began)
        # Nothing serves behind the link (its replicas have moved); the proxy's own word must do.
        rules = client.links()
    except LabError as error:
        return seen(False, WITNESS, str(error), began)
    ends = {p["source"], p["destination"]}
    there = any({rule["source"], rule["destination"]} == ends and rule["mode"] != "pass" for rule in rules)
    told = "a rule is in force" if there else "no rule is in force"
    return seen(there == wanted, "the proxy's rules (nothing serves behind the link)", told, began)


def _ask(address: str, probing: Probing) -> tuple[bool | None, str]:
    """Whether one of several requests is late (None: the link refuses), and in words."""
    took: list[float] = []
    body = json.dumps({"model": "", "prompt": "x" * probing.size})
    with httpx.Client(trust_env=False, timeout=probing.limit_s, base_url=f"http://{address}") as probe:
        for _ in range(probing.requests):
            start = time.monotonic()
            try:
                if probing.size:
                    probe.post("/v1/completions", content=body)
                else:
                    probe.get("/v2/health/live")
            except httpx.TimeoutException:
                return True, f"no answer in {probing.limit_s * 1000:.0f}ms"
            except httpx.HTTPError as error:
                return None, f"refused: {type(error).__name__}"
            took.append(time.monotonic() - start)
            time.sleep(probing.over_s / probing.requests)
    return max(took) > probing.limit_s, f"{len(took)} answered, the slowest in {max(took) * 1000:.0f}ms"
