"""The alerts of the state store, where gateways keep their policy, by its members' metrics and how they answer."""

from tierdrill.documents.models.environment import Clock
from tierdrill.documents.models.error_budget import scaled
from tierdrill.documents.models.units import promql_duration
from tierdrill.monitoring.gpu_alerts import Rule

ANSWERS_SLOWLY_S = 0.1
"""A member's metrics take a few milliseconds; one that stands still is late with them as with everything else."""

FSYNC_SLOW_S = 0.5
"""As etcd's own alert rules have it for the 99th percentile; a disk that is fit for it takes under 10 ms."""

_JOB = '{job="state-store"}'
_UP = f"up{_JOB}"
_HAS_LEADER = "max by (store) (etcd_server_has_leader)"


def state_alerts(clock: Clock) -> list[Rule]:
    window = promql_duration(scaled("5m", clock))
    late = f"avg_over_time(scrape_duration_seconds{_JOB}[{window}]) > {ANSWERS_SLOWLY_S:g}"
    fsync = f"histogram_quantile(0.99, rate(etcd_disk_wal_fsync_duration_seconds_bucket{_JOB}[{window}]))"
    return [
        (
            "StateQuorumLost",
            f"{_HAS_LEADER} == 0 or count by (store) ({_UP} == 0) > count by (store) ({_UP}) / 2",
            "page",
            "{{ $labels.store }} has no quorum: policy, flags and overrides cannot be changed",
            "Too few members of the state store run for any of them to lead. Gateways go on by the policy they read"
            " last, so customers feel nothing yet; but nobody can shed, switch or override, and a gateway that starts"
            " now knows no more than its configuration. Start the members that have ended, on the data they have. Never"
            " remove a member's data, and leave the gateways alone: they are what still knows the policy.",
        ),
        (
            "StateMemberDown",
            f"{_by_member(f'{_UP} == 0')} and on (store) {_HAS_LEADER} == 1",
            "ticket",
            "{{ $labels.member }} of {{ $labels.store }} is down, and the others have a quorum",
            "The store reads and writes as ever, and nobody feels anything; but the next member that is lost may take"
            " the quorum. Start this one, on the data it has, and no other.",
        ),
        (
            "StateMemberSlow",
            _by_member(f"{late} or {fsync} > {FSYNC_SLOW_S:g}"),
            "ticket",
            "{{ $labels.member }} of {{ $labels.store }} answers slowly",
            "The member runs and waits: for its disk, which etcd waits for at each write, or for a processor. See"
            " etcd_disk_wal_fsync_duration_seconds, and who else uses the disk. Do not restart it: it would read all"
            " it has from the same disk, and be away from the quorum meanwhile.",
        ),
    ]


def _by_member(series: str) -> str:
    return f'max by (store, member) (label_replace({series}, "member", "$1", "instance", "(.+)"))'
