"""Where the credentials for a cluster come from: a kubeconfig, or the service account of the pod that this runs in."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import urllib3
import yaml
from kubernetes import client, config
from kubernetes.config.kube_config import KubeConfigMerger

from tierdrill.targets.base import TargetError
from tierdrill.text import listed

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
CONNECTIONS = 32
_BROKEN = (config.ConfigException, yaml.YAMLError, OSError, KeyError, TypeError, AttributeError, ValueError)


def kubeconfig_path(path: str | None) -> str:
    """Where the kubeconfig is: as given, or as kubectl finds it; may be several files."""
    if path is None and os.environ.get("KUBECONFIG"):
        return os.environ["KUBECONFIG"]
    return str(Path(path or "~/.kube/config").expanduser())


def load(kubeconfig: str | None, context: str | None) -> Any:
    """The official client's Configuration with the credentials as they are now; TargetError.

    A token is never set by hand: the client's own refreshing would put the old one back.
    """
    settings = client.Configuration()
    settings.retries = urllib3.Retry(total=False, redirect=False)
    settings.connection_pool_maxsize = CONNECTIONS
    try:
        _read_credentials(settings, kubeconfig, context)
    except _BROKEN as error:
        raise TargetError(_words(kubeconfig, context, error)) from error
    return settings


class _Heard(logging.Handler):
    """Keeps what is logged: the client tells of a failing credential command in no other way."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def _read_credentials(settings: Any, kubeconfig: str | None, context: str | None) -> None:
    path = kubeconfig_path(kubeconfig)
    there = any(Path(one).is_file() for one in path.split(os.pathsep))
    if not there and kubeconfig is None and context is None and SERVICE_ACCOUNT.is_file():
        config.load_incluster_config(settings)
        return
    heard = _Heard()
    logging.getLogger().addHandler(heard)
    try:
        config.load_kube_config(path, context, settings, persist_config=False)
    finally:
        logging.getLogger().removeHandler(heard)
    if heard.lines and not settings.api_key and not settings.cert_file:
        raise config.ConfigException(f"its credential command failed: {listed(heard.lines)}")


def _words(kubeconfig: str | None, context: str | None, error: BaseException) -> str:
    path = kubeconfig_path(kubeconfig)
    if not any(Path(one).is_file() for one in path.split(os.pathsep)):
        return f"no kubeconfig at {path}; set KUBECONFIG, or kubernetes.kubeconfig in the environment's document"
    try:
        known = sorted(str(one["name"]) for one in KubeConfigMerger(path).config.value["contexts"])
    except _BROKEN:
        return f"kubeconfig {path} cannot be used: {error}"
    if context is not None and context not in known:
        return f"kubeconfig {path} has no context {context!r}, expected one of: {listed(known)}"
    return f"kubeconfig {path}{f', context {context}' if context is not None else ''}: {error}"
