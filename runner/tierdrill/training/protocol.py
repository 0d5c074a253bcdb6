"""How a terminal talks to an exercise: one JSON line there and one back, over a Unix socket of the exercise's folder.

Standard library only: this is the path of `tierdrill ops`, which has to answer at once.

    {"do": "acknowledge", "with": {"page": "P1"}, "token": null}
    {"ok": true, "code": 0, "text": "P1 is yours", "data": {...}}

`code` is the command's exit code: 0 done, 1 refused or failed, 2 not understood.
"""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tierdrill.text import Explained

SOCKET_FILE = "socket"
ANSWER_WITHIN_S = 30.0
LINE_BYTES_MAX = 8 * 1024 * 1024
REFUSED, BAD_INPUT = 1, 2

Answer = dict[str, Any]


class NoExercise(Explained):
    """No exercise goes on here, more than one does, or it did not answer; the message says what to do."""


def answer(text: str, data: Any = None, *, code: int = 0) -> Answer:
    return {"ok": code == 0, "code": code, "text": text, "data": data}


def exercises_folder(home: Path) -> Path:
    return home / "exercises"


@contextmanager
def short_path(folder: Path) -> Iterator[str]:
    """The socket's path by way of an open folder: a socket's own path may have 107 bytes only, a home may be deeper."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET_FILE}"
    finally:
        os.close(descriptor)


def connect(folder: Path) -> socket.socket | None:
    """A connection to the exercise of that folder; None where nobody listens (any more)."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with short_path(folder) as path:
            connection.connect(path)
    except OSError:
        connection.close()
        return None
    connection.settimeout(ANSWER_WITHIN_S)
    return connection


def exercise_links(home: Path) -> dict[str, socket.socket]:
    """A connection to each exercise of this home that answers, by its name."""
    try:
        names = sorted(entry.name for entry in os.scandir(exercises_folder(home)))
    except OSError:
        names = []
    return {each: link for each in names if (link := connect(exercises_folder(home) / each)) is not None}


def find_exercise(home: Path, name: str | None = None) -> tuple[str, socket.socket]:
    """The one exercise that goes on in this home, or the one named, and a connection to it; NoExercise otherwise."""
    found = exercise_links(home)
    wanted = name if name is not None else next(iter(found), None)
    if wanted not in found or (name is None and len(found) > 1):
        for link in found.values():
            link.close()
        if name is not None:
            raise NoExercise(f"no exercise {name!r} in progress, expected one of: {', '.join(found) or 'none'}")
        if not found:
            raise NoExercise(f"no exercise in progress in {home}; start one with `tierdrill train SCENARIO`")
        raise NoExercise(f"{len(found)} exercises in progress ({', '.join(found)}); name one with --exercise")
    for each, link in found.items():
        if each != wanted:
            link.close()
    return wanted, found[wanted]


def ask(home: Path, do: str, arguments: dict[str, Any], *, exercise: str | None = None, token: str = "") -> Answer:
    """One question to the exercise that goes on, and its answer; NoExercise where there is none."""
    name, connection = find_exercise(home, exercise)
    with closing(connection):
        return exchange(connection, name, do, arguments, token)


def exchange(connection: socket.socket, name: str, do: str, arguments: dict[str, Any], token: str = "") -> Answer:
    """One question over a connection that stays open; NoExercise where no whole answer comes."""
    line = json.dumps({"do": do, "with": arguments, "token": token}) + "\n"
    try:
        connection.sendall(line.encode())
        received = bytearray()
        while not received.endswith(b"\n"):
            piece = connection.recv(65536)
            if not piece or len(received) > LINE_BYTES_MAX:
                raise NoExercise(f"exercise {name} has ended")
            received += piece
        found: Answer = json.loads(received)
    except (OSError, ValueError) as error:
        raise NoExercise(f"exercise {name} is not responding: {error}") from error
    return found
