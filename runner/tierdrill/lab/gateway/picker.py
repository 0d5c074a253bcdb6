"""The endpoint picker: what gives requests their order and their replica, and what a gateway does when it is lost.

In an InferencePool of the Gateway API the picker is a service of its own beside the gateway, and the pool's
`failureMode` decides what its loss means: FailClose, the default, refuses everything; FailOpen sends requests on
without priority, shedding or choice. Here it is a part of the gateway that can be taken away; a new process has it.
"""

from tierdrill.lab.gateway.gateway_config import Flags

PICKS = ("priority_queue", "reserved_slots", "preemption", "shedding", "latency_routing")
"""The mechanisms that are the picker's; health checks, ejection, retries and circuits are the gateway's own."""

BY_POLICY = ("priority_queue", "reserved_slots", "preemption", "shedding")
"""The mechanisms that need to know what is important: without a policy they have nothing to go by."""

LOST = "endpoint-picker-lost"
"""Why a request failed: an error of ours and no rejection, for nobody chose to shed it."""

STATUS = 500
"""What Envoy answers when its external processor fails and failures are not allowed to pass."""

PICKING, FAILS_CLOSED, FAILS_OPEN = "picking", "fails-closed", "fails-open"


class Picker:
    """Whether it is there, and what follows from that. `in_effect` is shared by all that ask what to do."""

    def __init__(self, wanted: Flags) -> None:
        self.wanted = wanted
        self.up = True
        self.has_policy = True
        self.in_effect = Flags(**wanted.as_dict())

    @property
    def state(self) -> str:
        """One word for how requests get their replica."""
        if self.up:
            return PICKING
        return FAILS_OPEN if self.wanted.fail_open else FAILS_CLOSED

    def set_up(self, up: bool) -> bool:
        """Take it away, or give it back; whether that changed anything."""
        changed, self.up = self.up != up, up
        self.settle()
        return changed

    def know_policy(self, known: bool) -> None:
        """Whether there is a policy to go by."""
        self.has_policy = known
        self.settle()

    def settle(self) -> None:
        """Work out which mechanisms are in effect, after something was switched."""
        for name, on in self.wanted.as_dict().items():
            without = (() if self.up else PICKS) + (() if self.has_policy else BY_POLICY)
            setattr(self.in_effect, name, on and name not in without)
