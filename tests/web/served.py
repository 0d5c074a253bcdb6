"""`tierdrill web` in a process of its own, as people serve it."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Self

from tests.cli.support import COMMAND, environment
from tests.e2e.home import ROOT, processes

WITHIN_S = 60.0


class Served:
    """Started anew it has the same address. At the end nothing that it started is left."""

    def __init__(self, home: Path, catalogue: Path) -> None:
        self.home, self.port = home, 0
        self._command = [*COMMAND, "--catalogue", str(catalogue)]
        self._log = home.parent / "web.log"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        for process in processes(self.home):
            process.kill()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        with self._log.open("wb") as log:
            command = [*self._command, "web", "--port", str(self.port)]
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment(self.home), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + WITHIN_S
        while "; Ctrl-C ends it" not in self._log.read_text():
            assert self.process.poll() is None and time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.05)
        self.port = int(self._log.read_text().split("http://127.0.0.1:", 1)[1].split("/", 1)[0])

    def stop(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        self.process.wait(WITHIN_S)

    def token(self, name: str, role: str) -> str:
        words = [*self._command, "web", "token", "--name", name, "--role", role, "--json"]
        done = subprocess.run(words, cwd=ROOT, env=environment(self.home), capture_output=True, text=True, check=True)
        return str(json.loads(done.stdout)["token"])
