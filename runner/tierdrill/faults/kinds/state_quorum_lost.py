from tierdrill.faults.kind import FaultKind
from tierdrill.faults.store_names import STATE_STORE

KIND = FaultKind(
    kind="state-quorum-lost",
    target_kind="store",
    action="lose_state_quorum",
    undo="recover_state_quorum",
    does="Kill a majority of the state store's members (SIGKILL): those that are left may neither write nor read.",
    cause="two zones or nodes lost at once, a rollout that ends members faster than they return",
    source="https://etcd.io/docs/v3.4/op-guide/failures/",
    visible="the member that is left has no leader; policy, flags and overrides cannot be read or changed",
    undone="the members are started again on their data",
    proof=(
        "the kernel has no such processes any more, and the member that is left says that it has no leader; gone when"
        " the store reads by a quorum, with all that was written"
    ),
    among=(STATE_STORE,),
)
