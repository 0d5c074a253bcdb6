"""One program in a container over one websocket: its input, its lines of output, and an end that both sides notice."""

from __future__ import annotations

import json
import select
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import websocket
from kubernetes.stream import ws_client

from tierdrill.targets.kubernetes.api_errors import ApiError, refused, unreachable

HANDSHAKE_S = 10.0
"""Also the longest that one write may take."""
PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
INPUT, OUTPUT, ERRORS, RESULT, END = 0, 1, 2, 3, 255


@dataclass(frozen=True)
class Ended:
    """How a program in a container ended, with everything that it wrote and nobody had read."""

    code: int | None
    output: str
    errors: str


class ExecStream:
    """A program that runs in a container as long as this stream is open; ApiError where it cannot be started.

    One thread may read while another writes. `write` and `read_line` raise ApiError where the connection is broken.
    """

    def __init__(self, where: str, settings: Any, url: str, headers: Mapping[str, str]) -> None:
        self._where = where
        self._unread = {OUTPUT: b"", ERRORS: b"", RESULT: b""}
        self._open = True
        self._socket = websocket.WebSocket(sslopt=_tls(settings), enable_multithread=True)
        login = next((value for name, value in headers.items() if name.lower() == "authorization"), None)
        options: dict[str, Any] = {"header": [f"authorization: {login}"] if login else []}
        if settings.proxy or settings.proxy_headers:
            options = ws_client.websocket_proxycare(options, settings, url, dict(headers))
        try:
            self._socket.connect(
                ws_client.get_websocket_url(url), timeout=HANDSHAKE_S, subprotocols=list(PROTOCOLS), **options
            )
        except websocket.WebSocketBadStatusException as error:
            body = error.resp_body or b""
            raise refused(where, int(error.status_code), body, str(error).partition(" -+-+- ")[0]) from error
        except (websocket.WebSocketException, OSError, ValueError) as error:
            raise unreachable(where, error) from error

    def write(self, data: bytes) -> None:
        """To the program's input."""
        try:
            self._socket.send(bytes([INPUT]) + data, websocket.ABNF.OPCODE_BINARY)
        except (websocket.WebSocketException, OSError) as error:
            raise self._broken(error) from error

    def end_input(self) -> None:
        """Let the program read the end of its input; from Kubernetes 1.29 on, else nothing happens."""
        if self._socket.subprotocol == PROTOCOLS[0]:
            try:
                self._socket.send(bytes([END, INPUT]), websocket.ABNF.OPCODE_BINARY)
            except (websocket.WebSocketException, OSError) as error:
                raise self._broken(error) from error

    def read_line(self, within_s: float) -> str | None:
        """The next line of its output, without its end; None when there will be no more. TimeoutError."""
        until = time.monotonic() + within_s
        while b"\n" not in self._unread[OUTPUT]:
            if not self._receive(until - time.monotonic()):
                rest, self._unread[OUTPUT] = self._unread[OUTPUT], b""
                return rest.decode("utf-8", "replace") if rest else None
        line, _, self._unread[OUTPUT] = self._unread[OUTPUT].partition(b"\n")
        return line.decode("utf-8", "replace")

    def finish(self, within_s: float) -> Ended:
        """Wait until it has ended; TimeoutError if it does not."""
        until = time.monotonic() + within_s
        while self._receive(until - time.monotonic()):
            pass
        output, errors = (self._unread[one].decode("utf-8", "replace") for one in (OUTPUT, ERRORS))
        return Ended(_exit_code(self._unread[RESULT]), output, errors)

    def close(self) -> None:
        """Break the connection: the program reads the end of its input. Safe to call twice, and by any thread."""
        self._open = False
        try:
            self._socket.close(timeout=0)
        except (websocket.WebSocketException, OSError):
            pass

    def _receive(self, within_s: float) -> bool:
        """Take in the next frame; False when the program has ended, TimeoutError when none comes in time."""
        try:
            raw = self._socket.sock
            if not self._open or raw is None:
                return False
            if not (isinstance(raw, ssl.SSLSocket) and raw.pending()):
                poll = select.poll()
                poll.register(raw, select.POLLIN)
                if not poll.poll(max(0.0, within_s) * 1000):
                    raise TimeoutError(f"{self._where}: a program in a container said nothing in time")
            kind, frame = self._socket.recv_data_frame(True)
        except (websocket.WebSocketException, OSError) as error:
            if isinstance(error, TimeoutError) or not self._open:
                raise
            raise self._broken(error) from error
        if kind == websocket.ABNF.OPCODE_CLOSE:
            self._open = False
            return False
        if kind in (websocket.ABNF.OPCODE_BINARY, websocket.ABNF.OPCODE_TEXT) and frame.data:
            channel = frame.data[0]
            if channel in self._unread:
                self._unread[channel] += frame.data[1:]
        return True

    def _broken(self, error: BaseException) -> ApiError:
        self._open = False
        return ApiError(f"{self._where}: the connection to a program in a container broke: {error}")


def _tls(settings: Any) -> dict[str, Any]:
    """The client's TLS settings as websockets take them."""
    found: dict[str, Any] = {"cert_reqs": ssl.CERT_REQUIRED if settings.verify_ssl else ssl.CERT_NONE}
    if not settings.verify_ssl:
        found["check_hostname"] = False
    named = {
        "ca_certs": settings.ssl_ca_cert,
        "certfile": settings.cert_file,
        "keyfile": settings.key_file,
        "server_hostname": settings.tls_server_name,
    }
    return found | {name: value for name, value in named.items() if value}


def _exit_code(told: bytes) -> int | None:
    """0, or the code that the Status object at the end tells; None where it tells none."""
    try:
        status = json.loads(told)
        if status.get("status") == "Success":
            return 0
        return int(next(one["message"] for one in status["details"]["causes"] if one.get("reason") == "ExitCode"))
    except (ValueError, KeyError, StopIteration, TypeError, AttributeError):
        return None
