"""What pods of these tests run: the rig's image with this machine's Python mounted, or on another cluster any image
that has sh and Python 3.9 or later, by TIERDRILL_TEST_IMAGE.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.rig.image import NAME

KUBECONFIG, IMAGE = "TIERDRILL_TEST_KUBECONFIG", "TIERDRILL_TEST_IMAGE"
USUAL = "python:3.12-slim"
SHARED = ("/usr", "/lib", "/lib64", "/etc/alternatives", sys.base_prefix)
"""What pods have of this machine. Debian's iptables is a link that leads through its alternatives."""


@dataclass(frozen=True)
class PodImage:
    """`serve` is a shell command that serves /tmp at port 8080 until it is ended."""

    name: str
    pull_policy: str
    python: str
    host_paths: tuple[str, ...]
    serve: str

    @property
    def settings(self) -> dict[str, Any]:
        """As an environment's `kubernetes.image`."""
        said = {"name": self.name, "python": self.python, "pull_policy": self.pull_policy}
        return {**said, "host_paths": [*self.host_paths]}

    @property
    def container(self) -> dict[str, str]:
        """The part of a container that says so."""
        return {"image": self.name, "imagePullPolicy": self.pull_policy}


def pod_image() -> PodImage:
    """The one to use with the cluster of this session."""
    if KUBECONFIG in os.environ:
        # As many may wait to be served as ask at once, which is more than the server's own five.
        run = "h.test(h.SimpleHTTPRequestHandler, h.ThreadingHTTPServer, port=8080)"
        queue = 'os.chdir("/tmp"); h.ThreadingHTTPServer.request_queue_size = 128'
        serve = f"python3 -c 'import http.server as h, os; {queue}; {run}'"
        return PodImage(os.environ.get(IMAGE, USUAL), "IfNotPresent", "python3", (), serve)
    shared = tuple(one for one in SHARED if Path(one).is_dir())
    python = str(Path(sys.base_prefix) / "bin/python3")
    return PodImage(NAME, "Never", python, shared, "/bin/busybox httpd -f -p 8080 -h /tmp")
