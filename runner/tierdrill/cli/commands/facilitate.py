"""`tierdrill facilitate`: the facilitator's terminal of the exercise that goes on."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tierdrill.cli.errors import Refusal, say
from tierdrill.cli.folders import Surroundings
from tierdrill.documents.bounded_files import read_file
from tierdrill.training.facilitator.facilitator_console import HELP, show, understood
from tierdrill.training.protocol import ask

Ask = Callable[[str, dict[str, Any]], dict[str, Any]]


@click.command("facilitate")
@click.argument("words", nargs=-1, metavar="[COMMAND...]")
@click.option("--exercise", metavar="NAME", help="Name of the exercise, if several are in progress.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Read your token from this file, or write it there (mode 0600).",
)
@click.option("--json", "as_json", is_flag=True, help="Print one snapshot of everything as JSON.")
@click.pass_obj
def command(
    here: Surroundings, words: tuple[str, ...], exercise: str | None, token_file: Path | None, as_json: bool
) -> int:
    """Watch the exercise in progress and control it: injects, hints, messages, pause, end.

    The first to join becomes the facilitator, and the trainee is told; the token shown then lets you join again. With a
    COMMAND, run it and exit; without, read commands from this terminal (`help` lists them).
    """
    token = _token(here, exercise, token_file, asks=not words and not as_json)

    def put(do: str, said: dict[str, Any]) -> dict[str, Any]:
        return ask(here.home, f"facilitator/{do}", said, exercise=exercise, token=token)

    if as_json:
        return _snapshot(put)
    return _one(put, " ".join(words)) if words else _terminal(put)


TOKEN_MAX = 4096


def _token(here: Surroundings, exercise: str | None, file: Path | None, *, asks: bool) -> str:
    """The token of the seat: from the file, by taking the seat, or typed in. Never an argument: those can be read."""
    if file is not None and file.exists():
        try:
            return read_file(file, TOKEN_MAX)[:TOKEN_MAX].decode("utf-8").strip()
        except UnicodeDecodeError as error:
            raise Refusal(f"{file}: not a facilitator's token, expected a file that --token-file wrote") from error
    joined = ask(here.home, "facilitator/join", {}, exercise=exercise)
    if joined["ok"]:
        token = str(joined["data"]["token"])
        if file is not None:
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as written:
                written.write(token + "\n")
        elif asks:
            click.echo(joined["text"])
        else:
            say(joined["text"])
        return token
    if not sys.stdin.isatty():
        return sys.stdin.readline().strip()
    return str(click.prompt("token", hide_input=True, err=True))


def _snapshot(put: Ask) -> int:
    found = put("truth", {})
    click.echo(json.dumps(found["data"] if found["ok"] else found, sort_keys=True, ensure_ascii=False))
    return int(found["code"])


def _one(put: Ask, line: str) -> int:
    do, said = understood(line)
    found = put(do, said)
    text = show(found["data"]) if do == "truth" and found["ok"] else found["text"]
    click.echo(text, err=not found["ok"])
    return int(found["code"])


def _terminal(put: Ask) -> int:
    line, read = "", _reader()
    while True:
        if line == "quit":
            return 0
        if line == "help":
            click.echo(HELP)
        elif line == "json":
            _snapshot(put)
        else:
            try:
                if _one(put, line) and not line:
                    return 1
            except Refusal as error:
                click.echo(error.message, err=True)
        try:
            line = read("facilitator> ").strip()
        except EOFError:
            return 0


def _reader() -> Callable[[str], str]:
    """Lines with editing and a history on a terminal, plain ones elsewhere."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return input
    from prompt_toolkit import PromptSession

    return PromptSession[str]().prompt
