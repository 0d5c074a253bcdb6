from tierdrill.targets.base import Mechanism
from tierdrill.targets.lab.lab_fault import LabFault
from tierdrill.targets.lab.state_store import ELECTED_WITHIN_S, bind_member, ended, kill, start, whole

HOW = Mechanism("SIGKILL to the member's process", gone_within_s=ELECTED_WITHIN_S)
FAULT = LabFault(HOW, bind_member, kill, start, ended, whole)
