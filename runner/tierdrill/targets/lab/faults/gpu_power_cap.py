"""The lab's GPU with too little power: its driver holds the clocks down, and its power draw says why."""

from tierdrill.targets.lab.gpu_clocks import clocks_fault

FAULT = clocks_fault("power draw", "power", lambda p: {"power_w": p["power_w"]})
