from tierdrill.targets.base import Mechanism
from tierdrill.targets.lab.lab_fault import LabFault
from tierdrill.targets.lab.state_store import bind_majority, kill, start, whole, without_quorum

FAULT = LabFault(
    Mechanism("SIGKILL to the processes of two of the three members"), bind_majority, kill, start, without_quorum, whole
)
