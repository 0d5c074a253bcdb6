"""A platform as a stranger has it: service, Prometheus and Alertmanager, and the documents of docs/external.md."""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import yaml

from tests.e2e.home import ROOT
from tests.monitoring.monitoring_support import binaries, free_port, monitoring_commands, running, wait_http
from tierdrill.monitoring.monitoring_login import Login, web_config

KEY, PASSWORD = "inference-key-of-the-test", "prometheus-password-of-the-test"
TOKEN = "webhook-token-of-the-test"
PAGE = ROOT / "docs" / "external.md"
_BLOCK = re.compile(r"^```yaml\n# (\S+\.yaml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

RULES = {
    "groups": [
        {
            "name": "platform",
            "interval": "500ms",
            "rules": [
                {"alert": "DeadMansSwitch", "expr": "vector(1)", "labels": {"severity": "none"}},
                {"alert": "PlatformWorkerDown", "expr": "worker_up == 0", "labels": {"severity": "page"}},
                {"alert": "PlatformWorkerGone", "expr": "worker_up == 0", "for": "2s", "labels": {"severity": "page"}},
                {"alert": "SomebodyElsesAffair", "expr": "vector(1)", "labels": {"severity": "page"}},
            ],
        }
    ]
}


@dataclass(frozen=True)
class Platform:
    """Where it is, the folder with its secrets and documents, and where (HOST:PORT) it tells a drill of its alerts."""

    service: str
    prometheus: str
    alertmanager: str
    folder: Path
    listen: str = ""

    @property
    def catalogue(self) -> Path:
        return self.folder / "catalogue"

    def switch(self, mode: str) -> None:
        """Break it, or mend it."""
        httpx.post(f"{self.service}/fault", json={"mode": mode}, trust_env=False).raise_for_status()

    def mode(self) -> str:
        return str(httpx.get(f"{self.service}/fault", trust_env=False).json()["mode"])

    def await_alerts(self) -> None:
        """A platform has been up for long: its alerts are there."""
        deadline = time.monotonic() + 20
        while not httpx.get(f"{self.alertmanager}/api/v2/alerts", trust_env=False).json():
            assert time.monotonic() < deadline, "no alert came to Alertmanager"
            time.sleep(0.1)

    def write_documents(self) -> None:
        """The page's own example, with this platform's addresses and secrets, at a pace for tests."""
        replaced = {
            "https://inference.example.org": self.service,
            "https://prometheus.example.org": self.prometheus,
            "https://alertmanager.example.org": self.alertmanager,
            "/run/secrets/inference-key": str(self.folder / "inference-key"),
            "/run/secrets/prometheus": str(self.folder / "prometheus-password"),
            "pace: 20 ": "pace: 1 ",
            "scrape_interval: 15s, evaluation_interval: 30s": "scrape_interval: 500ms, evaluation_interval: 500ms",
        }
        for name, text in _BLOCK.findall(PAGE.read_text(encoding="utf-8")):
            for old, new in replaced.items():
                text = text.replace(old, new)
            path = self.catalogue / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        (self.catalogue / "playbooks").mkdir(exist_ok=True)
        (self.folder / "inference-key").write_text(f"{KEY}\n")
        (self.folder / "prometheus-password").write_text(f"{PASSWORD}\n")
        (self.folder / "webhook-token").write_text(f"{TOKEN}\n")

    def change(self, name: str, *edits: tuple[str, str]) -> None:
        """Replace text in one document."""
        path = self.catalogue / name
        text = path.read_text(encoding="utf-8")
        for old, new in edits:
            assert old in text, f"{name} has no {old!r}"
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def platform(folder: Path) -> Iterator[Platform]:
    """Start it; it ends with the block."""
    programs = binaries()
    ports = {name: free_port() for name in ("service", "prometheus", "alertmanager")}
    urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    listen = f"127.0.0.1:{free_port()}"
    (folder / "rules.yml").write_text(yaml.safe_dump(RULES))
    config = {
        "global": {"scrape_interval": "500ms", "scrape_timeout": "450ms", "evaluation_interval": "500ms"},
        "rule_files": [str(folder / "rules.yml")],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{ports['alertmanager']}"]}]}]},
        "scrape_configs": [
            {"job_name": "service", "static_configs": [{"targets": [f"127.0.0.1:{ports['service']}"]}]}
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    (folder / "web.yml").write_text(web_config(Login("drills", PASSWORD)))
    webhook = {"url": f"http://{listen}/alertmanager", "http_config": {"authorization": {"credentials": TOKEN}}}
    route = {"group_by": ["..."], "group_wait": "0s", "group_interval": "1s", "repeat_interval": "4s"}
    ours = {"receiver": "drills", "matchers": ['alertname=~"DeadMansSwitch|PlatformWorker.*"']}
    routed = {
        "route": {"receiver": "nobody", **route, "routes": [ours]},
        "receivers": [{"name": "nobody"}, {"name": "drills", "webhook_configs": [webhook]}],
    }
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(routed))
    commands: dict[str, list[str | Path]] = {
        "service": [sys.executable, Path(__file__).with_name("service.py"), str(ports["service"]), KEY],
        **monitoring_commands(programs, folder, ports),
    }
    commands["prometheus"].append(f"--web.config.file={folder / 'web.yml'}")
    with contextlib.ExitStack() as stack:
        for name, command in commands.items():
            stack.enter_context(running(command, folder / f"{name}.log"))
        wait_http(f"{urls['service']}/fault")
        wait_http(f"{urls['alertmanager']}/-/ready")
        there = Platform(**urls, folder=folder, listen=listen)
        there.write_documents()
        there.await_alerts()
        yield there
