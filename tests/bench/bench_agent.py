"""What an agent on a node costs while a fault of it stands: its processor time and its memory.

Run: python tests/bench/bench_agent.py [seconds], as root. Budget: 1% of a core, 30 MB.

The agent of agent/ is started as a pod starts it, armed over its orders with a lease of 2 s, which are renewed as a run
renews them, and holds a container of a pod stopped (replica-hang).
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from bench_arguments import arguments
from tests.agent.conftest import Agent, cgroup_root, pod_in
from tests.bench.kept import spent

LEASE_S = 2.0
SHARE_MAX, MEMORY_MB = 0.01, 30.0


def main() -> int:
    wanted = arguments(__doc__, seconds=30)
    root = cgroup_root()
    if root is None:
        raise SystemExit("a pod of its own needs a cgroup, and that needs root")
    with pod_in(root) as pod:
        began = time.monotonic()
        agent = Agent([])
        try:
            agent.do("arm", lease_s=LEASE_S)
            armed_s = time.monotonic() - began
            record = agent.inject("hang", pod.target)
            before, since = spent(agent.process.pid)[0], time.monotonic()
            while time.monotonic() - since < wanted.seconds:
                time.sleep(LEASE_S / 4)
                agent.do("beat")
            after, memory = spent(agent.process.pid)
            share = (after - before) / (time.monotonic() - since)
            agent.revert(record)
        finally:
            agent.hang_up()
    print(f"  armed      {armed_s:.2f} s after its start")
    others = sum(one.name.isdigit() for one in Path("/proc").iterdir())
    print(f"  processor  {share:.2%} of a core beside {others} processes (at most {SHARE_MAX:.0%})")
    print(f"  memory     {memory:.0f} MB (at most {MEMORY_MB:.0f} MB)")
    return 0 if share <= SHARE_MAX and memory <= MEMORY_MB else 1


if __name__ == "__main__":
    sys.exit(main())
