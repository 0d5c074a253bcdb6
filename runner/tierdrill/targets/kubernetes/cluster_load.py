"""The load child where Jobs of the cluster send the load. To its run it is what locust's own child is (`child_line`).

It starts the Jobs, tells each pod over one `pods/exec` stream what to do, and writes the samples and self-reports of
all of them where the run looks for them. When it ends, its streams end, and with them the load; it takes the Jobs away.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tierdrill.credentials import ServerLogin
from tierdrill.documents.models.kubernetes import LoadJobs
from tierdrill.load.child_line import PLAN, Control
from tierdrill.load.load_plan import LoadPlan, read_plan
from tierdrill.load.sample_writer import file_of
from tierdrill.process.programs import Program
from tierdrill.targets.base import TargetError
from tierdrill.targets.kubernetes.agents import IMAGE_TROUBLE, keeps, owners_of
from tierdrill.targets.kubernetes.cluster_place import Place
from tierdrill.targets.kubernetes.connect import path_of
from tierdrill.targets.kubernetes.exec_stream import ExecStream
from tierdrill.targets.kubernetes.kubernetes_fault import label_value
from tierdrill.targets.kubernetes.manifests.load_jobs import CONTAINER, MASTER, WORKER, load_jobs, runtime_of
from tierdrill.targets.kubernetes.warden_program import PART_LABEL, RUN_LABEL

PODS_WITHIN_S, READY_WITHIN_S, POLL_S = 90.0, 45.0, 0.3
MARGIN_S = 300.0
CLOCK_OFF_S = 0.1
"""So much a pod's clock may differ from this machine's: by its own clock it sends when this machine's says."""
PORT = 5557
EXIT_FAILED, EXIT_NO_PARENT = 1, 3
FILES = ("ca_file", "client_cert", "client_key")

log = logging.getLogger("tierdrill.load")


@dataclass
class Line:
    """One pod that sends load, or commands those that do."""

    pod: str
    stream: ExecStream
    ready: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    failed: str = ""

    def follow(self, samples: Path, reports: Path, asked_at: float) -> None:
        """Until its program has ended: write down what it says."""
        try:
            with samples.open("a", encoding="utf-8") as sink, reports.open("a", encoding="utf-8") as told:
                while (line := self._line()) is not None:
                    self._take(line[:1], line[1:], sink, told, asked_at)
            if not self.ended.is_set():
                self._fail(self.stream.finish(1.0).errors.strip()[-500:] or "its program has ended")
        except (TargetError, OSError, ValueError) as error:
            self._fail(str(error))

    def _line(self) -> str | None:
        while True:
            try:
                return self.stream.read_line(1.0)
            except TimeoutError:
                if self.ended.is_set():
                    return None

    def _take(self, letter: str, text: str, samples: Any, reports: Any, asked_at: float) -> None:
        if letter in "SG":
            sink = samples if letter == "S" else reports
            sink.write(f"{text}\n")
            sink.flush()
        elif letter == "T":
            ahead = max(asked_at - float(text), float(text) - time.time())
            if ahead > CLOCK_OFF_S:
                self._fail(f"its node's clock is off this machine's by {ahead:.1f} s; load from Jobs needs equal ones")
        elif letter == "R":
            self.ready.set()
        elif letter == "E":
            self._fail(str(json.loads(text)))
        elif letter == "X":
            if text != "0":
                self.failed = self.failed or f"locust ended with exit code {text}"
            self.ended.set()

    def _fail(self, why: str) -> None:
        self.failed = self.failed or why
        self.ready.set()
        self.ended.set()

    def say(self, words: str) -> None:
        self.stream.write(f"{words}\n".encode())


def main() -> int:
    """A program's main."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    asked_to_end = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked_to_end.set())
    plan = read_plan(Path(os.environ[PLAN]))
    assert plan.jobs is not None
    control, jobs = Control(os.environ), ClusterLoad(plan, Place(plan.jobs["place"]))
    try:
        jobs.start()
        control.announce(workers=jobs.told.workers)
        start_at = control.wait_go(_readable)
        if start_at is None:
            log.error("no go: the parent closed stdin or sent no time")
            return EXIT_NO_PARENT
        jobs.go(start_at)
        threading.Thread(target=_await_end, args=(control, asked_to_end), daemon=True).start()
        return jobs.wait(asked_to_end)
    except TargetError as error:
        log.error("%s", error)
        return EXIT_FAILED
    finally:
        jobs.end()


def _await_end(control: Control, asked_to_end: threading.Event) -> None:
    control.wait_orphaned(_readable)
    asked_to_end.set()


def _readable(fd: int) -> None:
    select.select([fd], [], [])


class ClusterLoad:
    """The Jobs of one run, and the lines to their pods. TargetError where the cluster refuses, or a pod cannot."""

    def __init__(self, plan: LoadPlan, place: Place) -> None:
        assert plan.jobs is not None and place.settings.load is not None
        self.told: LoadJobs = place.settings.load
        self._plan, self._place, self._run = plan, place, str(plan.jobs["run"])
        self._avoid: list[str] = plan.jobs["avoid"]
        self._namespace = place.settings.namespace
        self._labels = {RUN_LABEL: label_value(self._run)}
        self._names: list[str] = []
        self.lines: list[Line] = []

    def start(self) -> None:
        """Until every worker has its connections, and waits to be told when to begin."""
        cluster, path = self._place.cluster, path_of("jobs", self._namespace, group="batch")
        (owner,) = owners_of(cluster, self._namespace, self._run)["ownerReferences"]
        name = label_value(self._run).lower().replace("_", "-")
        for job in load_jobs(self.told, name, self._labels, owner, self._avoid, self._plan.duration_s + MARGIN_S):
            cluster.send("POST", path, job)
            self._names.append(job["metadata"]["name"])
        (master,), workers = self._pods(MASTER, 1), self._pods(WORKER, self.told.workers)
        self._begin(master, "--master", "--expect-workers", str(len(workers)), "--master-bind-port", str(PORT))
        address = str(master["status"]["podIP"])
        for worker in workers:
            self._begin(worker, "--worker", "--master-host", address, "--master-port", str(PORT))
        until = time.monotonic() + READY_WITHIN_S
        for line in self.lines:
            if not line.ready.wait(max(0.0, until - time.monotonic())):
                raise TargetError(f"pod {line.pod} was not ready to send load within {READY_WITHIN_S:g} s")
            if line.failed:
                raise TargetError(f"pod {line.pod}: {line.failed}")

    def _pods(self, part: str, count: int) -> Sequence[Mapping[str, Any]]:
        """The pods of a Job, once all of them run."""
        path, until = path_of("pods", self._namespace), time.monotonic() + PODS_WITHIN_S
        labels = f"{RUN_LABEL}={self._labels[RUN_LABEL]},{PART_LABEL}={part}"
        while True:
            found = list(self._place.cluster.pages(path, labels=labels))
            waits = {one["metadata"]["name"]: why for one in found if (why := keeps(one))}
            if len(found) >= count and not waits:
                return found
            broken = any(why.startswith(IMAGE_TROUBLE) for why in waits.values())
            if broken or time.monotonic() >= until:
                why = next(iter(waits.values()), "its Job has made no pod; `kubectl describe job` tells why")
                raise TargetError(f"load from Jobs: a pod of {part} does not run: {why}")
            time.sleep(POLL_S)

    def _begin(self, pod: Mapping[str, Any], *arguments: str) -> None:
        name, number = pod["metadata"]["name"], len(self.lines)
        argv = runtime_of(self.told).command(Program.LOAD_POD)
        line = Line(name, self._place.cluster.exec(self._namespace, name, CONTAINER, argv))
        self.lines.append(line)
        asked_at = time.time()
        line.say(json.dumps({**carried(self._plan), "arguments": arguments}))
        files = [file_of(stem, number) for stem in (self._plan.sample_path, self._plan.status_path)]
        threading.Thread(target=line.follow, args=(*files, asked_at), name=name, daemon=True).start()

    def go(self, start_at: float) -> None:
        """All of them begin at that Unix time."""
        self.lines[0].say(f"go {start_at!r}")

    def wait(self, asked_to_end: threading.Event) -> int:
        """Until all have ended, as they do once asked, or one is lost; an exit code."""
        asked = False
        while not all(line.ended.is_set() for line in self.lines):
            if any(line.failed for line in self.lines):
                break
            if asked_to_end.is_set() and not asked:
                asked = True
                for line in self.lines:
                    line.say("stop")
            (self.lines[-1].ended if asked else asked_to_end).wait(POLL_S)
        for line in self.lines:
            if line.failed:
                log.error("pod %s: %s", line.pod, line.failed)
        return EXIT_FAILED if any(line.failed for line in self.lines) else 0

    def end(self) -> None:
        """The lines are closed, which ends what still runs, and the Jobs are taken away."""
        for line in self.lines:
            line.stream.close()
        for name in self._names:
            try:
                path = path_of("jobs", self._namespace, name, group="batch")
                self._place.cluster.send("DELETE", path, {"propagationPolicy": "Background"})
            except TargetError as error:
                log.warning("job %s goes with its run: %s", name, error)


def carried(plan: LoadPlan) -> dict[str, Any]:
    """The plan as a pod takes it, with the files and variables that it refers to on this machine."""
    files: dict[str, str] = {}

    def file(path: str) -> str:
        name = f"file-{len(files)}"
        files[name] = base64.b64encode(Path(path).expanduser().read_bytes()).decode()
        return name

    said = asdict(plan) | {"jobs": None, "control_path": None}
    for stream in said["streams"]:
        if stream["shape"].get("file"):
            stream["shape"]["file"] = file(stream["shape"]["file"])
    login = said["connection"] = dict(said["connection"] or {})
    for name in FILES:
        if login.get(name):
            login[name] = file(login[name])
    for secret in (login.get("bearer"), login.get("password"), *(login.get("secret_headers") or {}).values()):
        if secret and secret.get("file"):
            secret["file"] = file(secret["file"])
    variables = {name: os.environ[name] for name in ServerLogin(login).variables() if name in os.environ}
    return {"plan": said, "files": files, "variables": variables}


if __name__ == "__main__":
    sys.exit(main())
