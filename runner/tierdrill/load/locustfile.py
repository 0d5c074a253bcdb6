"""The locust file: one user walks the whole open-loop schedule; each arrival is a greenlet of its own.

    TIERDRILL_LOAD_PLAN=plan.json python -m locust -f locustfile.py --headless --only-summary

locust's own users are closed loops: a stalled server makes them send less, and the stall vanishes from the figures. So
locust has a single user here, which spawns a request at each due time whatever became of the ones before, and drops an
arrival, visibly, only where all connections are in use. locust keeps its statistics, its web and command line, and its
distribution: with --master --expect-workers N and N times --worker, worker i takes the arrivals with sequence % N == i.

Only modules of tierdrill that need nothing but the standard library and gevent may be imported here.
"""

from __future__ import annotations

# ruff: isort: off
from locust import FastHttpUser, events, task  # first: it patches the standard library
from locust.runners import MasterRunner, WorkerRunner

# ruff: isort: on
import gc
import logging
import os
import time
from pathlib import Path
from typing import Any

import gevent
from gevent.event import AsyncResult, Event
from gevent.pool import Pool
from gevent.socket import wait_read

from tierdrill.load.arrival_schedule import Arrival, planned
from tierdrill.load.child_line import PLAN, Control
from tierdrill.load.generator_health import Vitals
from tierdrill.load.load_plan import read_plan
from tierdrill.load.sample_writer import Recorder, Sample
from tierdrill.load.sender import Sender
from tierdrill.load.surge import Surges

EXIT_FAILED = 1
EXIT_NO_PARENT = 3
TICK_S = 0.05
TICKS_PER_REPORT = 20
DRAIN_GRACE_S = 1.0
STOP_WAIT_S = 0.3
HAND_START_S = 0.5

log = logging.getLogger("tierdrill.load")
plan = read_plan(Path(os.environ[PLAN]))
control = Control(os.environ)


class Walk:
    """One process's walk along the schedule: what locust's user does, and what SIGTERM must be able to end."""

    def __init__(self) -> None:
        self.recorder = Recorder(plan.sample_path, plan.status_path)
        self.requests = Pool(plan.connections_max)
        self.vitals = Vitals()
        self.tiers_seen: dict[str, str] = {}
        self.surges = Surges(plan, self.recorder.report, self.tiers_seen)
        self.sender: Sender | None = None
        self.ended = Event()
        self.complete = False
        self.begun = False

    def run(self, environment: Any, sender: Sender, start_at: float, index: int, count: int) -> None:
        """Send every arrival of this process's share at its due time, then wait for the answers, within bounds."""
        zero = time.monotonic() + (start_at - time.time())
        sender.align(start_at, zero)
        self.sender = sender

        def take_up(arrival: Arrival) -> None:
            self.vitals.due += 1
            self.vitals.send_lag(time.monotonic() - zero - arrival.at_s)
            if self.requests.full():
                self.vitals.dropped += 1
                self._record(environment, sender.dropped(arrival))
            else:
                self.vitals.sent += 1
                sender.take(arrival)
                self.requests.spawn(self._request, environment, sender, arrival)

        if plan.control_path is not None:
            self.surges.begin(zero, planned(plan.schedule()), take_up)
        for arrival in plan.schedule():
            if arrival.sequence % count != index:
                continue
            # Also where it is late: the requests spawned before must get their turn.
            gevent.sleep(max(0.0, zero + arrival.at_s - time.monotonic()))
            take_up(arrival)
        gevent.sleep(max(0.0, zero + plan.duration_s - time.monotonic()))
        self.surges.end()
        self.requests.join(timeout=max(stream.timeout_s for stream in plan.streams) + DRAIN_GRACE_S)
        self.complete = len(self.requests) == 0

    def _request(self, environment: Any, sender: Sender, arrival: Arrival) -> None:
        self._record(environment, sender.send(arrival))

    def _record(self, environment: Any, sample: Sample) -> None:
        self.recorder.sample(sample)
        if sample.served_tier is not None:
            self.tiers_seen[sample.stream] = sample.served_tier
        environment.events.request.fire(
            request_type="POST",
            name=sample.stream,
            response_time=sample.latency_s * 1000.0,
            response_length=0,
            exception=None if sample.outcome == "ok" else RuntimeError(f"{sample.outcome}: {sample.reason}"),
            context={"tier": sample.tier},
            response=None,
        )

    def pulse(self) -> None:
        """Flush, measure the loop's lag, report; until the walk has ended."""
        ticks = 0
        due = time.monotonic() + TICK_S
        while not self.ended.wait(max(0.0, due - time.monotonic())):
            self.vitals.lag(time.monotonic() - due)
            self.recorder.flush()
            ticks += 1
            if ticks % TICKS_PER_REPORT == 0:
                self.recorder.report(self.vitals.report(in_flight=len(self.requests)))
            due = time.monotonic() + TICK_S

    def end(self) -> None:
        """Close the files; what is still in flight is told as such. Safe to call again."""
        if self.ended.is_set():
            return
        self.ended.set()
        self.surges.end()
        unfinished = len(self.requests)
        for sample in self.sender.unfinished() if self.sender is not None else ():
            self.recorder.sample(sample)
        self.recorder.report(self.vitals.report(in_flight=unfinished))
        self.recorder.report(
            {"kind": "end", "at": time.time(), "pid": os.getpid(), "complete": self.complete, "unfinished": unfinished}
        )
        self.recorder.close()
        self.requests.kill(block=True, timeout=STOP_WAIT_S)


class Muster:
    """The master's side of a distributed run: ready when all workers are warm, go to all, done when all are."""

    def __init__(self, environment: Any, runner: Any) -> None:
        self.environment, self.runner = environment, runner
        self.warm: list[str] = []
        self.done: set[str] = set()
        self.workers = int(environment.parsed_options.expect_workers)

    def on_warm(self, msg: Any, **_: Any) -> None:
        """A worker has its connections; the last one's word makes the run ready."""
        if msg.node_id not in self.warm:
            self.warm.append(msg.node_id)
        if len(self.warm) == self.workers:
            gevent.spawn(self._go)

    def _go(self) -> None:
        control.announce(workers=self.workers)
        start_at = start_time(self.environment)
        if start_at is None:
            self.environment.process_exit_code = EXIT_NO_PARENT
            self.runner.quit()
            return
        self.runner.send_message("tierdrill-go", {"start_at": start_at, "workers": sorted(self.warm)})

    def on_done(self, msg: Any, **_: Any) -> None:
        """A worker has walked its share; the last one ends the run."""
        self.done.add(msg.node_id)
        if len(self.done) == self.workers:
            gevent.spawn(self.runner.quit)


def start_time(environment: Any) -> float | None:
    """Schedule zero: from the parent, else from the plan, else soon. With a parent, from then on its end ends this."""
    if control.awaited:
        start_at = control.wait_go(wait_read)
        if start_at is None:
            log.error("no go: the parent closed stdin or sent no time")
        else:
            gevent.spawn(end_with_parent, environment)
        return start_at
    return plan.start_at if plan.start_at is not None else time.time() + HAND_START_S


def end_with_parent(environment: Any) -> None:
    """No load without somebody who watches it."""
    control.wait_orphaned(wait_read)
    log.error("the parent closed stdin: ending")
    environment.process_exit_code = EXIT_NO_PARENT
    environment.runner.quit()


class State:
    """What this process is: set once by locust's init event."""

    walk: Walk | None = None
    go: AsyncResult = AsyncResult()


@events.init.add_listener  # type: ignore[untyped-decorator]
def on_init(environment: Any, runner: Any, **_: Any) -> None:
    """Wire this process's part: master, worker, or all in one."""
    # Failed requests are the drill's business and in the samples; locust would make exit code 1 of them.
    environment.process_exit_code = 0
    if isinstance(runner, MasterRunner):
        muster = Muster(environment, runner)
        runner.register_message("tierdrill-warm", muster.on_warm)
        runner.register_message("tierdrill-done", muster.on_done)
        # One user on each worker: the dispatcher spreads a fixed count evenly.
        OpenLoop.fixed_count = environment.parsed_options.num_users = muster.workers
        environment.parsed_options.spawn_rate = muster.workers
        return
    State.walk = Walk()
    environment.events.quitting.add_listener(on_quitting)
    if isinstance(runner, WorkerRunner):
        runner.register_message("tierdrill-go", on_go)


def on_go(msg: Any, **_: Any) -> None:
    """The master's word to a worker."""
    State.go.set(msg.data)


def on_quitting(**_: Any) -> None:
    """SIGTERM, locust's own end, or the master's."""
    if State.walk is not None:
        State.walk.end()


class OpenLoop(FastHttpUser):  # type: ignore[misc]
    """The one user. Its connection settings are the pool's; the requests are `Sender`'s."""

    fixed_count = 1
    host = plan.targets[0]
    concurrency = plan.connections_max
    connection_timeout = plan.connect_timeout_s
    # Above every stream's own timeout: that one decides, and a socket timeout then always means a connect.
    network_timeout = max(stream.timeout_s for stream in plan.streams) + 10.0
    max_retries = 0
    max_redirects = 0
    insecure = False

    @task  # type: ignore[untyped-decorator]
    def walk(self) -> None:
        """Warm up, wait for go, walk, end the run."""
        walk, runner = State.walk, self.environment.runner
        if walk is None or walk.begun:
            # A second user in one process would send everything twice.
            gevent.sleep(plan.duration_s)
            return
        walk.begun = True
        sender = Sender(plan, self.client.client.clientpool, walk.surges.poison.prompt)
        opened = sender.warm(plan.connections_max)
        # What was imported stays for good: not looking through it again shortens the collector's pauses.
        gc.collect()
        gc.freeze()
        distributed = isinstance(runner, WorkerRunner)
        index, count = 0, 1
        if distributed:
            control.announce(connections=opened)
            runner.send_message("tierdrill-warm")
            message = State.go.get()
            start_at: float | None = message["start_at"]
            index, count = message["workers"].index(runner.client_id), len(message["workers"])
        else:
            if plan.control_path is not None:
                walk.surges.listen(Path(plan.control_path))
            control.announce(connections=opened)
            start_at = start_time(self.environment)
        if start_at is None:
            self.environment.process_exit_code = EXIT_NO_PARENT
            gevent.spawn(runner.quit)
            return
        gevent.spawn(walk.pulse)
        try:
            walk.run(self.environment, sender, start_at, index, count)
        except Exception:
            log.exception("the walk along the schedule failed")
            self.environment.process_exit_code = EXIT_FAILED
        walk.end()
        if distributed:
            runner.send_message("tierdrill-done")
            State.go = AsyncResult()
            State.go.get()
        else:
            gevent.spawn(runner.quit)
            gevent.sleep(plan.duration_s)
