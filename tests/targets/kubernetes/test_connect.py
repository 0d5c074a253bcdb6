"""What a cluster's API may answer, and what is made of it: credentials, refusals, waits, and servers that are none."""

from __future__ import annotations

import json
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.schedule.servers import certificate, server_tls
from tierdrill.targets.base import TargetError
from tierdrill.targets.kubernetes import connect
from tierdrill.targets.kubernetes.api_errors import ApiError
from tierdrill.targets.kubernetes.connect import Cluster, path_of
from tierdrill.targets.kubernetes.permissions import Permission

UID = "0f0f0f0f-0000-4000-8000-000000000001"
Answer = tuple[int, dict[str, str], bytes]
Asked = tuple[str, str, str, Any]
"""Method, path with query, login, body."""


def says(body: Any, status: int = 200, **headers: str) -> Answer:
    return status, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(body).encode()


def refuses(status: int, reason: str, message: str, causes: tuple[str, ...] = (), **headers: str) -> Answer:
    details = {"causes": [{"reason": cause} for cause in causes]}
    body = {"kind": "Status", "status": "Failure", "reason": reason, "message": message, "details": details}
    return says(body, status, **headers)


class Api:
    """`answers` is asked for each request; `asked` are all of them."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answers: Callable[[Asked], Answer] = lambda asked: says({"kind": "List", "items": []})
        self.port = 0

    def kubeconfig(self, folder: Path, *, user: Any = None, scheme: str = "http", **cluster: Any) -> str:
        path = folder / "kubeconfig"
        of = {"server": f"{scheme}://127.0.0.1:{self.port}", **cluster}
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "c", "cluster": of}],
                    "users": [{"name": "u", "user": {"token": "first"} if user is None else user}],
                    "contexts": [{"name": name, "context": {"cluster": "c", "user": "u"}} for name in ("prod", "test")],
                    "current-context": "prod",
                }
            )
        )
        return str(path)


@contextmanager
def served(tls: ssl.SSLContext | None = None) -> Iterator[Api]:
    api = Api()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: Any) -> None:
            """Quiet."""

        def _do(self) -> None:
            text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked = (self.command, self.path, self.headers.get("Authorization", ""), json.loads(text or b"null"))
            api.asked.append(asked)
            try:
                status, headers, body = api.answers(asked)
            except LookupError:
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _do

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    api.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def api() -> Iterator[Api]:
    with served() as found:
        yield found


def test_a_list_is_read_in_pages(api: Api, tmp_path: Path) -> None:
    def answers(asked: Asked) -> Answer:
        last = "continue=more" in asked[1]
        page = [{"metadata": {"name": "b"}}] if last else [{"metadata": {"name": "a"}}]
        return says({"items": page, "metadata": {} if last else {"continue": "more"}})

    api.answers = answers
    cluster = Cluster(api.kubeconfig(tmp_path))
    found = [one["metadata"]["name"] for one in cluster.pages("/api/v1/pods", labels="a=b", fields="c=d", limit=1)]
    assert found == ["a", "b"]
    assert all("labelSelector=a%3Db" in path and "fieldSelector=c%3Dd" in path and "limit=1" in path
               for _, path, _, _ in api.asked)  # fmt: skip


def test_the_next_page_is_asked_for_while_one_is_in_use(api: Api, tmp_path: Path) -> None:
    asked_for = threading.Event()

    def answers(asked: Asked) -> Answer:
        last = "continue=more" in asked[1]
        if last:
            asked_for.set()
        return says({"metadata": {"resourceVersion": "7", **({} if last else {"continue": "more"})}, "items": [last]})

    api.answers = answers
    chunks = Cluster(api.kubeconfig(tmp_path)).chunks("/api/v1/pods")
    assert next(chunks)["items"] == [False]
    assert asked_for.wait(30)
    assert [page["items"] for page in chunks] == [[True]]


def test_a_list_whose_metadata_come_last_is_read_to_its_end(api: Api, tmp_path: Path) -> None:
    def answers(asked: Asked) -> Answer:
        last = "continue=more" in asked[1]
        long = {"metadata": {"name": "x" * 5000, "labels": {"continue": "no"}}}
        return says({"items": [long], "metadata": {} if last else {"continue": "more"}})

    api.answers = answers
    assert len(list(Cluster(api.kubeconfig(tmp_path)).pages("/api/v1/pods"))) == 2


def test_a_list_that_expires_half_way_is_begun_again_once(api: Api, tmp_path: Path) -> None:
    expired = refuses(410, "Expired", "The provided continue parameter is too old")
    begun: list[str] = []

    def answers(asked: Asked) -> Answer:
        if "continue" in asked[1]:
            return expired if len(begun) == 1 else says({"items": [2]})
        begun.append(asked[1])
        return says({"items": [1], "metadata": {"continue": "x"}})

    api.answers = answers
    cluster = Cluster(api.kubeconfig(tmp_path))
    assert cluster.records("/api/v1/pods", lambda raw: raw) == (1, 2)
    api.answers = lambda asked: expired
    with pytest.raises(ApiError, match="list again") as caught:
        cluster.records("/api/v1/pods", lambda raw: raw)
    assert caught.value.status == 410


def test_credentials_are_read_again_when_they_are_refused(api: Api, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first")
    cluster = Cluster(api.kubeconfig(tmp_path, user={"tokenFile": str(token)}))
    assert cluster.get("/version")["kind"] == "List"
    token.write_text("second")
    api.answers = lambda asked: says({"ok": True}) if asked[2] == "Bearer second" else refuses(401, "Unauthorized", "x")
    assert cluster.get("/version") == {"ok": True}
    assert cluster.get("/version") == {"ok": True}
    assert [login.split()[1] for _, _, login, _ in api.asked] == ["first", "first", "second", "second"]


def test_an_expired_token_is_told_with_what_to_do(api: Api, tmp_path: Path) -> None:
    api.answers = lambda asked: refuses(401, "Unauthorized", "Unauthorized")
    with pytest.raises(ApiError, match="token has expired or was revoked; log in again, or renew it") as caught:
        Cluster(api.kubeconfig(tmp_path), "test").get("/version")
    assert caught.value.status == 401 and "cluster test" in str(caught.value) and "first" not in str(caught.value)
    assert len(api.asked) == 2


def test_a_forbidden_verb_is_named_with_what_to_do(api: Api, tmp_path: Path) -> None:
    told = 'nodes "n" is forbidden: User "u" cannot patch resource "nodes" in API group "" at the cluster scope'
    api.answers = lambda asked: refuses(403, "Forbidden", told)
    with pytest.raises(ApiError, match=r"cannot patch.*`tierdrill kubernetes rbac` prints the roles") as caught:
        Cluster(api.kubeconfig(tmp_path)).send("PATCH", path_of("nodes", name="n"), {})
    assert (caught.value.status, caught.value.reason) == (403, "Forbidden")


def test_a_disruption_budget_is_told_by_its_cause_and_not_waited_for(api: Api, tmp_path: Path) -> None:
    api.answers = lambda asked: refuses(429, "TooManyRequests", "Cannot evict pod", causes=("DisruptionBudget",))
    with pytest.raises(ApiError) as caught:
        Cluster(api.kubeconfig(tmp_path)).send("POST", path_of("pods", "a", "b", "eviction"), {})
    assert caught.value.causes == ("DisruptionBudget",) and len(api.asked) == 1


def test_what_the_server_asks_to_wait_is_waited(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(connect.time, "sleep", pauses.append)
    api.answers = lambda asked: (
        refuses(429, "TooManyRequests", "busy", Retry_After="3") if len(api.asked) < 3 else says({"ok": True})
    )
    cluster = Cluster(api.kubeconfig(tmp_path))
    assert cluster.send("POST", "/api/v1/x", {}) == {"ok": True}
    assert pauses == [3.0, 3.0]
    api.answers = lambda asked: refuses(503, "ServiceUnavailable", "starting", Retry_After="3600")
    with pytest.raises(ApiError, match="starting"):
        cluster.get("/api/v1/x")
    assert pauses == [3.0, 3.0]


def test_calls_are_spaced_once_a_burst_is_used_up(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, pauses = [0.0], list[float]()
    monkeypatch.setattr(connect.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(connect.time, "sleep", pauses.append)
    cluster = Cluster(api.kubeconfig(tmp_path))
    now[0] = 1000.0
    for _ in range(connect.BURST):
        cluster.get("/version")
    assert pauses == []
    for _ in range(3):
        cluster.get("/version")
    assert pauses == pytest.approx([0.05, 0.1, 0.15])
    now[0] += 0.15
    cluster.get("/version")
    assert pauses[-1] == pytest.approx(0.05)
    assert cluster.calls == len(api.asked) == connect.BURST + 4


def test_another_cluster_is_not_touched(api: Api, tmp_path: Path) -> None:
    api.answers = lambda asked: says({"metadata": {"uid": "another"}})
    cluster = Cluster(api.kubeconfig(tmp_path), "prod", UID)
    with pytest.raises(TargetError, match=f"another cluster: its uid is another.*kubernetes.cluster: {UID}; nothing"):
        cluster.send("DELETE", path_of("pods", "a", "b"))
    assert [path for _, path, _, _ in api.asked] == ["/api/v1/namespaces/kube-system"]
    api.answers = lambda asked: says({"metadata": {"uid": UID}})
    cluster.get("/version")
    cluster.get("/version")
    assert [path for _, path, _, _ in api.asked[1:]] == ["/api/v1/namespaces/kube-system", "/version", "/version"]


@pytest.mark.parametrize("body", [b"<html>log in</html>", b"[1]", b""])
def test_what_is_no_api_server_is_told(api: Api, tmp_path: Path, body: bytes) -> None:
    api.answers = lambda asked: (200, {}, body)
    with pytest.raises(ApiError, match="not JSON; is it a Kubernetes API server, or a login page"):
        Cluster(api.kubeconfig(tmp_path)).get("/version")


def test_a_refusal_that_is_no_status_object_is_told_by_its_status(api: Api, tmp_path: Path) -> None:
    api.answers = lambda asked: (502, {}, b"<html>bad gateway</html>")
    with pytest.raises(ApiError, match="HTTP 502 Bad Gateway") as caught:
        Cluster(api.kubeconfig(tmp_path)).get("/version")
    assert caught.value.status == 502


def test_a_connection_that_breaks_is_made_anew_once_for_reading_only(api: Api, tmp_path: Path) -> None:
    def answers(asked: Asked) -> Answer:
        if len(api.asked) == 1:
            raise LookupError
        return says({"ok": True})

    api.answers = answers
    cluster = Cluster(api.kubeconfig(tmp_path))
    assert cluster.get("/version") == {"ok": True}
    api.asked.clear()
    with pytest.raises(ApiError, match="cannot be reached"):
        cluster.send("POST", "/api/v1/x", {})
    assert len(api.asked) == 1


def test_no_cluster_is_told(tmp_path: Path) -> None:
    with served() as api:
        path = api.kubeconfig(tmp_path)
    with pytest.raises(ApiError, match=r"cannot be reached: connection refused.*is the cluster up\?") as caught:
        Cluster(path).get("/version")
    assert caught.value.status == 0


def test_whether_something_may_be_done_is_asked_by_a_review(api: Api, tmp_path: Path) -> None:
    def answers(asked: Asked) -> Answer:
        return says({"status": {"allowed": asked[3]["spec"]["resourceAttributes"]["verb"] == "get", "reason": "roles"}})

    api.answers = answers
    cluster = Cluster(api.kubeconfig(tmp_path))
    assert cluster.can(Permission("pods", "get", subresource="exec"), "own", "agent-1") == (True, "roles")
    assert cluster.can(Permission("nodes", "patch"))[0] is False
    assert [body["spec"]["resourceAttributes"] for _, _, _, body in api.asked] == [
        {"verb": "get", "group": "", "resource": "pods", "subresource": "exec", "namespace": "own", "name": "agent-1"},
        {"verb": "patch", "group": "", "resource": "nodes"},
    ]
    assert all("fieldManager=tierdrill" in path for _, path, _, _ in api.asked)


def test_tls_is_checked_against_the_kubeconfigs_authority(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    with served(server_tls(cert, key)) as api:
        good = api.kubeconfig(tmp_path, scheme="https", **{"certificate-authority": str(cert)})
        assert Cluster(good).get("/version")["kind"] == "List"
        bad = api.kubeconfig(tmp_path, scheme="https")
        with pytest.raises(ApiError, match="not signed by the kubeconfig's certificate-authority"):
            Cluster(bad).get("/version")


def test_an_open_tunnel_to_a_container_is_refused_with_its_status(api: Api, tmp_path: Path) -> None:
    api.answers = lambda asked: refuses(403, "Forbidden", 'User "u" cannot create resource "pods/exec"')
    with pytest.raises(ApiError, match=r"cannot create resource.*rbac") as caught:
        Cluster(api.kubeconfig(tmp_path)).exec("own", "agent", "main", ["python3", "-"])
    assert caught.value.status == 403
    assert "command=python3&command=-" in api.asked[0][1]


@pytest.mark.parametrize(
    ("text", "context", "told"),
    [
        (None, None, "no kubeconfig at .*set KUBECONFIG"),
        ("a: [", None, "cannot be used"),
        ("just words", None, "cannot be used"),
        ("{}", None, "Expected key current-context"),
        ("", "staging", r"has no context 'staging', expected one of: prod and test"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_told(
    api: Api, tmp_path: Path, text: str | None, context: str | None, told: str
) -> None:
    path = tmp_path / "kubeconfig"
    if text is not None:
        api.kubeconfig(tmp_path)
        path.write_text(text or path.read_text())
    with pytest.raises(TargetError, match=told):
        Cluster(str(path), context)


def test_a_credential_command_is_run_and_its_failure_told(api: Api, tmp_path: Path) -> None:
    helper = tmp_path / "helper.py"
    version = "client.authentication.k8s.io/v1"
    spoken = {"apiVersion": version, "kind": "ExecCredential", "status": {"token": "from-helper"}}
    helper.write_text(f"print({json.dumps(json.dumps(spoken))})")
    user = {"exec": {"apiVersion": version, "command": sys.executable, "args": [str(helper)]}}
    Cluster(api.kubeconfig(tmp_path, user=user)).get("/version")
    assert api.asked[0][2] == "Bearer from-helper"
    helper.write_text("import sys; sys.exit('no session: run the login command')")
    with pytest.raises(TargetError, match=r"credential command failed.*no session: run the login command"):
        Cluster(api.kubeconfig(tmp_path, user=user))


def test_paths_are_those_of_the_api() -> None:
    assert path_of("nodes") == "/api/v1/nodes"
    assert path_of("pods", "shop", "web-1", "log") == "/api/v1/namespaces/shop/pods/web-1/log"
    assert path_of("deployments", "shop", group="apps") == "/apis/apps/v1/namespaces/shop/deployments"
    assert path_of("pods", "a/b", "..") == "/api/v1/namespaces/a%2Fb/pods/.."
