"""Program `store`: a model store. It serves weights by their SHA-256, and a manifest of what has been published.

`GET /manifest.json` is {model: {revision: {"sha256", "bytes"}}}, `GET /blobs/SHA256` the weights themselves. With the
token, `PUT /corruption` {"model", "corrupt"} lets the files of a model be damaged on disk, or as they were published.
Of the standard library only: it starts in a moment, and a lab has two.
"""

import hmac
import json
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer
from typing import Any

from tierdrill.lab.replica.language_model import REVISIONS, checksums, made_weights
from tierdrill.process.ready_line import announce_ready, program_arguments

PROGRAM = "store"
_JSON, _BYTES = "application/json", "application/octet-stream"
_BODY_BYTES_MAX = 4096


class Store:
    """The files of a store: one for each revision of each model, named after its SHA-256."""

    def __init__(self, folder: Path, models: list[Mapping[str, Any]]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._models = {str(one["name"]): (int(one["model_seed"]), int(one["model_size"])) for one in models}
        self.manifest: dict[str, dict[str, dict[str, Any]]] = {}
        for name, (seed, size) in self._models.items():
            sums = checksums(seed, size)
            bytes_each = len(made_weights(seed, size))
            self.manifest[name] = {one: {"sha256": sums[one], "bytes": bytes_each} for one in REVISIONS}
            self.set_corrupt(name, False)

    def blob(self, checksum: str) -> bytes | None:
        """What is on disk under that name, whatever its SHA-256 is by now; None where nothing is."""
        known = {one["sha256"] for revisions in self.manifest.values() for one in revisions.values()}
        return (self._folder / checksum).read_bytes() if checksum in known else None

    def set_corrupt(self, model: str, corrupt: bool) -> None:
        """Have one bit of each of a model's files flipped, or all as they were published; KeyError for no model."""
        seed, size = self._models[model]
        for revision, told in self.manifest[model].items():
            data = bytearray(made_weights(seed, size, revision))
            data[len(data) // 2] ^= corrupt
            (self._folder / told["sha256"]).write_bytes(data)


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10.0
    store: Store
    token: str

    def do_GET(self) -> None:
        if self.path == "/manifest.json":
            self._answer(200, json.dumps(self.store.manifest).encode())
        elif (data := self.store.blob(self.path.removeprefix("/blobs/"))) is not None:
            self._answer(200, data, _BYTES)
        else:
            self._say(404, f"got {self.path}, expected /manifest.json or /blobs/SHA256")

    def do_PUT(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        said = self.rfile.read(min(length, _BODY_BYTES_MAX))
        given = self.headers.get("authorization", "").encode()
        if not hmac.compare_digest(given, f"Bearer {self.token}".encode()):
            return self._say(401, "a valid token is needed")
        try:
            document = json.loads(said)
            self.store.set_corrupt(document["model"], bool(document["corrupt"]))
        except (ValueError, TypeError, KeyError) as error:
            return self._say(400, f"expected a published model, and corrupt: {type(error).__name__} {error}")
        self._answer(200, json.dumps({"ok": True, **document}).encode())

    def _say(self, status: int, reason: str) -> None:
        self._answer(status, json.dumps({"ok": False, "reason": reason}).encode())

    def _answer(self, status: int, body: bytes, content_type: str = _JSON) -> None:
        self.send_response_only(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: who asks for what is no news."""


class _Server(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64


def make_server(config: Mapping[str, Any]) -> ThreadingTCPServer:
    """Listening, with its files on disk; `serve_forever` answers."""
    host, _, port = str(config.get("listen") or "127.0.0.1:0").rpartition(":")
    shared = {"store": Store(Path(config["folder"]), config["models"]), "token": str(config["token"])}
    return _Server((host, int(port)), type("Request", (_Request,), shared))


def main() -> None:
    arguments = program_arguments(PROGRAM)
    server = make_server(arguments.config)
    address = "{}:{}".format(*server.server_address)
    announce_ready(arguments.ready_fd, PROGRAM, str(arguments.config.get("name", PROGRAM)), address)
    server.serve_forever()


if __name__ == "__main__":
    main()
