"""Every fact that a playbook's condition may ask for: of what, and the values it can have. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

YES_OR_NO, A_SHARE, A_NUMBER = "true or false", "a share from 0 to 1", "a number, 0 or more"


@dataclass(frozen=True)
class Fact:
    """One fact: what kind of thing it is of ("" for the whole deployment), its kind of value or the words it can be,
    and what it says. A target answers it under its name; what is `known_by_engine` is never asked of one.
    """

    name: str
    subject: str
    values: str | tuple[str, ...]
    text: str
    unit: str = ""
    known_by_engine: bool = False


FACTS: Mapping[str, Fact] = {
    one.name: one
    for one in (
        Fact("node.ready", "node", YES_OR_NO, "the node's heartbeats arrive"),
        Fact("node.cordoned", "node", YES_OR_NO, "nothing new is placed on the node"),
        Fact("node.disk_full", "node", YES_OR_NO, "less than a tenth of its disk for weights is free"),
        Fact("node.clock_off", "node", YES_OR_NO, "its clock is more than a second from the true time"),
        Fact("nodes.ready_share", "", A_SHARE, "ready nodes, of all"),
        Fact("replica.ready", "replica", YES_OR_NO, "the replica can serve"),
        Fact(
            "replica.state", "replica",
            ("ready", "starting", "unresponsive", "blocked", "exited", "stopped", "unknown", "unplaced"),
            "what its agent says of it",
        ),
        Fact("replica.answers", "replica", ("right", "wrong", "unknown"), "how it answers the golden prompts"),
        Fact("model.answers", "model", ("right", "wrong", "unknown"), "how all its replicas answer the golden prompts"),
        Fact("model.revision", "model", ("reviewed", "other"), "what its replicas are to have, of what is published"),
        Fact(
            "gpu.state", "gpu",
            ("healthy", "lost", "fallen_off_bus", "ecc_uncorrectable", "xid_error", "defective", "unknown"),
            "what the node's agent says of the GPU",
        ),
        Fact("gpu.weight", "gpu", A_SHARE, "its weight at the gateway that still sends most there"),
        Fact("gpu.memory_held", "gpu", YES_OR_NO, "a process that is none of its replicas holds memory of it"),
        Fact("tier.ready_share", "tier", A_SHARE, "ready replicas of the tier, of all it has"),
        Fact("tier.shed", "tier", A_SHARE, "the part of its requests that a gateway turns away, the most of all"),
        Fact("tier.unplaced", "tier", A_NUMBER, "its replicas that found no place", "replicas"),
        Fact(
            "tier.policy", "tier", ("as-configured", "changed"),
            "what the gateways do by, against what they were started with",
        ),
        Fact("link.weight", "link", A_SHARE, "the node's weight at the gateway"),
        Fact("alert.firing", "alert", YES_OR_NO, "it fires; `NAME` or `NAME{label=value}`", known_by_engine=True),
        Fact(
            "gateway.router", "gateway", ("picking", "fails-closed", "fails-open", "down"),
            "how requests find a replica",
        ),
        Fact("gateway.serves", "gateway", YES_OR_NO, "requests find a replica, by the picker or without it"),
        Fact("store.quorum", "store", YES_OR_NO, "a member reads by a quorum of the store's members"),
        Fact("store.whole", "store", YES_OR_NO, "the member, or each member of the store, reads by a quorum"),
        Fact("exporter.lost", "exporter", YES_OR_NO, "the node is well, and its exporter has no metrics or old ones"),
    )
}  # fmt: skip
