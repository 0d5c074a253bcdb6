"""The lab's hot GPU: its driver holds the clocks down, and its temperature says why."""

from tierdrill.targets.lab.gpu_clocks import clocks_fault

FAULT = clocks_fault("temperature", "thermal", lambda p: {"temperature_c": p["temperature_c"]})
