from tierdrill.faults.kind import FaultKind, Parameter

KIND = FaultKind(
    kind="gpu-pcie-replays",
    target_kind="gpu",
    action="begin_pcie_replays",
    undo="end_pcie_replays",
    does="Let a GPU's PCIe link send much of what it carries a second time.",
    cause="a riser or retimer that ages, a card that sits badly: the link says so before the GPU falls off it",
    source="https://docs.nvidia.com/datacenter/dcgm/latest/dcgm-api/dcgm-api-field-ids.html",
    visible="its replay counter rises; requests, health and clocks are as before, so nothing else will say it",
    undone="the counter stands still",
    proof="the node's agent counts new replays; gone when it counts no more",
    settings=(Parameter("per_second", "how many replays a second", "replays/s", (1, 10_000), default=20),),
    disrupts=False,
)
