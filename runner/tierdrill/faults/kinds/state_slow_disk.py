from tierdrill.faults.kind import FaultKind, Parameter
from tierdrill.faults.store_names import STATE_MEMBERS

KIND = FaultKind(
    kind="state-slow-disk",
    target_kind="store",
    action="slow_state_disk",
    undo="restore_state_disk",
    does="Let a member of the state store stand still for `stall_ms` at a time, as one does that waits for its disk.",
    cause="a disk that is shared with others, or wears out: etcd waits for every write of its log to be durable",
    source="https://etcd.io/docs/v3.4/faq/#what-does-the-etcd-warning-failed-to-send-out-heartbeat-on-time-mean",
    visible="writes through the member take as long; where it leads and stands still for a second, another is elected",
    undone="the member runs all the time",
    proof="the kernel says that its process is stopped in as large a share of looks; gone when it is in none",
    settings=(Parameter("stall_ms", "how long it stands still at a time", "ms", (10, 60_000), default=400),),
    among=STATE_MEMBERS,
)
