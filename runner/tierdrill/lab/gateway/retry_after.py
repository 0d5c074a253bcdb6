"""When a rejected client may try again: the whole seconds of `Retry-After`."""

import math

from tierdrill.lab.gateway.client_request import Call
from tierdrill.lab.gateway.quarantine import HELD_S

UNKNOWN_S = 1
LONGEST_S = 60


def retry_after_s(call: Call, reason: str) -> int:
    """Whole seconds until another try may be let in, as far as the gateway can tell.

    From 1 to 60, rounded up; 1 where it cannot tell. `reason` is what the request was rejected for.
    """
    core, pool = call.core, call.core.pool(call.model)
    if reason == "capped":
        wait_s = core.caps.wait_s(call.policy.name)
    elif reason == "circuit-open":
        wait_s = core.circuit_wait_s(call.model)
    elif reason == "quarantined":
        wait_s = HELD_S
    else:
        wait_s = pool.drain_s(call.policy) if pool is not None else None
    return UNKNOWN_S if wait_s is None else min(LONGEST_S, max(1, math.ceil(wait_s)))
