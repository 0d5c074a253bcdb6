"""Faults on one Linux host: applied, shown and undone. Orders and answers are lines of JSON (see orders.py).

    python3 FOLDER                     orders on standard input; ends, with nothing left, when that ends
    python3 FOLDER --serve FOLDER      orders on FOLDER/orders.sock, a journal beside it; ends at SIGTERM
    python3 FOLDER --connect FOLDER    standard input and output of such a one
"""

from __future__ import annotations

import sys
from pathlib import Path

SOCKET, JOURNAL = "orders.sock", "journal"


def serve(folder: Path) -> int:
    from orders import Agent

    folder.mkdir(parents=True, exist_ok=True)
    agent = Agent(folder / JOURNAL)
    agent.listen(folder / SOCKET)
    return agent.run()


def take_orders() -> int:
    from orders import Agent
    from sessions import Session

    agent = Agent(None)
    agent.add(Session(0, 1))
    return agent.run()


def connect(folder: Path) -> int:
    """Pass on what comes, either way, until one side ends."""
    import os
    import select
    import socket
    import time

    give_up = time.monotonic() + 5
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(str(folder / SOCKET))
            break
        except OSError as error:
            connection.close()
            if time.monotonic() >= give_up:
                sys.stderr.write(f"{folder / SOCKET}: {error.strerror}\n")
                return 1
            time.sleep(0.05)
    ways = {0: connection.fileno(), connection.fileno(): 1}
    while True:
        for source in select.select(list(ways), [], [])[0]:
            data = os.read(source, 1 << 16)
            if not data:
                return 0
            while data:
                data = data[os.write(ways[source], data) :]


def main(arguments: list[str]) -> int:
    if not arguments:
        return take_orders()
    if len(arguments) == 2 and arguments[0] in ("--serve", "--connect"):
        return (serve if arguments[0] == "--serve" else connect)(Path(arguments[1]))
    sys.stderr.write(__doc__ or "")
    return 2


sys.exit(main(sys.argv[1:]))
