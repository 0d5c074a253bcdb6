"""The exercise's end of the wire: a private socket, one task per terminal, every question handed to one function."""

import asyncio
import contextlib
import json
import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tierdrill.text import read_json
from tierdrill.training.protocol import BAD_INPUT, LINE_BYTES_MAX, SOCKET_FILE, Answer, answer, short_path

Handler = Callable[[str, dict[str, Any], str], Awaitable[Answer]]
"""async (do, with, token): the answer. It never raises for what a person may type."""

REQUEST_BYTES_MAX = 64 * 1024
_log = logging.getLogger("tierdrill.training")


class Desk:
    """Where terminals connect, from `start` to `stop`."""

    def __init__(self, folder: Path, handler: Handler) -> None:
        self._folder = folder
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        with short_path(self._folder) as path:
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                before = os.umask(0o177)
                try:
                    listener.bind(path)
                finally:
                    os.umask(before)
            except OSError:
                listener.close()
                raise
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=LINE_BYTES_MAX)

    async def stop(self) -> None:
        """Listen no more; those who still talk are cut off."""
        if self._server is None:
            return
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(OSError):
            (self._folder / SOCKET_FILE).unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            if _uid_of(writer) == os.getuid():
                await self._talk(reader, writer)
        except (ConnectionError, asyncio.CancelledError, ValueError):
            pass
        finally:
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            said = await self._answered(line)
            writer.write((json.dumps(said, default=str) + "\n").encode())
            await writer.drain()

    async def _answered(self, line: bytes) -> Answer:
        try:
            if len(line) > REQUEST_BYTES_MAX:
                raise ValueError(f"{len(line)} bytes")
            asked = read_json(line)
            do, arguments, token = str(asked["do"]), dict(asked.get("with") or {}), str(asked.get("token") or "")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return answer(f"not a question: {error}", code=BAD_INPUT)
        try:
            return await self._handler(do, arguments, token)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            # One question that breaks must not end the exercise for everybody.
            _log.exception("question %s", do)
            return answer(f"{do} broke: {type(error).__name__}", code=BAD_INPUT)


def _uid_of(writer: asyncio.StreamWriter) -> int:
    peer = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", peer)[1])
