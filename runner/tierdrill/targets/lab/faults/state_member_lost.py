from tierdrill.targets.base import Mechanism
from tierdrill.targets.lab.lab_fault import LabFault
from tierdrill.targets.lab.state_store import bind_member, ended, kill, start, whole

FAULT = LabFault(Mechanism("SIGKILL to the member's process"), bind_member, kill, start, ended, whole)
