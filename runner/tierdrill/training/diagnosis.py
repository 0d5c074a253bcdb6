"""From what a trainee can see to what is wrong and what to do about it: the decision table of the scripted responders.

Pure, and without any access to what was injected: its input is what the looks answer. The table is the one that a new
colleague would be taught (`docs/runbooks.md` tells it in words).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Move:
    """One command of a trainee: what comes after `tierdrill ops`, with its arguments."""

    do: str
    said: Mapping[str, Any]

    @property
    def words(self) -> str:
        return " ".join([self.do, *(str(value) for value in self.said.values())])


@dataclass(frozen=True)
class Finding:
    """A conclusion: the cause, what it is about, whom it hurts, and the moves that mend it, in order."""

    cause: str
    about: str
    rank: int
    moves: tuple[Move, ...]
    because: str

    @property
    def key(self) -> str:
        """What it is one and the same finding by: heat is one, however many GPUs it has reached."""
        return self.cause if self.cause == "hot-gpus" else self.about


@dataclass(frozen=True)
class Seen:
    """What was looked at, as the looks answered: rows of `ops pages`, `alerts`, `nodes` and so on."""

    pages: Rows = ()
    alerts: Rows = ()
    nodes: Rows = ()
    gpus: Rows = ()
    replicas: Rows = ()
    links: Rows = ()
    tiers: Rows = ()
    playbooks: Rows = ()
    logs: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def about(self, alert: str) -> list[str]:
        """What that alert fires for, in a stable order."""
        return sorted({str(one["about"]) for one in self.alerts if one.get("alert") == alert})

    def row(self, what: str, name: str) -> Mapping[str, Any]:
        rows: Rows = getattr(self, what)
        return next((one for one in rows if one.get("name") == name), {})

    def rank_of(self, tier: str) -> int:
        """A tier's rank; what is unknown comes last."""
        return next((int(one["rank"]) for one in self.tiers if one.get("tier") == tier), 999)

    def rank_at(self, place: str) -> int:
        """The rank of the most important tier with a replica on that node or GPU, or of that replica."""
        node, _, gpu = place.rpartition(">")[2].partition("/")
        tiers = [
            str(one.get("tier"))
            for one in self.replicas
            if one.get("name") == place or (one.get("node") == node and gpu in ("", str(one.get("gpu"))))
        ]
        return min((self.rank_of(tier) for tier in tiers), default=1)


Rule = Callable[[Seen], list[Finding]]


def conclude(seen: Seen) -> list[Finding]:
    """Every finding, that of the most important tier first; what another finding explains is not told again."""
    found = [finding for rule in RULES for finding in rule(seen)]
    broken = {finding.about.partition("/")[0] for finding in found if finding.cause in ("dead-node", "lost-gpu")}
    # A replica on a lost GPU or node is a symptom of it.
    kept = [
        finding
        for finding in found
        if finding.cause not in ("dead-replica", "stuck-replica", "wrong-answers")
        or str(seen.row("replicas", finding.about).get("node")) not in broken
    ]
    return sorted(kept, key=lambda one: (one.rank, RANK_OF_CAUSE.get(one.cause, 9), one.about))


def lost_gpus(seen: Seen) -> list[Finding]:
    """XID 79: drain and reboot the node. Where automation has taken a healthy node instead, it is given back first."""
    findings = []
    for gpu in seen.about("GpuFallenOffBus"):
        node = gpu.partition("/")[0]
        wronged = _taken_for_nothing(seen, node)
        if wronged:
            moves = [
                *(Move("uncordon", {"target": one}) for one in wronged),
                Move("drain", {"target": node}),
                Move("power-cycle", {"target": node}),
                Move("uncordon", {"target": node}),
            ]
            because = f"the alert is about {node}, and {', '.join(wronged)} was taken out"
            findings.append(Finding("wrong-automation", gpu, seen.rank_at(gpu), tuple(moves), because))
            continue
        run = Move("playbook", {"playbook": "drain-and-reboot-gpu-node", "target": gpu})
        findings.append(Finding("lost-gpu", gpu, seen.rank_at(gpu), (run,), f"XID 79 and no telemetry of {gpu}"))
    return findings


def _taken_for_nothing(seen: Seen, hit: str) -> list[str]:
    """Nodes that are cordoned, or not ready, though no alert says that anything is wrong with them."""
    accused = {str(one["about"]).partition("/")[0] for one in seen.alerts if one.get("alert") != "NodeNotReady"}
    return [
        str(one["name"])
        for one in seen.nodes
        if one.get("cordoned") and one["name"] != hit and one["name"] not in accused
    ]


def lost_nodes(seen: Seen) -> list[Finding]:
    """A node without heartbeats: its important work is moved now."""
    return [
        Finding(
            "dead-node", node, seen.rank_at(node),
            (Move("playbook", {"playbook": "reschedule-critical", "target": node}),), f"no heartbeat of {node}",
        )
        for node in seen.about("NodeNotReady")
        if not seen.row("nodes", node).get("cordoned")
    ]  # fmt: skip


def broken_replicas(seen: Seen) -> list[Finding]:
    """A replica that exited is restarted, one that hangs replaced; on a node that is well."""
    down = _not_ready(seen, "ReplicaDown", "dead-replica", "restart-replica")
    return down + _not_ready(seen, "StalledReplica", "stuck-replica", "kill-and-replace")


def _not_ready(seen: Seen, alert: str, cause: str, playbook: str) -> list[Finding]:
    findings = []
    for replica in seen.about(alert):
        row = seen.row("replicas", replica)
        if row.get("ready") or seen.row("nodes", str(row.get("node"))).get("ready") is False:
            continue
        run = Move("playbook", {"playbook": playbook, "target": replica})
        rank = seen.rank_of(str(row.get("tier")))
        findings.append(Finding(cause, replica, rank, (run,), f"{replica} is {row.get('state', 'not ready')}"))
    return findings


def _one_playbook_each(
    seen: Seen, alert: str, cause: str, playbook: str, rank: Callable[[str], int], because: str
) -> list[Finding]:
    """For each that the alert fires for the playbook that mends it; `{}` in `because` stands for its name."""
    return [
        Finding(cause, one, rank(one), (Move("playbook", {"playbook": playbook, "target": one}),), because.format(one))
        for one in seen.about(alert)
    ]


def wrong_answers(seen: Seen) -> list[Finding]:
    """A replica that is ready and answers wrongly: it is ended and placed anew."""
    return _one_playbook_each(
        seen, "ReplicaAnswersWrong", "wrong-answers", "quarantine-replica", seen.rank_at,
        "{} answers the golden prompts wrongly",
    )  # fmt: skip


def bad_paths(seen: Seen) -> list[Finding]:
    """One gateway sees a node as slow or not at all, another sees it well: traffic goes another way."""
    findings = []
    for link in seen.about("EndpointUnreachable"):
        shift = Move("set-weight", {"target": link, "weight": 0})
        findings.append(Finding("cut-path", link, 1, (shift,), f"nothing is answered over {link}"))
    for link in seen.about("NetworkDegraded"):
        if any(one.about == link for one in findings):
            continue
        run = Move("playbook", {"playbook": "shift-traffic", "target": link})
        findings.append(Finding("slow-path", link, 1, (run,), f"probes over {link} are slow"))
    return findings


def closed_routers(seen: Seen) -> list[Finding]:
    """A gateway that refuses everything though replicas are ready: it is opened, then restarted."""
    return _one_playbook_each(
        seen, "RouterFailsClosed", "closed-router", "reopen-router", lambda gateway: 1,
        "{} refuses what ready replicas could serve",
    )  # fmt: skip


def inverted_tiers(seen: Seen) -> list[Finding]:
    """The most important tier loses its slots to others: the gateways' policy goes back to what was reviewed."""
    return _one_playbook_each(
        seen, "TierInversion", "inverted-tiers", "revert-config", seen.rank_of,
        "requests of {} lose their slots to less important ones",
    )  # fmt: skip


def leaderless_stores(seen: Seen) -> list[Finding]:
    """A store without a quorum: its members are started. Nobody is worse off, so it comes after what customers feel."""
    return _one_playbook_each(
        seen, "StateQuorumLost", "leaderless-store", "restart-state-store", lambda store: 2,
        "{} has no leader, and no policy can be changed",
    )  # fmt: skip


def hot_gpus(seen: Seen) -> list[Finding]:
    """Heat: best effort gives way first, then the hot GPUs get less, as far as enough others are left."""
    hot = seen.about("GpuThermalThrottle")
    if not hot:
        return []
    moves = []
    if (lowest := _lowest(seen)) is not None and len(hot) > 1:
        moves.append(Move("shed", {"target": lowest, "fraction": 0.8}))
    nodes = sorted({gpu.partition("/")[0] for gpu in hot})
    half = max(1, len(seen.nodes) // 2)
    moves += [
        Move("playbook", {"playbook": "deweight-gpu", "target": gpu})
        for gpu in hot
        if gpu.partition("/")[0] in nodes[:half]
    ]
    rank = min(seen.rank_at(gpu) for gpu in hot)
    return [Finding("hot-gpus", ", ".join(hot), rank, tuple(moves), f"{len(hot)} GPUs are throttled")]


def _lowest(seen: Seen) -> str | None:
    return str(max(seen.tiers, key=lambda one: int(one["rank"]))["tier"]) if seen.tiers else None


RULES: tuple[Rule, ...] = (
    *(lost_gpus, lost_nodes, broken_replicas, wrong_answers, bad_paths, closed_routers, inverted_tiers, hot_gpus),
    leaderless_stores,
)
RANK_OF_CAUSE = {"wrong-automation": 0, "dead-node": 1, "lost-gpu": 2}
