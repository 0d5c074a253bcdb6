"""Real servers on loopback that notifications are sent to: HTTP with answers to order, and a small SMTP server."""

from __future__ import annotations

import asyncio
import base64
import ssl
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tierdrill.monitoring.loopback import Loopback


@dataclass(frozen=True)
class Received:
    """A request as it came."""

    path: str
    headers: Mapping[str, str]
    body: bytes


class HttpServer:
    """Takes every POST; `answers` are (status, headers, body) for the next requests, 200 once they are used up."""

    def __init__(self, *answers: tuple[int, dict[str, str], str], port: int = 0) -> None:
        self.answers = list(answers)
        self.received: list[Received] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.came = asyncio.Event()
        self._server = Loopback(Starlette(routes=[Route("/{path:path}", self._take, methods=["POST"])]), port)

    @property
    def url(self) -> str:
        """Where it is."""
        return self._server.url

    async def __aenter__(self) -> HttpServer:
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.hold.set()
        await self._server.stop()

    async def _take(self, request: Request) -> Response:
        body = await request.body()
        self.received.append(Received(request.url.path, dict(request.headers), body))
        self.came.set()
        await self.hold.wait()
        status, headers, text = self.answers.pop(0) if self.answers else (200, {}, "ok")
        return Response(text, status, headers)


@dataclass
class Mail:
    """A mail as it came: the envelope, and the letter."""

    sender: str
    recipients: list[str]
    letter: EmailMessage


@dataclass
class SmtpServer:
    """Enough of RFC 5321 to take mail: STARTTLS, TLS from the start, AUTH PLAIN and LOGIN, and refusals to order.

    `refuse` maps a command's first word, or a recipient, to the reply that it gets instead of being obeyed.
    """

    tls: ssl.SSLContext | None = None
    tls_from_start: bool = False
    login: tuple[str, str] | None = None
    refuse: dict[str, str] = field(default_factory=dict)
    mails: list[Mail] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0
    _server: asyncio.Server | None = None

    async def __aenter__(self) -> SmtpServer:
        context = self.tls if self.tls_from_start else None
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = _Talk(self, reader, writer)
        try:
            await talk.go()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            writer.close()


@dataclass
class _Talk:
    """One connection."""

    server: SmtpServer
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    encrypted: bool = False
    known: bool = False
    sender: str = ""
    recipients: list[str] = field(default_factory=list)

    async def go(self) -> None:
        self.encrypted = self.server.tls_from_start
        await self._say("220 test ESMTP")
        while line := (await self.reader.readline()).decode().rstrip("\r\n"):
            self.server.said.append(line)
            word = line.split(" ")[0].upper()
            if reply := self.server.refuse.get(word):
                await self._say(reply)
            elif word == "QUIT":
                await self._say("221 bye")
                return
            else:
                await self._obey(word, line)

    async def _say(self, text: str) -> None:
        self.writer.write(text.encode() + b"\r\n")
        await self.writer.drain()

    async def _obey(self, word: str, line: str) -> None:
        if word == "EHLO":
            offers = ["test"] + (["STARTTLS"] if self.server.tls and not self.encrypted else [])
            offers += ["AUTH PLAIN LOGIN"] if self.server.login else []
            await self._say("\r\n".join(f"250-{offer}" for offer in offers) + "\r\n250 SIZE 1000000")
        elif word == "STARTTLS" and self.server.tls:
            await self._say("220 go ahead")
            await self.writer.start_tls(self.server.tls)
            self.encrypted = True
        elif word == "AUTH":
            await self._auth(line)
        elif word == "MAIL" and self.server.login and not self.known:
            await self._say("530 log in first")
        elif word == "MAIL":
            self.sender, self.recipients = line.partition("<")[2].partition(">")[0], []
            await self._say("250 ok")
        elif word == "RCPT":
            who = line.partition("<")[2].partition(">")[0]
            if who not in self.server.refuse:
                self.recipients.append(who)
            await self._say(self.server.refuse.get(who, "250 ok"))
        elif word == "DATA":
            await self._data()
        else:
            await self._say("250 ok")

    async def _auth(self, line: str) -> None:
        _, kind, *given = line.split(" ")
        if kind == "PLAIN":
            _, user, password = base64.b64decode(given[0]).decode().split("\0")
        else:
            await self._say("334 VXNlcm5hbWU6")
            user = base64.b64decode(await self.reader.readline()).decode()
            await self._say("334 UGFzc3dvcmQ6")
            password = base64.b64decode(await self.reader.readline()).decode()
        self.known = (user, password) == self.server.login
        # A careless server repeats what it was given; it must not end up in our log.
        await self._say("235 welcome" if self.known else f"535 no such login {password} {' '.join(given)}")

    async def _data(self) -> None:
        await self._say("354 go ahead")
        raw = await self.reader.readuntil(b"\r\n.\r\n")
        raw = raw[:-3].replace(b"\r\n..", b"\r\n.")
        letter = message_from_bytes(raw, policy=policy.default)
        assert isinstance(letter, EmailMessage)
        self.server.mails.append(Mail(self.sender, self.recipients, letter))
        self.server.came.set()
        await self._say("250 taken")


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost that signs itself, and its key."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


def server_tls(cert: Path, key: Path) -> ssl.SSLContext:
    """A server's side of TLS with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context
