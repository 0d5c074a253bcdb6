"""The dashboard as an ASGI application: its routes, who may use each, and what is said where something goes wrong."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import cache
from importlib.resources import files
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route

from tierdrill.text import Explained
from tierdrill.web import gameday_pages, training_pages
from tierdrill.web.access_tokens import Right, TokenStore
from tierdrill.web.dashboard_state import Dashboard, Options
from tierdrill.web.drills_page import drill_page, drills_page, run_drill
from tierdrill.web.impact_page import assess_proposed, impact_page
from tierdrill.web.now_page import now_live, now_page
from tierdrill.web.page_answers import NAVIGATION, Ask, templates
from tierdrill.web.policy_page import policy_page
from tierdrill.web.request_guard import ROOT, Refused, RequestGuard, Sessions, SignInFirst
from tierdrill.web.run_pages import run_live, run_page, runs_page, stop_run
from tierdrill.web.schedule_page import schedule_page
from tierdrill.web.sign_in_pages import sign_in, sign_in_page, sign_out
from tierdrill.web.switch_buttons import halt_home, resume_home

_log = logging.getLogger(__name__)
Handler = Callable[[Ask], Awaitable[Response]]
MEDIA_TYPES = {"css": "text/css", "js": "text/javascript"}

PAGES: Sequence[tuple[str, str, Right | None, Handler]] = (
    ("GET", "/login", None, sign_in_page),
    ("POST", "/login", None, sign_in),
    ("POST", "/logout", None, sign_out),
    ("GET", "/now", Right.SEE, now_page),
    ("GET", "/now/live", Right.SEE, now_live),
    ("GET", "/runs", Right.SEE, runs_page),
    ("GET", "/runs/{name}", Right.SEE, run_page),
    ("GET", "/runs/{name}/live", Right.SEE, run_live),
    ("POST", "/runs/{name}/stop", Right.OPERATE, stop_run),
    ("GET", "/drills", Right.SEE, drills_page),
    ("GET", "/drills/{name}", Right.SEE, drill_page),
    ("POST", "/drills/{name}/run", Right.OPERATE, run_drill),
    ("GET", "/schedule", Right.SEE, schedule_page),
    ("GET", "/policy", Right.SEE, policy_page),
    ("GET", "/policy/impact", Right.SEE, impact_page),
    ("POST", "/policy/impact", Right.SEE, assess_proposed),
    *gameday_pages.PAGES,
    *training_pages.PAGES,
    ("POST", "/halt", Right.OPERATE, halt_home),
    ("POST", "/resume", Right.OPERATE, resume_home),
)
"""Method, path, the right that it needs (None: anybody), and who answers."""


def application(options: Options) -> Starlette:
    """The application; its `state.dashboard` is what its pages share."""
    dashboard, sessions = Dashboard(options), Sessions(TokenStore(options.home), secure=options.secure)

    def asked(request: Request) -> Ask:
        return Ask(request, dashboard, sessions, sessions.visitor(request))

    def answering(right: Right | None, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            ask = asked(request)
            if right is not None:
                ask.visitor.need(right)
            response = await handler(ask)
            if request.method == "POST":
                dashboard.nudge()
            sessions.greet(request, response)
            return response

        return answer

    async def home(request: Request) -> Response:
        visitor = sessions.visitor(request)
        first = next((item.path for item in NAVIGATION if visitor.may(item.right)), "/login")
        return RedirectResponse(ROOT.get() + first, 303)

    async def trouble(request: Request, error: Exception) -> Response:
        status, message = _explained(error)
        if isinstance(error, SignInFirst) and request.method == "GET" and "html" in request.headers.get("accept", ""):
            return RedirectResponse(f"{ROOT.get()}/login?next={quote(request.url.path.removeprefix(ROOT.get()))}", 303)
        if status >= 500:
            known = isinstance(error, Refused | Explained | OSError)
            _log.error("%s %s: %s", request.method, request.url.path, message, exc_info=None if known else error)
        try:
            return await asked(request).html("trouble.html", status, message=message)
        except Exception as further:
            # The home that is in trouble may hold the tokens as well.
            return PlainTextResponse(f"{message}\n{_explained(further)[1]}\n", status)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await dashboard.close()

    routes = [
        Route(path, answering(right, handler), methods=[method], name=f"{method} {path}")
        for method, path, right, handler in PAGES
    ]
    app = Starlette(
        routes=[*routes, Route("/", home), Route("/static/{name}", _static)],
        middleware=[Middleware(RequestGuard, hosts=options.hosts)],
        exception_handlers=dict.fromkeys((Refused, Explained, OSError, HTTPException, Exception), trouble),
        lifespan=lifespan,
    )
    app.state.dashboard = dashboard
    app.state.dashboards = [dashboard]
    return app


def several(homes: Sequence[Options]) -> Starlette:
    """A dashboard of several homes, each with its own tokens at /home/NAME; `/` is the first of them."""
    apps = {one.name: application(one) for one in homes}
    first = f"/home/{homes[0].name}/"

    async def start(request: Request) -> Response:
        return RedirectResponse(first, 303)

    mounts = [Mount(f"/home/{name}", app) for name, app in apps.items()]
    app = Starlette(
        routes=[Route("/", start), *mounts], middleware=[Middleware(RequestGuard, hosts=homes[0].hosts)]
    )
    app.state.dashboards = [one.state.dashboard for one in apps.values()]
    return app


def _explained(error: Exception) -> tuple[int, str]:
    """HTTP's status, and what is said."""
    match error:
        case Refused():
            return error.status, error.message
        case HTTPException(status_code=404):
            return 404, "There is no such page."
        case HTTPException():
            return error.status_code, error.detail
        case Explained():
            return 503, str(error)
        case OSError():
            return 503, f"{error.filename or 'the home'}: {error.strerror}"
    return 500, f"Something went wrong here ({type(error).__name__}); the log of `tierdrill web` says more."


@cache
def _file(name: str) -> str:
    """A file that pages refer to: the script, or the style of reports and trends with the dashboard's own."""
    if name == "dashboard.css":
        return "\n".join(templates().get_template(each).render() for each in ("style.css", "trend.css", name))
    return (files("tierdrill.web") / "static" / name).read_text(encoding="utf-8")


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in ("dashboard.css", "dashboard.js"):
        raise HTTPException(404)
    return Response(_file(name), media_type=MEDIA_TYPES[name.rpartition(".")[2]], headers={"Cache-Control": "no-cache"})
