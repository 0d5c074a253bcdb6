"""A runner that holds a cluster and breaks it by its API and on its nodes, again and again, until it is killed."""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.cluster.faults_to_inject import RUN, Faults, bound, lasting_by_agent, lasting_by_api
from tierdrill.targets.base import TargetError
from tierdrill.targets.kubernetes.fault_port import KubernetesPort
from tierdrill.targets.kubernetes.hold import Hold
from tierdrill.targets.kubernetes.lease import LeaseLost

LEASE_S, ATTEMPTS = 2.0, 10


def keep(hold: Hold, lost: threading.Event) -> None:
    """Renew the Lease while the cluster lets us."""
    while not lost.wait(LEASE_S / 4):
        try:
            hold.beat()
        except LeaseLost:
            lost.set()
        except TargetError:
            continue


def bring_agents(port: KubernetesPort, faults: Faults) -> None:
    """Until each fault could be bound: on a busy machine a pod may not take all the connections that are tried."""
    for _ in range(ATTEMPTS):
        try:
            for kind, parameters in faults:
                bound(port, kind, LEASE_S, **parameters)
            return
        except TargetError as error:
            sys.stderr.write(f"{error}\n")
    sys.exit("no agents")


def main() -> None:
    """Says `held` once the cluster is held and agents are at work, then each fault as it is about to be injected."""
    told = json.loads(sys.stdin.readline())
    chance, port, lost = random.Random(told["seed"]), KubernetesPort(told["place"]), threading.Event()
    hold = Hold(port.place, RUN, LEASE_S)
    node, other = told["nodes"]
    hold.hold([node, other], 600.0)
    threading.Thread(target=keep, args=(hold, lost), daemon=True).start()
    by_agent = lasting_by_agent(node, told["replica"])
    bring_agents(port, by_agent)
    print("held", flush=True)
    while not lost.is_set():
        faults = [chance.choice(lasting_by_api(node, other)), chance.choice(by_agent)]
        chance.shuffle(faults)
        try:
            orders = [bound(port, kind, LEASE_S, **parameters) for kind, parameters in faults]
            for order in orders:
                print(order.kind, flush=True)
                port.inject(order)
            time.sleep(chance.random())
            for order in orders:
                port.revert(order)
                while not port.gone(order).seen:
                    time.sleep(0.2)
        except TargetError as error:
            print(error, flush=True)
            time.sleep(0.2)


if __name__ == "__main__":
    main()
