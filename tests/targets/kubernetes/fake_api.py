"""An API server on loopback that answers as it was told to: its lists, and one script for each watch."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

Write = Callable[[bytes], None]
Script = Callable[[Write, threading.Event], None]
"""One watch: what it writes, until the event says that the server ends."""


def item(name: str, version: int, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": f"uid-{name}", "resourceVersion": str(version)}, **more}


def line(kind: str, item: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": item}).encode() + b"\n"


def says(*lines: bytes) -> Script:
    """These lines, then the end of the watch."""
    return lambda write, over: [write(one) for one in lines] and None


def says_and_stays(*lines: bytes) -> Script:
    """These lines, then silence."""

    def play(write: Write, over: threading.Event) -> None:
        for one in lines:
            write(one)
        over.wait()

    return play


def drops(write: Write, over: threading.Event) -> None:
    """The connection breaks in the middle of a line."""
    write(b'{"type": "MODIF')
    raise ConnectionResetError


def too_old(write: Write, over: threading.Event) -> None:
    status = {"kind": "Status", "status": "Failure", "reason": "Expired", "code": 410, "message": "too old"}
    write(line("ERROR", status))


class FakeApi:
    """`items` is what a list gives; `watches` are played one after the other, the last again and again."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self.version = 10
        self.watches: list[Script] = [says_and_stays()]
        self.lists = 0
        self.watched: list[str] = []
        self.refuse = 0
        self.over = threading.Event()
        self.page = 500

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        query = {name: values[-1] for name, values in parse_qs(urlsplit(handler.path).query).items()}
        if self.refuse:
            body = {"kind": "Status", "code": self.refuse, "message": "not now", "reason": "Refused"}
            self._json(handler, self.refuse, body)
        elif query.get("watch") == "true":
            self.watched.append(query["resourceVersion"])
            script = self.watches.pop(0) if len(self.watches) > 1 else self.watches[0]
            self._stream(handler, script)
        else:
            self.lists += 1
            since = int(query.get("continue", 0))
            meta = {"resourceVersion": str(self.version)}
            if since + self.page < len(self.items):
                meta["continue"] = str(since + self.page)
            self._json(handler, 200, {"items": self.items[since : since + self.page], "metadata": meta})

    def _json(self, handler: BaseHTTPRequestHandler, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def _stream(self, handler: BaseHTTPRequestHandler, script: Script) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()

        def write(data: bytes) -> None:
            handler.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            handler.wfile.flush()

        try:
            script(write, self.over)
            handler.wfile.write(b"0\r\n\r\n")
        except ConnectionError:
            handler.close_connection = True


@contextmanager
def fake_api(folder: Path) -> Iterator[tuple[FakeApi, str]]:
    """A server, and the kubeconfig that leads to it."""
    api = FakeApi()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            api.answer(self)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "fake",
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
        "clusters": [{"name": "fake", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "fake", "user": {}}],
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    try:
        yield api, str(path)
    finally:
        api.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
