"""A cluster's API through the official client: raw JSON only, bounded in time and in rate."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import quote

import urllib3
from kubernetes import client
from pydantic_core import SchemaValidator, core_schema

from tierdrill.documents.models.kubernetes import KubernetesSettings
from tierdrill.targets.base import TargetError
from tierdrill.targets.kubernetes.api_errors import ApiError, asked_pause, refused, unreachable
from tierdrill.targets.kubernetes.exec_stream import ExecStream
from tierdrill.targets.kubernetes.kubeconfig import load
from tierdrill.targets.kubernetes.permissions import Permission
from tierdrill.targets.kubernetes.watch_stream import Watch

NAME = "tierdrill"
"""Our field manager and user agent."""
CONNECT_S, READ_S = 2.0, 10.0
PATIENCE_S = 10.0
"""So long, in all, one call waits where the server asks for it by Retry-After."""
CALLS_PER_S, BURST = 20.0, 100
"""A look at a cluster takes some dozens of calls; that many need not wait for each other."""
PAGE = 250
_CONTINUE = re.compile(rb'"metadata":\s*\{[^{}]*"continue":\s*("[^"]+")')
_BEFORE_ITEMS = 4096
"""In a list's first bytes its metadata usually is, with the token for the next page."""
EXPIRED = 410
JSON = "application/json"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
SILENCE_S, WATCH_S = 75.0, 300
LOG_BYTES = 1_000_000
ANYTHING = SchemaValidator(core_schema.dict_schema())

Record = TypeVar("Record")


def path_of(
    resource: str,
    namespace: str | None = None,
    name: str | None = None,
    subresource: str = "",
    *,
    group: str = "",
    version: str = "v1",
) -> str:
    """The path of a resource (in its plural: `pods`) or of one object: `/api/v1/namespaces/shop/pods/web-1/log`."""
    parts = [f"/apis/{group}" if group else "/api", version]
    parts += ["namespaces", quote(namespace, safe="")] if namespace is not None else []
    parts.append(resource)
    parts += [quote(name, safe="")] if name is not None else []
    return "/".join([*parts, *([subresource] if subresource else [])])


class Cluster:
    """One cluster by a kubeconfig's context (None: its current one), or the one that this process runs in.

    With `uid` calls are made only where the cluster's kube-system namespace has it. Every call may raise ApiError, or
    TargetError where the credentials cannot be read or another cluster answers. Threads may share it. `calls` is how
    many were made so far.
    """

    def __init__(self, kubeconfig: str | None = None, context: str | None = None, uid: str | None = None) -> None:
        self._kubeconfig, self._context, self._uid = kubeconfig, context, uid
        self._confirmed = uid is None
        self._lock = threading.Lock()
        self._next = 0.0
        self.calls = 0
        self._api, self.server = self._load()

    @classmethod
    def of(cls, settings: KubernetesSettings) -> Cluster:
        """The cluster that an environment's document means."""
        return cls(settings.kubeconfig, settings.context, settings.cluster)

    def get(self, path: str, **query: str | int | bool) -> dict[str, Any]:
        """The object or list at a path; the query's names are the API's own, such as labelSelector."""
        return _parsed(self._where, self._call("GET", path, query))

    def chunks(
        self, path: str, shape: SchemaValidator = ANYTHING, *, labels: str = "", fields: str = "", limit: int = PAGE
    ) -> Iterator[dict[str, Any]]:
        """A list in pages of so many, each with `metadata.resourceVersion`; ApiError 410 where it took too long.

        What its `shape`, such as POD_LIST, does not name is left out. While one page is made sense of, the next comes.
        """
        query: dict[str, str | int | bool] = {"limit": limit}
        query |= {"labelSelector": labels} if labels else {}
        query |= {"fieldSelector": fields} if fields else {}
        with ThreadPoolExecutor(1, "next-page") as ahead:
            answer: Any = self._call("GET", path, query)
            while True:
                early = _CONTINUE.search(answer.data, 0, _BEFORE_ITEMS)
                token = json.loads(early[1]) if early else ""
                following = ahead.submit(self._call, "GET", path, query | {"continue": token}) if token else None
                page = _parsed(self._where, answer, shape)
                token = (page.get("metadata") or {}).get("continue") or ""
                del answer  # some megabytes, as the page is
                yield page
                del page
                if following is None and not token:
                    return
                answer = following.result() if following else self._call("GET", path, query | {"continue": token})

    def pages(self, path: str, *, labels: str = "", fields: str = "", limit: int = PAGE) -> Iterator[dict[str, Any]]:
        """The items of a list, read in pages of so many; in items of lists `kind` and `apiVersion` are missing."""
        for page in self.chunks(path, labels=labels, fields=fields, limit=limit):
            yield from page.get("items") or ()

    def records(
        self,
        path: str,
        make: Callable[[Mapping[str, Any]], Record],
        shape: SchemaValidator = ANYTHING,
        *,
        labels: str = "",
        fields: str = "",
    ) -> tuple[Record, ...]:
        """A whole list as records. One that has expired half-way is begun again, once: half a list is none."""
        for last in (False, True):
            try:
                pages = self.chunks(path, shape, labels=labels, fields=fields)
                return tuple(record for page in pages for record in map(make, page.pop("items", None) or ()))
            except ApiError as error:
                if error.status != EXPIRED or last:
                    raise
        raise AssertionError

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = JSON,
        query: Mapping[str, str | int | bool] | None = None,
    ) -> dict[str, Any]:
        """Change something: POST, PUT, PATCH (with its content type) or DELETE; what the server answers."""
        said = {**(query or {})}
        if method in ("POST", "PUT", "PATCH"):
            said.setdefault("fieldManager", NAME)
        return _parsed(self._where, self._call(method, path, said, body, content_type))

    def can(self, permission: Permission, namespace: str | None = None, name: str = "") -> tuple[bool, str]:
        """Whether we may, in that namespace (None: in the whole cluster); and what the server says of it."""
        asked = {"verb": permission.verb, "group": permission.group, "resource": permission.resource}
        asked |= {"subresource": permission.subresource} if permission.subresource else {}
        asked |= {"namespace": namespace} if namespace is not None else {}
        asked |= {"name": name} if name else {}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": asked},
        }
        status = self.send("POST", path_of("selfsubjectaccessreviews", group="authorization.k8s.io"), review)["status"]
        return bool(status.get("allowed")), str(status.get("reason") or status.get("evaluationError") or "")

    def rules(self, namespace: str) -> list[dict[str, Any]]:
        """What we may do in a namespace, as far as the server can list it; also what the whole cluster allows."""
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": namespace},
        }
        status = self.send("POST", path_of("selfsubjectrulesreviews", group="authorization.k8s.io"), review)["status"]
        return list(status.get("resourceRules") or ())

    def fingerprint(self) -> str:
        """The uid of its kube-system namespace, which stays the same as long as the cluster lives."""
        answer = self._call("GET", path_of("namespaces", name="kube-system"), {}, confirmed=True)
        return str(_parsed(self._where, answer)["metadata"]["uid"])

    def watch(
        self,
        path: str,
        resource_version: str,
        *,
        labels: str = "",
        fields: str = "",
        seconds: int = WATCH_S,
        silence_s: float = SILENCE_S,
    ) -> Watch:
        """Follow what changes after that version for so many seconds at the most; see Watch."""
        query: dict[str, str | int | bool] = {"watch": True, "resourceVersion": resource_version}
        query |= {"allowWatchBookmarks": True, "timeoutSeconds": seconds}
        query |= {"labelSelector": labels} if labels else {}
        query |= {"fieldSelector": fields} if fields else {}
        return Watch(self._where, self._call("GET", path, query, read_s=silence_s, stream=True), silence_s)

    def exec(self, namespace: str, pod: str, container: str, argv: list[str]) -> ExecStream:
        """Start a program in a container, its input and output in one stream. Needs get and create on pods/exec."""
        query = [("container", container), ("stdin", "true"), ("stdout", "true"), ("stderr", "true")]
        path = path_of("pods", namespace, pod, "exec")
        self._confirm()
        for attempt in (1, 2):
            self._wait_for_turn()
            api = self._api
            call = api.param_serialize(
                "GET", path, query_params=[*query, *(("command", word) for word in argv)], auth_settings=["BearerToken"]
            )
            try:
                return ExecStream(self._where, api.configuration, call[1], call[2])
            except ApiError as error:
                if error.status != 401 or attempt == 2:
                    raise
                self._reload()
        raise AssertionError

    def logs(self, namespace: str, pod: str, container: str, *, tail: int = 200) -> str:
        """The last lines that a container wrote."""
        query: dict[str, str | int | bool] = {"container": container, "tailLines": tail, "limitBytes": LOG_BYTES}
        data: bytes = self._call("GET", path_of("pods", namespace, pod, "log"), query).data
        return data.decode("utf-8", "replace")

    def through(
        self,
        namespace: str,
        pod: str,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        within_s: float = READ_S,
    ) -> str:
        """Ask a pod (`NAME:PORT`) by HTTP through the API server, which keeps the header Authorization for itself."""
        target = f"{path_of('pods', namespace)}/{pod}/proxy/{path}"
        data: bytes = self._call(method, target, {}, body, read_s=within_s, headers=headers or {}).data
        return data.decode("utf-8", "replace")

    def close(self) -> None:
        """End its connections."""
        self._api.close()

    @property
    def _where(self) -> str:
        return f"cluster {self._context} ({self.server})" if self._context is not None else f"cluster {self.server}"

    def _confirm(self) -> None:
        if self._confirmed:
            return
        if (found := self.fingerprint()) != self._uid:
            raise TargetError(
                f"{self._where} is another cluster: its uid is {found}, and the environment's document says "
                f"kubernetes.cluster: {self._uid}; nothing was touched"
            )
        self._confirmed = True

    def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int | bool],
        body: Any = None,
        content_type: str = JSON,
        *,
        read_s: float = READ_S,
        stream: bool = False,
        confirmed: bool = False,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> Any:
        """The answer, read whole unless it is a stream."""
        if not confirmed:
            self._confirm()
        words = [(name, str(value).lower() if isinstance(value, bool) else str(value)) for name, value in query.items()]
        refreshed, repeated, until = False, False, time.monotonic() + PATIENCE_S
        said = {"Accept": JSON, **({"Content-Type": content_type} if body is not None else {}), **headers}
        while True:
            self._wait_for_turn()
            try:
                call = self._api.param_serialize(
                    method,
                    path,
                    query_params=words,
                    header_params=said,
                    body=body,
                    auth_settings=["BearerToken"],
                )
                answer = self._api.call_api(*call, _request_timeout=(CONNECT_S, read_s)).response
                if stream and answer.status < 400:
                    return answer
                data = answer.data
            except (client.ApiException, urllib3.exceptions.HTTPError, OSError) as error:
                if method == "GET" and not repeated and isinstance(error, urllib3.exceptions.ProtocolError):
                    repeated = True  # the server ended a kept connection just as it was used again
                    continue
                raise unreachable(self._where, error) from error
            if answer.status < 400:
                return answer
            if answer.status == 401 and not refreshed:
                refreshed = True
                self._reload()
                continue
            pause = asked_pause(answer)
            if pause is None or time.monotonic() + pause > until:
                raise refused(self._where, answer.status, data, answer.reason or "")
            time.sleep(pause)

    def _wait_for_turn(self) -> None:
        with self._lock:
            now = time.monotonic()
            self.calls += 1
            self._next = max(self._next, now - BURST / CALLS_PER_S) + 1 / CALLS_PER_S
            pause = self._next - now
        if pause > 0:
            time.sleep(pause)

    def _reload(self) -> None:
        with self._lock:
            self._api, self.server = self._load()

    def _load(self) -> tuple[Any, str]:
        settings = load(self._kubeconfig, self._context)
        try:
            api = client.ApiClient(settings)
        except (OSError, ValueError) as error:
            raise TargetError(
                f"the credentials of {self._context or 'the kubeconfig'} cannot be used: {error}"
            ) from error
        api.user_agent = NAME
        return api, str(settings.host)


def _parsed(where: str, answer: Any, shape: SchemaValidator = ANYTHING) -> dict[str, Any]:
    try:
        found: dict[str, Any] = shape.validate_json(answer.data)
    except ValueError:
        words = "something that is not JSON; is it a Kubernetes API server, or a login page in front of it?"
        raise ApiError(f"{where} answers with {words}", answer.status) from None
    return found
