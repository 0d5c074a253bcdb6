"""Prometheus and Alertmanager as processes of the lab: their files, their command lines, and when they are ready."""

import asyncio
import http.client
import json
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tierdrill.lab.lab_config import LabConfig, PrometheusConfig
from tierdrill.lab.supervisor.state_store import JOB as STATE_STORE_JOB
from tierdrill.lab.supervisor.state_store import free_addresses
from tierdrill.monitoring.alert_names import RUN_LABEL
from tierdrill.monitoring.alertmanager_config import NOWHERE_URL, filled_in
from tierdrill.monitoring.binaries import working_directory
from tierdrill.monitoring.monitoring_login import Login, web_config
from tierdrill.process.child import Child, SpawnError
from tierdrill.process.safe_files import write_private
from tierdrill.process.spawn import launch

JOBS = ("gateway", "controller", "node", "replica")
REPLICA_INTERVAL_S = 1.0
SCRAPE_TIMEOUT_SHARE = 0.9
PROMETHEUS_FILE = "prometheus.yml"
START_ATTEMPTS = 3
READY_TIMEOUT_S = 10.0
PROMETHEUS_OPTIONS = (
    "--storage.tsdb.min-block-duration=2h",
    "--rules.alert.resend-delay=1s",
    "--scrape.discovery-reload-interval=100ms",
)
PROMETHEUS = "prometheus"
ALERTMANAGER = "alertmanager"
MARKED_WITHIN_S = 5.0
_MARK_POLL_S = 0.05
_POLL_S = 0.02
_HTTP_TIMEOUT_S = 2.0

Target = tuple[str, dict[str, str]]
"""An address and the labels it gets."""


def prometheus_config(
    config: PrometheusConfig,
    folder: Path,
    alertmanager: str | None,
    login: Login,
    mark: str | None,
    jobs: Sequence[str] = JOBS,
) -> str:
    """The text of prometheus.yml (JSON, which YAML contains). Targets come from files: only the run's mark changes."""
    return prometheus_text(
        config,
        folder / "rules",
        {name: {"file_sd_configs": [{"files": [str(targets_file(folder, name))]}]} for name in jobs},
        alertmanager,
        login,
        mark,
    )


def prometheus_text(
    config: PrometheusConfig,
    rules: Path,
    jobs: Mapping[str, Mapping[str, Any]],
    alertmanager: str | None,
    login: Login,
    mark: str | None = None,
) -> str:
    """As `prometheus_config`, of jobs by their names, each with how its targets are found."""

    def job(name: str, discovery: Mapping[str, Any]) -> dict[str, Any]:
        interval_s = (
            max(REPLICA_INTERVAL_S, config.scrape_interval_s) if name == "replica" else config.scrape_interval_s
        )
        return {
            "job_name": name,
            "honor_labels": True,  # what an exporter says of itself is right; our labels only add to it
            "scrape_interval": duration(interval_s),
            "scrape_timeout": duration(interval_s * SCRAPE_TIMEOUT_SHARE),
            **discovery,
        }

    document: dict[str, Any] = {
        "global": {
            "scrape_interval": duration(config.scrape_interval_s),
            "scrape_timeout": duration(config.scrape_interval_s * SCRAPE_TIMEOUT_SHARE),
            "evaluation_interval": duration(config.evaluation_interval_s),
            **({"external_labels": {RUN_LABEL: mark}} if mark else {}),
        },
        "rule_files": [str(rules / name) for name in sorted(config.rules)],
        "scrape_configs": [job(name, discovery) for name, discovery in jobs.items()],
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


def duration(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))}ms"


class Monitoring:
    """A lab's Prometheus and Alertmanager, as far as it has them: their files, and how each is started."""

    def __init__(self, config: LabConfig, folder: Path, env: Mapping[str, str], login: Login) -> None:
        self._prometheus, self._alertmanager = config.prometheus, config.alertmanager
        self._folder, self._env, self.login = folder, env, login
        self._jobs = (*JOBS, STATE_STORE_JOB) if config.etcd is not None else JOBS
        self._targets: dict[str, dict[str, Target]] = {}
        self.mark: str | None = None
        """What the alerts of the run in this lab carry (RUN_LABEL)."""

    def names(self) -> list[str]:
        """Those that the lab has."""
        programs = ((ALERTMANAGER, self._alertmanager.binary), (PROMETHEUS, self._prometheus.binary))
        return [name for name, binary in programs if binary is not None]

    def watch(self, job: str, name: str, address: str, labels: Mapping[str, str]) -> None:
        """Have Prometheus scrape one more of a job's targets, or at another address than before."""
        targets = self._targets.setdefault(job, {})
        targets[name] = (address, {"instance": name, **labels})
        write_targets(self._folder, job, list(targets.values()))

    def watch_replicas(self, endpoints: Sequence[Mapping[str, Any]]) -> None:
        """Have it scrape these replicas, as the controller lists their endpoints, and no others."""
        labels = [{key: str(each[key]) for key in ("replica", "node", "tier")} for each in endpoints]
        targets = [
            (str(each["address"]), {"instance": own["replica"], **own})
            for each, own in zip(endpoints, labels, strict=True)
        ]
        write_targets(self._folder, "replica", targets)

    async def start_prometheus(self, alertmanager: str | None, at: str | None) -> tuple[Child, str]:
        """Write its files and start it `at` the address it had; returns once it answers as ready, with its address."""
        config, folder = self._prometheus, self._folder
        assert config.binary is not None
        rules = folder / "rules"
        rules.mkdir(parents=True, exist_ok=True)
        for name, text in config.rules.items():
            (rules / name).write_text(text, encoding="utf-8")
        for job in self._jobs:
            if not targets_file(folder, job).exists():
                write_targets(folder, job, [])
        self._write_prometheus(alertmanager)
        argv = [
            config.binary,
            f"--config.file={folder / PROMETHEUS_FILE}",
            f"--storage.tsdb.path={folder / 'prometheus-data'}",
            f"--storage.tsdb.retention.time={config.retention}",
            *PROMETHEUS_OPTIONS,
        ]
        return await self._start(PROMETHEUS, argv, folder, at)

    async def start_alertmanager(self, at: str | None) -> tuple[Child, str]:
        """Start it on the configuration that is there, `at` the address it had; returns once it answers as ready."""
        binary = self._alertmanager.binary
        assert binary is not None
        path = self._folder / "alertmanager.yml"
        if not path.exists():
            self.write_receiver(NOWHERE_URL, "none")
        data = self._folder / "alertmanager-data"
        argv = [binary, f"--config.file={path}", f"--storage.path={data}", "--cluster.listen-address="]
        return await self._start(ALERTMANAGER, argv, working_directory(Path(binary), self._folder), at)

    def write_receiver(self, url: str, token: str) -> None:
        """Alertmanager's configuration for a receiver."""
        token_file = self._folder / "webhook.token"
        text = filled_in(self._alertmanager.config, url, token, token_file)
        write_private(token_file, token)
        write_private(self._folder / "alertmanager.yml", text)

    async def take_mark(self, prometheus: Child, address: str, alertmanager: str | None) -> None:
        """Have a Prometheus that runs read its configuration again, with the mark. TimeoutError where it does not."""
        self._write_prometheus(alertmanager)
        prometheus.send_signal(signal.SIGHUP)
        async with asyncio.timeout(MARKED_WITHIN_S):
            # A signal has no answer; the configuration in force is what tells that it was read.
            while True:
                status, said = await ask("GET", address, "/api/v1/status/config", self.login)
                if status == 200 and (self.mark or "") in said:
                    return
                await asyncio.sleep(_MARK_POLL_S)

    def _write_prometheus(self, alertmanager: str | None) -> None:
        text = prometheus_config(self._prometheus, self._folder, alertmanager, self.login, self.mark, self._jobs)
        write_private(self._folder / PROMETHEUS_FILE, text)

    async def _start(self, name: str, argv: list[str], cwd: Path, at: str | None) -> tuple[Child, str]:
        web, log_path = self._folder / "web.yml", self._folder / "logs" / f"{name}.log"
        write_private(web, web_config(self.login))
        # These programs cannot say which port the system gave them, so one is found first. Somebody may take it in
        # between: then the program ends, and another port is tried.
        for attempt in range(START_ATTEMPTS):
            address = at if at is not None and attempt == 0 else free_addresses(1)[0]
            options = (f"--web.config.file={web}", f"--web.listen-address={address}", "--log.level=warn")
            child = launch([*argv, *options], log_path=log_path, env=self._env, cwd=cwd, new_group=True)
            try:
                if await _ready(child, address, self.login):
                    return child, address
            except BaseException:
                child.stop(0.1)
                raise
            in_use = "address already in use" in child.log_tail()
            if child.exit_code() is None or not in_use or attempt == START_ATTEMPTS - 1:
                child.stop(0.1)
                break
        raise SpawnError(f"{Path(argv[0]).name} did not become ready; log {log_path}:\n{child.log_tail()}")


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
