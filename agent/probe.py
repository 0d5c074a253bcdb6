"""What a caller sees of addresses, from any network: whether they take connections and answer, and how soon."""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import time
from typing import Any, Callable

from fault import Refused
from namespaces import in_child
from processes import Process

PROBES_MAX = 64
PAD_MAX = 32_000
WITHIN_S = (0.05, 10.0)
ERRORS = {ConnectionRefusedError: "refused", ConnectionResetError: "reset", TimeoutError: "no answer"}


def checked(order: dict[str, Any]) -> list[dict[str, Any]]:
    """The probes of an order: `to` (host:port), and for HTTP a `path`, maybe a `host`, and `pad` bytes more to send."""
    wanted = order.get("probes")
    if not isinstance(wanted, list) or not 0 < len(wanted) <= PROBES_MAX:
        raise Refused(f"probes: expected a list of 1 to {PROBES_MAX}")
    for one in wanted:
        text = one.get("to") if isinstance(one, dict) else None
        host, _, port = str(text).rpartition(":")
        try:
            ipaddress.ip_address(host.strip("[]"))
            good = 0 < int(port) < 65536
        except ValueError:
            good = False
        if not good:
            raise Refused(f"probes: to: got {text!r}, expected an IP address and a port")
        words = [str(one[name]) for name in ("path", "host") if name in one]
        if any(not word.isprintable() or " " in word for word in words):
            raise Refused("probes: path and host: expected words without spaces")
        pad = one.get("pad", 0)
        if isinstance(pad, bool) or not isinstance(pad, int) or not 0 <= pad <= PAD_MAX:
            raise Refused(f"probes: pad: got {pad!r}, expected a whole number up to {PAD_MAX}")
    within = order.get("within_s", 1.0)
    if not isinstance(within, (int, float)) or not WITHIN_S[0] <= within <= WITHIN_S[1]:
        raise Refused(f"within_s: got {within!r}, expected a number from {WITHIN_S[0]} to {WITHIN_S[1]:g}")
    return wanted


def probe(one: dict[str, Any], within_s: float) -> dict[str, Any]:
    """One connection, and an HTTP request where there is a path: `connect_ms`, `answer_ms`, `status`, or `error`."""
    host, _, port = str(one["to"]).rpartition(":")
    result: dict[str, Any] = {"to": one["to"]}
    began = time.monotonic()
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=within_s) as connection:
            result["connect_ms"] = _since(began)
            if "path" in one:
                connection.settimeout(max(0.001, within_s - (time.monotonic() - began)))
                named = one.get("host", one["to"])
                pad = f"X-Padding: {'.' * one['pad']}\r\n" if one.get("pad") else ""
                text = f"GET {one['path']} HTTP/1.1\r\nHost: {named}\r\n{pad}Connection: close\r\n\r\n"
                connection.sendall(text.encode())
                head = connection.recv(4096).split(b"\r\n", 1)[0].split()
                result["status"] = int(head[1]) if len(head) > 1 and head[1].isdigit() else None
                if result["status"] is None:
                    result["error"] = "closed without an answer" if not head else "not HTTP"
                result["answer_ms"] = _since(began)
    except OSError as error:
        timeout = isinstance(error, socket.timeout)
        result["error"] = "no answer" if timeout else ERRORS.get(type(error), error.strerror or str(error))
    return result


def _since(began: float) -> float:
    return round((time.monotonic() - began) * 1000, 3)


def begin(order: dict[str, Any], enter: Callable[[], None] | None, output: int) -> Process:
    """A child that probes all of an order at one time, from where `enter` takes it, and writes one line of JSON."""
    wanted, within_s = checked(order), float(order.get("within_s", 1.0))

    def work() -> None:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(len(wanted)) as pool:
            results = list(pool.map(lambda one: probe(one, within_s), wanted))
        text = json.dumps(results).encode() + b"\n"
        while text:
            text = text[os.write(output, text) :]

    return in_child(work, before=enter, output=output)
