"""A real browser without a window, driven over its debugging port: Debian's chromium, where there is one."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import websocket

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
WITHIN_S = 60.0
FLAGS = ("--headless=new", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-dev-shm-usage")


class Chromium:
    """The browser. Each `page` is another person's, with cookies of its own."""

    def __init__(self) -> None:
        assert CHROMIUM is not None
        self._profile = tempfile.mkdtemp(prefix="chromium-")
        self._log = Path(self._profile, "log")
        with self._log.open("wb") as log:
            # Its sandbox needs rights that root in a container has not; it shows our own pages only.
            command = [
                CHROMIUM,
                *FLAGS,
                "--no-sandbox",
                f"--user-data-dir={self._profile}",
                "--remote-debugging-port=0",
            ]
            self._process = subprocess.Popen([*command, "about:blank"], stderr=log, stdout=subprocess.DEVNULL)
        self._number = 0
        self._pages: dict[str, Page] = {}
        self._socket = websocket.create_connection(self._address(), timeout=WITHIN_S, suppress_origin=True)

    def _address(self) -> str:
        deadline = time.monotonic() + WITHIN_S
        while (found := re.search(r"DevTools listening on (ws://\S+)", self._log.read_text(errors="replace"))) is None:
            assert self._process.poll() is None and time.monotonic() < deadline, self._log.read_text(errors="replace")
            time.sleep(0.05)
        return found[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._process.terminate()
        self._process.wait(WITHIN_S)
        shutil.rmtree(self._profile, ignore_errors=True)

    def page(self) -> Page:
        context = self.ask("Target.createBrowserContext")["browserContextId"]
        target = self.ask("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._pages[session] = page = Page(self, session)
        self.ask("Log.enable", session)
        return page

    def ask(self, method: str, session: str | None = None, /, **parameters: Any) -> Any:
        self._number += 1
        told = {"id": self._number, "method": method, "params": parameters}
        self._socket.send(json.dumps(told | ({"sessionId": session} if session else {})))
        while True:
            said = json.loads(self._socket.recv())
            if said.get("method") == "Log.entryAdded" and said["params"]["entry"]["source"] == "security":
                self._pages[said["sessionId"]].refused.append(said["params"]["entry"]["text"])
            if said.get("id") == self._number:
                assert "error" not in said, said
                return said["result"]


class Page:
    """One page. `until` awaits what it is to come to; `refused` is what its policy refused."""

    def __init__(self, browser: Chromium, session: str) -> None:
        self._browser, self._session = browser, session
        self.refused: list[str] = []

    def _ask(self, method: str, **parameters: Any) -> Any:
        return self._browser.ask(method, self._session, **parameters)

    def open(self, url: str) -> None:
        """Go to a page and await it."""
        self._leave(lambda: self._ask("Page.navigate", url=url))

    def _leave(self, leave: Callable[[], object]) -> None:
        self.js("window.left = true")
        leave()
        self.until("!window.left && document.readyState === 'complete'")

    def js(self, expression: str) -> Any:
        """The value of an expression in the page; None while the page is being left."""
        return self._ask("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def until(self, expression: str, within_s: float = WITHIN_S) -> None:
        """Await that an expression is true."""
        deadline = time.monotonic() + within_s
        while not self.js(expression):
            assert time.monotonic() < deadline, f"{expression}: {self.text}"
            time.sleep(0.1)

    @property
    def text(self) -> str:
        return str(self.js("document.body.innerText"))

    def sees(self, words: str, within_s: float = WITHIN_S) -> None:
        """Await that the page says so."""
        self.until(f"document.body?.innerText.includes({json.dumps(words)})", within_s)

    def fill(self, **fields: str) -> None:
        """Type into fields, each by its id, with - for _."""
        for name, value in fields.items():
            self.js(f"document.getElementById({json.dumps(name.replace('_', '-'))}).value = {json.dumps(value)}")

    def click(self, words: str, *, leaves: bool = True) -> None:
        """Press a button, a link or a summary by its words, with the mouse; await the page that it leads to. A browser
        passes no press on before it has painted the page.
        """
        mine = f"one.checkVisibility() && one.textContent.trim() === {json.dumps(words)}"
        found = f"[...document.querySelectorAll('button, a, summary')].find((one) => {mine})"
        painted = "performance.getEntriesByType('paint').length > 0"
        self.until(f"document.readyState === 'complete' && {painted} && {found} !== undefined")
        self.js(f"{found}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
        at = self.js(f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])({found}.getBoundingClientRect())")
        if leaves:
            self._leave(lambda: self._mouse(*at))
        else:
            self._mouse(*at)

    def _mouse(self, x: float, y: float) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            self._ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def sign_in(self, url: str, token: str) -> None:
        self.open(f"{url}/login")
        self.fill(token=token)
        self.click("Sign in")

    def press(self, key: str) -> None:
        """A key, down and up again."""
        code = {"Enter": 13, "Tab": 9}[key]
        for kind in ("keyDown", "keyUp"):
            text = {"text": "\r"} if (key, kind) == ("Enter", "keyDown") else {}
            self._ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def type(self, text: str) -> None:
        self._ask("Input.insertText", text=text)

    def show_as(self, width: int, height: int, *, dark: bool = False) -> None:
        """The size of the window, and what the person's system prefers."""
        self._ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        preferred = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", features=[preferred])

    def screenshot(self, path: Path) -> None:
        told = self._ask("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(told["data"]))
