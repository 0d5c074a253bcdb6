"""Signing in with a token, and out."""

from __future__ import annotations

import time

from starlette.responses import Response

from tierdrill.web.page_answers import Ask

WRONG = "That is no token of this home. `tierdrill web token` makes one; it is shown once."


async def sign_in_page(ask: Ask) -> Response:
    return await ask.html("sign-in.html", message=ask.visitor.why, next=_own(ask.request.query_params.get("next", "")))


async def sign_in(ask: Ask) -> Response:
    fields = await ask.form()
    token, there = ask.sessions.store.match(fields.get("token", "")), _own(fields.get("next", ""))
    if token is None:
        return await ask.html("sign-in.html", 401, message=WRONG, next=there)
    if token.expired(time.time()):
        message = f"The token of {token.person} has expired; `tierdrill web token` makes a new one."
        return await ask.html("sign-in.html", 401, message=message, next=there)
    response = ask.go(there or "/")
    ask.sessions.begin(response, token)
    return response


async def sign_out(ask: Ask) -> Response:
    await ask.form()
    response = ask.go("/login")
    ask.sessions.end(response)
    return response


def _own(path: str) -> str:
    """A path of this dashboard, to go on to; "" for any other address."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) else ""
