"""The lab's lossy link. A TCP proxy loses nothing: what a network would lose comes when TCP would send it again."""

from tierdrill.targets.lab.links import Probing, link_fault

FAULT = link_fault(
    "loss in the userspace TCP proxy, as the retransmission timeouts that TCP would take",
    "delay",
    lambda p: {"loss_percent": p["loss_percent"], "one_way": bool(p["one_way"])},
    # So many that fewer than one in twenty looks at a lossy link meets no loss.
    lambda p: Probing(requests=-(-300 // p["loss_percent"])),
    kernel=lambda means: f"{means.drop} of a random share, at the source",
    emulated=True,
)
