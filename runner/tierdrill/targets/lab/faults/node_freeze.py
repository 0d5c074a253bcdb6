"""The lab's frozen node: its agent and its replicas are stopped, their ports stay open, and its links are well."""

from tierdrill.targets.base import Mechanism
from tierdrill.targets.lab.stall_fault import stall_fault

FAULT = stall_fault(Mechanism("SIGSTOP to the node's process group"), lambda p: (1.0, 0.0))
