"""`tierdrill web`: the dashboard, and the tokens that people sign in to it with."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tierdrill.cli.errors import Refusal, say
from tierdrill.cli.folders import Surroundings, author
from tierdrill.cli.logs import log_lines
from tierdrill.cli.options import Duration, echo_json, json_option
from tierdrill.text import table, utc
from tierdrill.web.access_tokens import ROLES, TokenStore

if TYPE_CHECKING:
    from tierdrill.web.dashboard_state import Options

PORT = 8714
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@click.group("web", invoke_without_command=True)
@click.option("--listen", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="Port; 0 picks one.")
@click.option(
    "--tls-cert", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="PEM certificate: serve HTTPS.",
)
@click.option("--tls-key", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="PEM key to --tls-cert.")
@click.option(
    "--allow-host", "hosts", multiple=True, metavar="NAME", help="A further name it is reached by; repeatable."
)
@click.option(
    "--home", "homes", multiple=True, metavar="[NAME=]FOLDER",
    help="Serve this home instead of the global --home; repeatable: several homes have pages of their own each.",
)
@click.option("--proxied", is_flag=True, help="A reverse proxy in front speaks HTTPS to browsers.")
@click.pass_context
def command(
    ctx: click.Context,
    listen: str,
    port: int,
    tls_cert: Path | None,
    tls_key: Path | None,
    hosts: tuple[str, ...],
    homes: tuple[str, ...],
    proxied: bool,
) -> None:
    """Serve the resilience dashboard until stopped.

    On this machine alone unless --listen says otherwise. People sign in with a token; `tierdrill web token` makes one.
    """
    if ctx.invoked_subcommand is not None:
        return
    from tierdrill.monitoring.loopback import is_elsewhere

    if (tls_cert is None) != (tls_key is None):
        raise click.UsageError("--tls-cert and --tls-key go together")
    if is_elsewhere(listen) and tls_cert is None:
        raise Refusal(
            f"--listen {listen}: tokens and sessions would be sent in the clear; give --tls-cert and --tls-key, or "
            "listen on 127.0.0.1 behind a reverse proxy that speaks HTTPS (--proxied --allow-host NAME)"
        )
    here: Surroundings = ctx.obj
    log_lines()
    names = frozenset(hosts) | ({listen} if is_elsewhere(listen) and listen not in ("0.0.0.0", "::") else set())  # noqa: S104
    named = _named(here, homes)
    options = _options(here, named, names, secure=tls_cert is not None or proxied)
    from tierdrill.web.web_server import serve

    tls = (tls_cert, tls_key) if tls_cert is not None and tls_key is not None else None
    try:
        asyncio.run(serve(options, listen, port, tls, lambda url: _tell(named, url)))
    except OSError as error:
        raise Refusal(f"cannot listen on {listen} port {port}: {error.strerror or error}") from error


def _named(here: Surroundings, homes: tuple[str, ...]) -> dict[str, Path]:
    """The homes to serve by their names in addresses."""
    if not homes:
        return {"": here.home}
    named: dict[str, Path] = {}
    for each in homes:
        name, equals, folder = each.rpartition("=")
        path = Path(folder).expanduser().absolute()
        name = name if equals else path.name
        if not _NAME.fullmatch(name) or name in named:
            seen = "twice" if name in named else repr(name)
            raise click.UsageError(
                f"--home {each}: got the name {seen}, expected one of letters, digits, . - _ for each (NAME=FOLDER)"
            )
        if not path.is_dir():
            raise click.UsageError(f"--home {each}: there is no folder {path}")
        named[name] = path
    return named


def _tell(homes: dict[str, Path], url: str) -> None:
    now = time.time()
    for name, home in homes.items():
        at = f"{url}home/{name}/" if len(homes) > 1 else url
        click.echo(f"dashboard of {home} at {at}; Ctrl-C ends it")
        if all(token.expired(now) for token in TokenStore(home).tokens()):
            say(f"{home}: nobody can sign in yet: `tierdrill web token --name NAME --role admin` makes a token")


def _options(
    here: Surroundings, homes: dict[str, Path], hosts: frozenset[str], *, secure: bool
) -> list[Options]:
    from tierdrill.cli.commands.ops import tools
    from tierdrill.cli.drill_documents import read
    from tierdrill.process.programs import Program, program
    from tierdrill.web.dashboard_state import Options

    names = tuple(homes) if len(homes) > 1 else ()
    return [
        Options(
            home,
            here.catalogue,
            read,
            tuple(program(Program.TIERDRILL, "--home", home, "--catalogue", here.catalogue, "--no-color")),
            tools,
            hosts,
            secure,
            name,
            names,
        )
        for name, home in homes.items()
    ]


@command.group("token", invoke_without_command=True)
@click.option("--name", help="The person; what they do is recorded under this name.")
@click.option("--role", type=click.Choice(tuple(ROLES)), default="viewer", show_default=True, help="What they may do.")
@click.option("--for", "lasts", type=Duration(), default="30d", show_default=True, metavar="DURATION",
              help="How long it is valid.")  # fmt: skip
@json_option
@click.pass_context
def token(ctx: click.Context, name: str | None, role: str, lasts: float, as_json: bool) -> None:
    """Make a token to sign in with, or list and revoke them.

    A token is shown once.
    """
    if ctx.invoked_subcommand is not None:
        return
    from tierdrill.history.audit_log import AuditEntry, append

    person = " ".join((name or "").split())
    if not person:
        raise click.UsageError("--name: expected the person's name")
    made, text = TokenStore(ctx.obj.home).make(person, role, lasts)
    after = {"role": role, "expires": utc(made.expires_at)}
    append(ctx.obj.home, AuditEntry(author(), "access.granted", f"token {made.id} of {person}", after=after))
    if as_json:
        echo_json({"id": made.id, "name": person, "role": role, "expires": made.expires_at, "token": text})
        return
    click.echo(text)
    say(f"token {made.id} of {person} ({role}), valid until {utc(made.expires_at)}; it is not shown again")


@token.command("list")
@json_option
@click.pass_obj
def list_tokens(here: Surroundings, as_json: bool) -> None:
    """List tokens: whose, which role, until when."""
    known, now = TokenStore(here.home).tokens(), time.time()
    if as_json:
        rows: list[dict[str, Any]] = [
            {"id": one.id, "name": one.person, "role": one.role, "created": one.created_at, "expires": one.expires_at}
            for one in known
        ]
        echo_json({"tokens": rows})
        return
    lines = [
        (one.id, one.person, one.role, f"{'expired' if one.expired(now) else 'valid until'} {utc(one.expires_at)}")
        for one in known
    ]
    click.echo(table(lines, ("id", "name", "role", "")) or "no tokens")


@token.command("revoke")
@click.argument("id")
@click.pass_obj
def revoke(here: Surroundings, id: str) -> None:
    """Revoke the token of that ID; its sessions end at once."""
    from tierdrill.history.audit_log import AuditEntry, append

    if not TokenStore(here.home).revoke(id):
        raise Refusal(f"no token {id!r}; `tierdrill web token list` shows them")
    append(here.home, AuditEntry(author(), "access.revoked", f"token {id}"))
    click.echo(f"revoked token {id}")
