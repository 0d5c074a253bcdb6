"""Documents, promtool scenarios and real Prometheus and Alertmanager processes for the monitoring tests."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tierdrill.documents.models.environment import Environment
from tierdrill.documents.models.tiers import Tiers
from tierdrill.documents.models.workloads import Workloads
from tierdrill.monitoring.alertmanager_config import alertmanager_config, filled_in
from tierdrill.monitoring.binaries import Binaries, find, working_directory
from tierdrill.monitoring.prometheus_rules import prometheus_rules

STEP_S = 0.5
ONE_THREAD = {"GOGC": "400", "GOMAXPROCS": "1"}
"""For a promtool that lives a second: a quarter of its time is collecting garbage, on every core."""
FROM_NOTHING = frozenset({"__name__", "absent", "absent_over_time", "scalar", "time", "vector"})
"""What an expression may have a value from where no series is."""
_NAME, _TEXT = re.compile(r"[A-Za-z_:][\w:]*"), re.compile(r"\"[^\"]*\"|'[^']*'|`[^`]*`")
LADDER = [{"contact": "pager:primary", "acknowledge_within": 300.0}]


def binaries() -> Binaries:
    """The programs, or a skip where they are not installed."""
    found = find()
    if found is None:
        pytest.skip("Prometheus and Alertmanager are not installed")
    return found


def tier(name: str, rank: int, **objectives: Any) -> dict[str, Any]:
    return {
        "name": name,
        "rank": rank,
        "owner": f"team-{name}",
        "rationale": "for the test",
        "escalation": LADDER,
        "objectives": objectives,
        "shed_order": 10 - rank,
    }


def tiers(*entries: dict[str, Any]) -> Tiers:
    every = entries or (
        tier("critical", 1, availability=0.999, latency={"p50": 0.15, "p99": 0.5}),
        tier("standard", 2, availability=0.97, latency={"p90": 2.0}),
        tier("best-effort", 3, availability=0.9, rejections_count=False),
    )
    return Tiers.model_validate(
        {"apiVersion": "tierdrill/v1", "kind": "Tiers", "metadata": {"name": "serving"}, "tiers": list(every)}
    )


def workloads() -> Workloads:
    models = [
        {
            "name": name,
            "tier": of,
            "risk": "low",
            "impact": "low",
            "frequency": "constant",
            "rationale": "for the test",
            "replicas": 3,
            "memory_gib": 40,
            "service": {"prefill_per_token": 0.001, "decode_per_token": 0.001},
        }
        for name, of in (("assistant", "critical"), ("summarizer", "standard"), ("draft", "best-effort"))
    ]
    return Workloads.model_validate(
        {
            "apiVersion": "tierdrill/v1",
            "kind": "Workloads",
            "metadata": {"name": "models"},
            "tiers": "serving",
            "models": models,
            "routes": [{"tier": "best-effort"}],
        }
    )


def environment(**clock: float) -> Environment:
    settings = {"scrape_interval": STEP_S, "evaluation_interval": STEP_S, **clock}
    return Environment.model_validate(
        {
            "apiVersion": "tierdrill/v1",
            "kind": "Environment",
            "metadata": {"name": "lab"},
            "target": "lab",
            "tiers": "serving",
            "workloads": "models",
            "clock": settings,
        }
    )


def write_rules(folder: Path, env: Environment | None = None, of: Tiers | None = None) -> list[Path]:
    """Rule files for the documents of the tests."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in prometheus_rules(of or tiers(), workloads(), env or environment()).items():
        (folder / name).write_text(text, encoding="utf-8")
        paths.append(folder / name)
    return paths


Values = Sequence[float | None]
"""One value a step of half a second; None: the series is gone."""


def between(start_s: float, end_s: float, total_s: float, inside: float | None, outside: float | None) -> Values:
    """A series that has one value from `start` to `end` and another one otherwise."""
    steps = round(total_s / STEP_S)
    return [inside if start_s <= step * STEP_S < end_s else outside for step in range(steps + 1)]


def constant(value: float, total_s: float) -> Values:
    return [value] * (round(total_s / STEP_S) + 1)


def counter(rates: Values) -> Values:
    """A counter that grows by so much a second."""
    value, values = 0.0, []
    for rate in rates:
        assert rate is not None
        values.append(value)
        value += rate * STEP_S
    return values


def firing(alert: str, **labels: str) -> str:
    """The number of firing alerts of that name and those labels, as an expression that is never empty."""
    chosen = "".join(f',{key}="{value}"' for key, value in labels.items())
    return f'count(ALERTS{{alertname="{alert}",alertstate="firing"{chosen}}}) or vector(0)'


@dataclass(frozen=True)
class Expected:
    """A value at a time."""

    at_s: float
    expression: str
    value: float


def never(alert: str, start_s: float, end_s: float) -> list[Expected]:
    """That it does not fire, at every evaluation of a time."""
    first, last = round(start_s / STEP_S), round(end_s / STEP_S)
    return [Expected(step * STEP_S, alert, 0) for step in range(first, last + 1)]


def leave_out_silent_rules(paths: Sequence[Path], metrics: Collection[str]) -> None:
    """Take the rules out of these files that have nothing to look at where there are these metrics only.

    promtool evaluates every rule at every step: sixty of them, of which a scenario feeds ten.
    """
    documents = {path: yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader) for path in paths}
    groups = [group for document in documents.values() for group in document["groups"]]
    left = [rule for group in groups for rule in group["rules"]]
    there, heard = {*metrics, *FROM_NOTHING}, list[int]()
    while fed := [rule for rule in left if there & {*_NAME.findall(_TEXT.sub("", rule["expr"]))}]:
        heard += map(id, fed)
        left = [rule for rule in left if id(rule) not in heard]
        for rule in fed:
            there |= {rule["record"]} if "record" in rule else {"ALERTS", "ALERTS_FOR_STATE"}
    for path, document in documents.items():
        for group in document["groups"]:
            group["rules"] = [rule for rule in group["rules"] if id(rule) in heard]
        document["groups"] = [group for group in document["groups"] if group["rules"]]
        path.write_text(yaml.dump(document, Dumper=yaml.CSafeDumper, sort_keys=False), encoding="utf-8")


def check_scenario(
    folder: Path,
    series: Mapping[str, Values],
    expected: Sequence[Expected],
    of: Tiers | None = None,
    env: Environment | None = None,
    *,
    every_rule: bool = False,
) -> None:
    """Run the rules over made-up series with promtool and compare; those that have nothing to look at only if asked."""

    def shown(value: float | None) -> str:
        return "stale" if value is None else f"{value:.9g}"

    paths = write_rules(folder / "rules", env, of)
    if not every_rule:
        leave_out_silent_rules(paths, {name.partition("{")[0] for name in series})
    document = {
        "rule_files": [str(path) for path in paths],
        "evaluation_interval": "500ms",
        "tests": [
            {
                "interval": "500ms",
                "input_series": [
                    {"series": name, "values": " ".join(shown(value) for value in values)}
                    for name, values in series.items()
                ],
                "promql_expr_test": [
                    {
                        "expr": one.expression,
                        "eval_time": f"{round(one.at_s * 1000)}ms",
                        "exp_samples": [{"labels": "{}", "value": one.value}],
                    }
                    for one in expected
                ],
            }
        ],
    }
    file = folder / "scenario.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    done = subprocess.run(
        [binaries().promtool, "test", "rules", file],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **ONE_THREAD},
    )
    assert done.returncode == 0, done.stdout + done.stderr


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def running(argv: Sequence[str | Path], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A child process that ends with the block."""
    with log.open("wb") as out:
        cwd = working_directory(Path(argv[0]), log.parent)
        child = subprocess.Popen(
            [str(part) for part in argv], stdout=out, stderr=out, stdin=subprocess.DEVNULL, cwd=cwd
        )
        try:
            yield child
        finally:
            child.kill()
            child.wait(timeout=5)


def wait_http(url: str, timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    with httpx.Client(trust_env=False, timeout=1.0) as client:
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                if client.get(url).status_code == 200:
                    return
            time.sleep(0.05)
    raise AssertionError(f"{url} did not answer")


@dataclass
class Stack:
    """A Prometheus that scrapes one exporter and sends to one Alertmanager."""

    prometheus: str
    alertmanager: str
    exporter: str
    folder: Path
    processes: dict[str, subprocess.Popen[bytes]]

    def set(self, text: str) -> None:
        """What the exporter shows from now on."""
        httpx.put(f"{self.exporter}/metrics", content=text, trust_env=False).raise_for_status()

    def webhook(self, url: str, token: str) -> None:
        """Send notifications there."""
        (self.folder / "alertmanager.yml").write_text(filled_in(alertmanager_config(), url, token), encoding="utf-8")
        httpx.post(f"{self.alertmanager}/-/reload", trust_env=False).raise_for_status()


EXPORTER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    text = b""
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(Handler.text)
    def do_PUT(self):
        Handler.text = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def monitoring_commands(programs: Binaries, folder: Path, ports: Mapping[str, int]) -> dict[str, list[str | Path]]:
    """How Alertmanager and Prometheus are started on loopback, with their files and data in a folder."""
    return {
        "alertmanager": [
            programs.alertmanager,
            f"--config.file={folder / 'alertmanager.yml'}",
            f"--storage.path={folder / 'alertmanager'}",
            f"--web.listen-address=127.0.0.1:{ports['alertmanager']}",
            "--cluster.listen-address=",
        ],
        "prometheus": [
            programs.prometheus,
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'prometheus'}",
            f"--web.listen-address=127.0.0.1:{ports['prometheus']}",
            "--web.enable-lifecycle",
            "--rules.alert.resend-delay=1s",
            "--log.level=warn",
        ],
    }


@contextlib.contextmanager
def stack(folder: Path) -> Iterator[Stack]:
    """Start the three; they end with the block."""
    programs = binaries()
    rules = write_rules(folder / "rules")
    ports = {name: free_port() for name in ("prometheus", "alertmanager", "exporter")}
    urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    (folder / "alertmanager.yml").write_text(
        filled_in(alertmanager_config(), "http://127.0.0.1:9/", "nobody"), encoding="utf-8"
    )
    scrape = {
        "job_name": "all",
        "honor_labels": True,
        "static_configs": [{"targets": [f"127.0.0.1:{ports['exporter']}"]}],
    }
    config = {
        "global": {"scrape_interval": "500ms", "scrape_timeout": "450ms", "evaluation_interval": "500ms"},
        "rule_files": [str(path) for path in rules],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{ports['alertmanager']}"]}]}]},
        "scrape_configs": [scrape],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    commands: dict[str, list[str | Path]] = {
        "exporter": [sys.executable, "-c", EXPORTER, str(ports["exporter"])],
        **monitoring_commands(programs, folder, ports),
    }
    with contextlib.ExitStack() as processes:
        children = {
            name: processes.enter_context(running(argv, folder / f"{name}.log")) for name, argv in commands.items()
        }
        wait_http(f"{urls['exporter']}/metrics")
        wait_http(f"{urls['alertmanager']}/-/ready")
        wait_http(f"{urls['prometheus']}/-/ready")
        yield Stack(urls["prometheus"], urls["alertmanager"], urls["exporter"], folder, children)


@contextlib.contextmanager
def silenced_alert(
    url: str, alert: str, author: str, comment: str, auth: tuple[str, str] | None = None
) -> Iterator[None]:
    """An Alertmanager with that alert silenced."""
    now = datetime.now(UTC)
    matcher = {"name": "alertname", "value": alert, "isRegex": False, "isEqual": True}
    times = {"startsAt": now.isoformat(), "endsAt": (now + timedelta(seconds=60)).isoformat()}
    with httpx.Client(base_url=url, auth=auth, trust_env=False) as client:
        body = {"matchers": [matcher], "createdBy": author, "comment": comment, **times}
        name = client.post("/api/v2/silences", json=body).raise_for_status().json()["silenceID"]
        try:
            yield
        finally:
            client.delete(f"/api/v2/silence/{name}").raise_for_status()
