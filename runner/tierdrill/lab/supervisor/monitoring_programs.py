"""Prometheus and Alertmanager as processes of the lab: their files, their command lines, and when they are ready."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tierdrill.lab.lab_config import PrometheusConfig
from tierdrill.monitoring.alert_names import RUN_LABEL
from tierdrill.monitoring.binaries import working_directory
from tierdrill.monitoring.login import Login, web_config
from tierdrill.process.atomic_file import write_private
from tierdrill.process.child import Child, SpawnError, launch

JOBS = ("gateway", "controller", "node", "replica")
REPLICA_INTERVAL_S = 1.0
SCRAPE_TIMEOUT_SHARE = 0.9
PROMETHEUS_FILE = "prometheus.yml"
START_ATTEMPTS = 3
READY_TIMEOUT_S = 10.0
NOWHERE_URL = "http://127.0.0.1:9/"
"""The discard port: where notifications go until a run names its receiver."""

_POLL_S = 0.02
_HTTP_TIMEOUT_S = 2.0

Target = tuple[str, dict[str, str]]
"""An address and the labels it gets."""


def prometheus_config(
    config: PrometheusConfig, folder: Path, alertmanager: str | None, login: Login, mark: str | None
) -> str:
    """The text of prometheus.yml (JSON, which YAML contains). Targets come from files: only the run's mark changes."""

    def job(name: str) -> dict[str, Any]:
        interval_s = (
            max(REPLICA_INTERVAL_S, config.scrape_interval_s) if name == "replica" else config.scrape_interval_s
        )
        return {
            "job_name": name,
            "honor_labels": True,  # what an exporter says of itself is right; our labels only add to it
            "scrape_interval": duration(interval_s),
            "scrape_timeout": duration(interval_s * SCRAPE_TIMEOUT_SHARE),
            "file_sd_configs": [{"files": [str(targets_file(folder, name))]}],
        }

    document: dict[str, Any] = {
        "global": {
            "scrape_interval": duration(config.scrape_interval_s),
            "scrape_timeout": duration(config.scrape_interval_s * SCRAPE_TIMEOUT_SHARE),
            "evaluation_interval": duration(config.evaluation_interval_s),
            **({"external_labels": {RUN_LABEL: mark}} if mark else {}),
        },
        "rule_files": [str(folder / "rules" / name) for name in sorted(config.rules)],
        "scrape_configs": [job(name) for name in JOBS],
    }
    if alertmanager is not None:
        receiver = {
            "static_configs": [{"targets": [alertmanager]}],
            "timeout": "2s",
            "basic_auth": {"username": login.user, "password": login.password},
        }
        document["alerting"] = {"alertmanagers": [receiver]}
    return json.dumps(document, indent=1) + "\n"


def targets_file(folder: Path, job: str) -> Path:
    return folder / "targets" / f"{job}.json"


def write_targets(folder: Path, job: str, targets: list[Target]) -> None:
    """Replace a job's targets; Prometheus watches the file."""
    groups = [{"targets": [address], "labels": labels} for address, labels in targets]
    path = targets_file(folder, job)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_private(path, json.dumps(groups, indent=1) + "\n")


def alertmanager_config(text: str, url: str, token: str, token_file: Path) -> str:
    """The configuration with the receiver filled in, quoted so that no value can change its structure."""
    values = {"@WEBHOOK_URL@": url, "@WEBHOOK_TOKEN_FILE@": str(token_file), "@WEBHOOK_TOKEN@": token}
    for placeholder, value in values.items():
        for written in (f"'{placeholder}'", f'"{placeholder}"', placeholder):
            text = text.replace(written, json.dumps(value))
    return text


def duration(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))}ms"


async def start_prometheus(
    config: PrometheusConfig,
    folder: Path,
    env: Mapping[str, str],
    alertmanager: str | None,
    login: Login,
    mark: str | None,
) -> tuple[Child, str]:
    """Write its files and start it; returns once it answers as ready."""
    assert config.binary is not None
    rules = folder / "rules"
    rules.mkdir(parents=True, exist_ok=True)
    for name, text in config.rules.items():
        (rules / name).write_text(text, encoding="utf-8")
    for job in JOBS:
        if not targets_file(folder, job).exists():
            write_targets(folder, job, [])
    path = folder / PROMETHEUS_FILE
    write_private(path, prometheus_config(config, folder, alertmanager, login, mark))
    argv = [
        config.binary,
        f"--config.file={path}",
        _guarded(folder, login),
        f"--storage.tsdb.path={folder / 'prometheus-data'}",
        f"--storage.tsdb.retention.time={config.retention}",
        "--storage.tsdb.min-block-duration=2h",
        "--rules.alert.resend-delay=1s",
        "--scrape.discovery-reload-interval=100ms",
        "--log.level=warn",
    ]
    return await _start(argv, folder / "logs" / "prometheus.log", folder, env, login)


async def start_alertmanager(binary: str, folder: Path, env: Mapping[str, str], login: Login) -> tuple[Child, str]:
    """Start it on the configuration that is there; returns once it answers as ready."""
    argv = [
        binary,
        f"--config.file={folder / 'alertmanager.yml'}",
        _guarded(folder, login),
        f"--storage.path={folder / 'alertmanager-data'}",
        "--cluster.listen-address=",
        "--log.level=warn",
    ]
    folder_of_start = working_directory(Path(binary), folder)
    return await _start(argv, folder / "logs" / "alertmanager.log", folder_of_start, env, login)


def _guarded(folder: Path, login: Login) -> str:
    """The option that makes a program ask for the login, and the file it names."""
    path = folder / "web.yml"
    write_private(path, web_config(login))
    return f"--web.config.file={path}"


async def ask(method: str, address: str, path: str, login: Login) -> tuple[int, str]:
    """A plain request to either of them; OSError when there is no answer."""
    return await asyncio.to_thread(_ask, method, address, path, login)


def _ask(method: str, address: str, path: str, login: Login) -> tuple[int, str]:
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=_HTTP_TIMEOUT_S)
    try:
        connection.request(method, path, headers={"Authorization": login.header})
        response = connection.getresponse()
        return response.status, response.read(65536).decode(errors="replace")
    except http.client.HTTPException as error:
        raise OSError(f"{address}{path}: {type(error).__name__} {error}") from error
    finally:
        connection.close()


async def _start(
    argv: list[str], log_path: Path, folder: Path, env: Mapping[str, str], login: Login
) -> tuple[Child, str]:
    # These programs cannot say which port the system gave them, so one is found first. Somebody may take it in
    # between: then the program ends, and another port is tried.
    for attempt in range(START_ATTEMPTS):
        address = f"127.0.0.1:{_free_port()}"
        child = launch(
            [*argv, f"--web.listen-address={address}"], log_path=log_path, env=env, cwd=folder, new_group=True
        )
        try:
            if await _ready(child, address, login):
                return child, address
        except BaseException:
            child.stop(0.1)
            raise
        in_use = "address already in use" in child.log_tail()
        if child.exit_code() is None or not in_use or attempt == START_ATTEMPTS - 1:
            child.stop(0.1)
            break
    name = os.path.basename(argv[0])  # noqa: PTH119 - a name for people
    raise SpawnError(f"{name} did not become ready; log {log_path}:\n{child.log_tail()}")


async def _ready(child: Child, address: str, login: Login) -> bool:
    deadline = asyncio.get_running_loop().time() + READY_TIMEOUT_S
    while child.exit_code() is None and asyncio.get_running_loop().time() < deadline:
        try:
            if (await ask("GET", address, "/-/ready", login))[0] == 200:
                return True
        except OSError:
            pass
        await asyncio.sleep(_POLL_S)
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
