"""The dashboard in a real browser; skips where there is no chromium."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.web.chromium import CHROMIUM, Chromium, Page
from tests.web.standin import StandInPrometheus, catalogue_with, options, together, well
from tierdrill.history.kill_switch import halted
from tierdrill.monitoring.loopback import Loopback
from tierdrill.web.access_tokens import TokenStore
from tierdrill.web.dashboard_app import application
from tierdrill.web.dashboard_state import Options

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, which is not installed here"),
    pytest.mark.slow,
    pytest.mark.timeout(400),
]
WIDTHS = (360, 800, 1400)


class Serving:
    """A dashboard on a port, in a thread with a loop of its own, until `stop`; `start` it as often as wanted."""

    def __init__(self, made: Options, prometheus: StandInPrometheus) -> None:
        self._options, self._prometheus = made, prometheus
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.port = 0

    def __enter__(self) -> Serving:
        self._run(self._prometheus.server.start())
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._run(self._prometheus.server.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def start(self) -> str:
        """Its address, the same after a restart."""

        async def serve() -> str:
            self._app = application(self._options)
            self._server = Loopback(self._app, listen=("127.0.0.1", self.port))
            await self._server.start()
            return self._server.url

        url = self._run(serve())
        self.port = int(url.rpartition(":")[2])
        return url

    def stop(self) -> None:
        async def end() -> None:
            await self._app.state.dashboard.close()
            await self._server.stop()

        self._run(end())

    def _run(self, work: object) -> str:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)  # type: ignore[arg-type]


@contextmanager
def signed_in(folder: Path) -> Iterator[tuple[Page, Serving, StandInPrometheus, str]]:
    """An operator's browser on the page "now", its dashboard and its Prometheus."""
    prometheus = StandInPrometheus(together(*(well(name, 10.0) for name in ("critical", "standard", "best-effort"))))
    made = options(folder / "home", folder / "catalogue")
    _, token = TokenStore(made.home).make("ada", "operator", 3600)
    with Serving(made, prometheus) as serving, Chromium() as browser:
        catalogue_with(folder / "catalogue", prometheus.server.url)
        url = serving.start()
        page = browser.page()
        page.sign_in(url, token)
        page.until("document.title.startsWith('Now') && document.getElementById('link') !== null")
        yield page, serving, prometheus, url


def test_in_a_real_browser(tmp_path: Path) -> None:
    with signed_in(tmp_path) as (page, serving, prometheus, url):
        page.until("document.getElementById('link').textContent === 'live'")
        page.until("document.body.innerText.includes('10.0/s')")

        # What changes comes in by itself, also after the dashboard was started again.
        prometheus.answers = together(*(well(name, 23.0) for name in ("critical", "standard", "best-effort")))
        page.until("document.body.innerText.includes('23.0/s')")
        serving.stop()
        page.until("document.getElementById('link').textContent.startsWith('connection lost')")
        serving.start()
        prometheus.answers = together(*(well(name, 31.0) for name in ("critical", "standard", "best-effort")))
        page.until("document.getElementById('link').textContent === 'live'")
        page.until("document.body.innerText.includes('31.0/s')")

        # It fits every width, light and dark, and its policy refuses nothing of it.
        for path in ("/now", "/runs", "/drills", "/drills/node-loss", "/schedule", "/gamedays", "/policy"):
            page.open(f"{url}{path}")
            for width in WIDTHS:
                page.show_as(width, 900, dark=width == 360)
                wider = page.js("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                assert wider <= 0, f"{path} at {width} px is {wider} px too wide"
            assert page.js("document.querySelectorAll('main, nav, header, footer').length") >= 4
            assert page.js("document.querySelectorAll('main h1').length") == 1
        assert page.refused == []

        # The kill switch by keyboard alone.
        page.js("document.querySelector('#switch summary').focus()")
        page.press("Enter")
        page.until("document.getElementById('switch').open")
        page.js("document.getElementById('halt-reason').focus()")
        page.type("smoke")
        page.press("Enter")
        page.until("document.body.innerText.includes('Halted')")
        found = halted(tmp_path / "home")
        assert found is not None
        assert (found.author, found.reason) == ("ada", "smoke")
