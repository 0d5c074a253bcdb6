from tierdrill.targets.base import Mechanism
from tierdrill.targets.lab.lab_fault import LabFault
from tierdrill.targets.lab.state_store import ELECTED_WITHIN_S, bind_majority, kill, start, whole, without_quorum

HOW = Mechanism("SIGKILL to the processes of two of the three members", gone_within_s=ELECTED_WITHIN_S)
FAULT = LabFault(HOW, bind_majority, kill, start, without_quorum, whole)
