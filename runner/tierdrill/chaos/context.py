"""Where the extension finds its surroundings: the home, the run it belongs to, the deployment, and who listens to its
events.

Inside a drill the runner passes all of it. Under plain `chaos run` the run is named after the process, the deployment
is the one lab that is up (or TIERDRILL_LAB), and a reaper of its own is started to keep the lease.
"""

import json
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tierdrill.faults.blast_radius import Limits
from tierdrill.history.events import Event
from tierdrill.home import state_home
from tierdrill.targets.base import TargetError

logger = logging.getLogger("chaostoolkit")

DEFAULT_LEASE_S = 120.0


@dataclass(frozen=True)
class Context:
    """The surroundings of an action. `events_fd` is None outside a drill.

    `inject_at` is Unix seconds, or None for now.
    """

    home: Path
    run: str
    place: dict[str, Any]
    supervised: bool
    events_fd: int | None
    inject_at: float | None
    lease_s: float
    limits: Limits | None = None

    def emit(self, event: Event) -> None:
        """Hand an event to the runner, or to the log where there is none."""
        if self.events_fd is None:
            logger.info("%s %s", event.kind, json.dumps(event.data, sort_keys=True, default=str))
            return
        os.write(self.events_fd, (event.to_line() + "\n").encode())


def current_context() -> Context:
    """The context from TIERDRILL_HOME, _RUN, _PLACE, _EVENTS_FD, _INJECT_AT, _LEASE and _LIMITS."""
    environment = os.environ
    home = state_home()
    run = environment.get("TIERDRILL_RUN")
    place = environment.get("TIERDRILL_PLACE")
    if place is None:
        from tierdrill.targets.target_registry import labs_of

        described = labs_of(home).running_place(environment.get("TIERDRILL_LAB"))
    else:
        described = json.loads(place)
    fd = environment.get("TIERDRILL_EVENTS_FD")
    at = environment.get("TIERDRILL_INJECT_AT")
    limits = environment.get("TIERDRILL_LIMITS")
    return Context(
        home=home,
        run=run or f"chaos-{os.getpid()}-{int(time.time())}",
        place=described,
        supervised=run is not None,
        events_fd=int(fd) if fd else None,
        inject_at=float(at) if at else None,
        lease_s=_seconds(environment.get("TIERDRILL_LEASE"), DEFAULT_LEASE_S),
        limits=Limits(**json.loads(limits)) if limits else None,
    )


def _seconds(text: str | None, default: float) -> float:
    try:
        return default if text is None else float(text)
    except ValueError:
        raise TargetError(f"got TIERDRILL_LEASE={text!r}, expected a number of seconds") from None
