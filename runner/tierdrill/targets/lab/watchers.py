"""The lab's Prometheus or Alertmanager that ends: SIGKILL. Witnesses are the kernel's process table and itself."""

from tierdrill.lab.client import LabClient
from tierdrill.monitoring.monitoring_login import lab_login
from tierdrill.targets.base import Mechanism, Proof, TargetError
from tierdrill.targets.lab.lab_fault import KERNEL, LabFault, Parameters, State, fetch, meant, seen

TIMEOUT_S = 1.0
WATCHERS = ("prometheus", "alertmanager")


def is_ready(client: LabClient, name: str) -> bool:
    """Whether it answers, and says that it is ready."""
    address = str(client.status()["addresses"][name])
    try:
        return fetch(address, "/-/ready", TIMEOUT_S, headers=lab_login(client.lab.token).headers())[0] == 200
    except OSError:
        return False


def watcher_fault(name: str) -> LabFault:
    """The loss of one of WATCHERS."""

    def bind(client: LabClient, state: State, p: Parameters) -> Parameters:
        process = next((one for one in client.status()["processes"] if one["name"] == name and one["alive"]), None)
        if process is None:
            raise TargetError(f"{name} does not run in this lab")
        return {"pid": process["pid"], "ticks": process["ticks"]}

    def ended(client: LabClient, p: Parameters) -> Proof:
        lives = meant(p).lives()
        return seen(not lives, KERNEL, f"process {p['pid']} {'lives' if lives else 'has ended'}")

    def back(client: LabClient, p: Parameters) -> Proof:
        ready = is_ready(client, name)
        return seen(ready, f"{name} itself", f"{name} {'is ready' if ready else 'does not say that it is ready'}")

    return LabFault(
        Mechanism(f"SIGKILL to {name}'s process"),
        bind,
        lambda client, p: client.signal_process(name, "KILL"),
        lambda client, p: client.start_process(name),
        ended,
        back,
    )
