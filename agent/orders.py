"""The agent: takes orders. What stands, it keeps and undoes by leases.py.

Orders, one JSON object a line, each with an `id` that its answer repeats beside `ok` and, if not ok, `error`:
    arm      lease_s [journal]                       -> undone: what an earlier life left; any order renews the lease
    beat
    bind     fault kind target parameters            -> record: what was found; nothing is touched
    inject   record [ends_in_s] [self_timed]         a self-timed fault cuts its own line: it begins after the answer,
                                                     and only its planned end counts
    revert   fault | record                          -> outcome: reverted | nothing to do
    look     fault | record                          -> seen, detail: what the kernel shows
    probe    probes [target] [within_s]              -> results, as somebody in the target's network sees them
    list                                             -> faults
    disarm                                           undoes all that this giver has injected
Events have `event` in place of `id`.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import time
from pathlib import Path
from typing import Any, Callable, NamedTuple

import probe
from fault import REVERTED, Fault, Record, Refused
from journal import Journal
from kmsg import Lines
from leases import AGAIN_S, Leases, Standing, dead, lease_of
from link_delay import Shape
from link_drop import Drop
from namespaces import Network, end_child
from processes import Process
from sessions import Session
from signals import Crash, Hang
from stall import Stall
from stress import Stress

KINDS: dict[str, type[Fault]] = {
    "crash": Crash, "hang": Hang, "stall": Stall, "drop": Drop, "shape": Shape, "lines": Lines, "stress": Stress,
}  # fmt: skip
LAST_TRIES_S = 10.0
"""So long is tried when this program must end."""


class Asked(NamedTuple):
    """A probe on its way: who asked for it, and the child that does it."""

    session: Session
    order: Any
    child: Process


class Agent:
    """All of it, in one thread."""

    def __init__(self, journal: Path | None) -> None:
        self._leases = Leases(Journal(journal) if journal is not None else None, self._tell)
        self._sessions: list[Session] = []
        self._selector = selectors.DefaultSelector()
        self._probes: dict[int, Asked] = {}
        self._listener: socket.socket | None = None
        self._terminated = False
        self._wake, wake = socket.socketpair()
        self._wake_up = wake
        for end in (self._wake, wake):
            end.setblocking(False)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._terminate)
        self._selector.register(self._wake, selectors.EVENT_READ, lambda: self._wake.recv(64))

    def _terminate(self, number: int, frame: Any) -> None:
        self._terminated = True

    def add(self, session: Session) -> None:
        """Take orders from there."""
        self._sessions.append(session)
        self._selector.register(session.read_fd, selectors.EVENT_READ, lambda: self._read(session))

    def listen(self, path: Path) -> None:
        """Take orders from whoever connects to a socket in the file system, and go on when they have left. What an
        earlier life has left is off by then, or is being tried again.
        """
        self._leases.undo_earlier(self._made)
        path.unlink(missing_ok=True)
        self._listener = listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen(8)
        listener.setblocking(False)

        def accept() -> None:
            fd = listener.accept()[0].detach()
            self.add(Session(fd, fd))

        self._selector.register(listener, selectors.EVENT_READ, accept)

    def run(self) -> int:
        """Until SIGTERM, or who gave orders has left and nothing stands; 1 where something could not be undone."""
        while not self._terminated and (self._sessions or self._listener is not None or self._leases.standing):
            for key, _ in self._selector.select(self._leases.wait_s(self._sessions)):
                key.data()
            self._leave_the_dead()
            self._leases.do_what_is_due()
        give_up = time.monotonic() + LAST_TRIES_S
        self._leases.end_all("this program was told to end")
        while self._leases.standing and time.monotonic() < give_up:
            time.sleep(AGAIN_S)
            self._leave_the_dead()
            self._leases.do_what_is_due()
        return 1 if self._leases.standing else 0

    def _leave_the_dead(self) -> None:
        for session in list(self._sessions):
            if why := dead(session):
                self._leave(session, why)

    def _leave(self, session: Session, why: str) -> None:
        session.lease_s = None
        self._leases.end_all(why, session)
        if session.ended:
            self._sessions.remove(session)
            self._selector.unregister(session.read_fd)
            for fd, asked in list(self._probes.items()):
                if asked.session is session:
                    self._selector.unregister(fd)
                    self._forget(fd)
            session.close()

    def _tell(self, event: str, **data: Any) -> None:
        for session in self._sessions:
            session.say({"event": event, **data})

    def _made(self, record: Record) -> Fault:
        kind = KINDS.get(str(record.get("kind")))
        if kind is None:
            raise Refused(f"got kind {record.get('kind')!r}, expected one of: {', '.join(sorted(KINDS))}")
        for name, form in (("fault", str), ("target", dict), ("parameters", dict)):
            if not isinstance(record.get(name), form) or (form is str and not record[name]):
                raise Refused(f"{name}: got {record.get(name)!r}, expected {form.__name__}")
        fault = record["fault"]
        return kind(record, lambda event, **data: self._tell(event, fault=fault, **data))

    def _read(self, session: Session) -> None:
        for line in session.lines():
            session.heard = time.monotonic()
            order: Any = None
            try:
                order = json.loads(line)
                name = str(order.get("do"))
                take: Callable[..., dict[str, Any] | None] | None = getattr(self, f"_order_{name}", None)
                if take is None:
                    raise Refused(f"got order {name!r}, expected one of: {', '.join(ORDERS)}")
                answer = take(session, order)
                if answer is not None:
                    session.say({"id": order.get("id"), "ok": True, **answer})
            except Exception as error:
                told = str(error) if isinstance(error, Refused) else f"{type(error).__name__}: {error}"
                session.say({"id": order.get("id") if isinstance(order, dict) else None, "ok": False, "error": told})

    def _order_arm(self, session: Session, order: dict[str, Any]) -> dict[str, Any]:
        lease_s = lease_of(order)
        if self._leases.journal is None and order.get("journal"):
            self._leases.journal = Journal(Path(str(order["journal"])))
            self._leases.undo_earlier(self._made)
        session.lease_s = lease_s
        return {"pid": os.getpid(), "undone": self._leases.undone, "kinds": sorted(KINDS)}

    def _order_beat(self, session: Session, order: dict[str, Any]) -> dict[str, Any]:
        return {}

    def _order_bind(self, session: Session, order: dict[str, Any]) -> dict[str, Any]:
        record = {name: order.get(name) for name in ("fault", "kind", "target", "parameters")}
        return {"record": {**record, "found": self._made(record).bind()}}

    def _order_inject(self, session: Session, order: dict[str, Any]) -> dict[str, Any]:
        if session.lease_s is None:
            raise Refused("not armed: nothing would undo it")
        record = order.get("record")
        if not isinstance(record, dict) or not isinstance(record.get("found"), dict):
            raise Refused("record: expected what bind answered")
        one = Standing(self._made(record), session)
        if record["fault"] in self._leases.standing:
            raise Refused(f"{record['fault']} is injected already")
        one.plan(order)
        self._leases.begin(one)
        return {"at": time.time()}

    def _order_revert(self, session: Session, order: dict[str, Any]) -> dict[str, Any]:
        record = order.get("record") or {}
        one = self._leases.standing.get(str(order.get("fault") or record.get("fault")))
        if one is not None:
            outcome = self._leases.undo(one, "asked for")
            if one.fault.record["fault"] in self._leases.standing:
                raise Refused(outcome)
            return {"outcome": outcome}
        return {"outcome": self._made(record).undo() if record else "nothing to do"}

    def _order_look(self, session: Session, order: dict[str, Any]) -> dict[str, Any]:
        record = order.get("record") or {}
        one = self._leases.standing.get(str(order.get("fault") or record.get("fault")))
        seen, detail = one.fault.look() if one is not None else self._made(record).look()
        return {"seen": seen, "detail": detail, "standing": one is not None, "at": time.time()}

    def _order_list(self, session: Session, order: dict[str, Any]) -> dict[str, Any]:
        now = time.monotonic()
        faults = [
            {
                **{name: one.fault.record[name] for name in ("fault", "kind", "target")},
                "ends_in_s": None if one.ends_at is None else round(one.ends_at - now, 3),
                "stuck": one.why,
            }
            for one in self._leases.standing.values()
        ]
        return {"faults": faults, "undone": self._leases.undone}

    def _order_disarm(self, session: Session, order: dict[str, Any]) -> dict[str, Any]:
        session.lease_s = None
        self._leases.end_all("asked for", session)
        return {"left": sorted(self._leases.standing)}

    def _order_probe(self, session: Session, order: dict[str, Any]) -> None:
        target = order.get("target")
        enter = Network(target).enter if target is not None else None
        heard, says = os.pipe()
        try:
            child = probe.begin(order, enter, says)
        except BaseException:
            os.close(heard)
            raise
        finally:
            os.close(says)
        self._probes[heard] = Asked(session, order.get("id"), child)
        self._selector.register(heard, selectors.EVENT_READ, lambda: self._probed(heard))

    def _probed(self, heard: int) -> None:
        asked = self._probes[heard]
        self._selector.unregister(heard)
        text = os.read(heard, 1 << 16)
        self._forget(heard)
        answer = {"ok": True, "results": json.loads(text)} if text else {"ok": False, "error": "the probe ended early"}
        asked.session.say({"id": asked.order, **answer})

    def _forget(self, heard: int) -> None:
        end_child(self._probes.pop(heard).child)
        os.close(heard)


ORDERS = sorted(name[len("_order_") :] for name in vars(Agent) if name.startswith("_order_"))
__all__ = ["KINDS", "ORDERS", "REVERTED", "Agent"]
