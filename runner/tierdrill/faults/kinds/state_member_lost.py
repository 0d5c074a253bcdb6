from tierdrill.faults.kind import FaultKind
from tierdrill.faults.store_names import STATE_MEMBERS

KIND = FaultKind(
    kind="state-member-lost",
    target_kind="store",
    action="lose_state_member",
    undo="recover_state_member",
    does="Kill the process of a member of the state store (SIGKILL); its data stay on its disk.",
    cause="a crash, the OOM killer, the node of the member lost",
    source="https://etcd.io/docs/v3.4/op-guide/failures/",
    visible="the member's metrics are gone; the others go on, after an election where it was the leader",
    undone="the member is started again on its data",
    proof="the kernel has no such process any more; gone when the member reads by a quorum, with all that was written",
    among=STATE_MEMBERS,
)
