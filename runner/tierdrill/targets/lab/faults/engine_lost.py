from pathlib import Path

from tierdrill.targets import lost_engine
from tierdrill.targets.lab.lab_fault import LabFault

FAULT = LabFault(
    lost_engine.MECHANISM,
    lambda client, state, p: lost_engine.bind(Path(p["home"]), p),
    lambda client, p: lost_engine.lose(p),
    lambda client, p: lost_engine.restore(p),
    lambda client, p: lost_engine.landed(p),
    lambda client, p: lost_engine.gone(p),
)
