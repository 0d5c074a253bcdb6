"""A small JSON client for the node agent: one kept connection, one request at a time, a deadline for everything.

The agent beats four times a second and probes each replica as often; a full HTTP client would be its largest part.
The protocol itself is h11's, which uvicorn brings along.
"""

import asyncio
import contextlib
import json
from collections.abc import Mapping
from typing import Any

import h11

_READ_BYTES = 65536
_BODY_BYTES_MAX = 8 * 1024 * 1024


class HttpError(OSError):
    """The other side did not answer in HTTP and JSON."""


class JsonClient:
    def __init__(self, address: str, token: str | None = None, headers: Mapping[str, str] = {}) -> None:
        self.address = address.removeprefix("http://").rstrip("/")
        host, _, port = self.address.rpartition(":")
        self._host, self._port = host, int(port)
        self._headers = [("Host", self.address), *headers.items()]
        if token is not None:
            self._headers.append(("Authorization", f"Bearer {token}"))
        self._stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._protocol = h11.Connection(our_role=h11.CLIENT)

    async def request(
        self, method: str, path: str, document: Mapping[str, Any] | None = None, *, timeout_s: float
    ) -> tuple[int, Any]:
        """Status and parsed body. OSError (TimeoutError too) when there is no proper answer in time."""
        status, answer = await self.fetch(method, path, document, timeout_s=timeout_s)
        with contextlib.suppress(ValueError):
            return status, json.loads(answer)
        self.close()
        raise HttpError(f"{self.address}{path}: status {status}, body is not JSON")

    async def fetch(
        self, method: str, path: str, document: Mapping[str, Any] | None = None, *, timeout_s: float
    ) -> tuple[int, bytes]:
        """Status and body, whatever it is; OSError as above."""
        try:
            async with asyncio.timeout(timeout_s):
                reused = self._stream is not None
                try:
                    return await self._exchange(method, path, document)
                except (ConnectionError, h11.RemoteProtocolError):
                    self.close()
                    if not reused:
                        raise
                    # A kept connection may have been closed by the other side at any time: that says nothing yet.
                    return await self._exchange(method, path, document)
        except h11.RemoteProtocolError as error:
            self.close()
            raise HttpError(f"{self.address}: {error}") from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._stream is not None:
            self._stream[1].transport.abort()
            self._stream = None

    async def _exchange(self, method: str, path: str, document: Mapping[str, Any] | None) -> tuple[int, bytes]:
        if self._stream is None:
            self._stream = await asyncio.open_connection(self._host, self._port)
            self._protocol = h11.Connection(our_role=h11.CLIENT)
        reader, writer = self._stream
        body = b"" if document is None else json.dumps(document, separators=(",", ":")).encode()
        headers = [*self._headers, ("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        data = self._protocol.send(h11.Request(method=method, target=path, headers=headers)) or b""
        data += self._protocol.send(h11.Data(data=body)) or b""
        data += self._protocol.send(h11.EndOfMessage()) or b""
        writer.write(data)
        status, answer = await self._response(reader)
        if self._protocol.our_state is h11.DONE and self._protocol.their_state is h11.DONE:
            self._protocol.start_next_cycle()
        else:
            self.close()
        return status, answer

    async def _response(self, reader: asyncio.StreamReader) -> tuple[int, bytes]:
        status, answer = 0, bytearray()
        while True:
            event = self._protocol.next_event()
            if event is h11.NEED_DATA:
                self._protocol.receive_data(await reader.read(_READ_BYTES))
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                answer += event.data
                if len(answer) > _BODY_BYTES_MAX:
                    raise HttpError(f"{self.address}: answer exceeds {_BODY_BYTES_MAX} bytes")
            elif isinstance(event, h11.EndOfMessage):
                return status, bytes(answer)
            elif isinstance(event, h11.ConnectionClosed):
                raise ConnectionResetError(f"{self.address} closed the connection")
