"""What the dashboard costs: the page "now" with five tiers (50 ms, 100 kB), and 50 viewers (10% of a core).

    python tests/bench/bench_web.py [seconds, default 20] [viewers, default 50]

A Prometheus stand-in answers at once with figures that change all the time. The page is rendered in this process; the
viewers hold the live parts of a server in a process of its own. CPU time counts in both: what else the machine does is
no matter. Exit code 1 over a limit.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import yaml
from bench_arguments import arguments
from tests.cli.support import COMMAND, environment
from tests.web.standin import Browser, StandInPrometheus, catalogue_with, options, together, well

from tierdrill.web.access_tokens import TokenStore

RENDER_S, PAGE_BYTES, CPU_SHARE = 0.05, 100_000, 0.10
ROUNDS = 50
MORE = ("batch", "trial")


def five_tiers(folder: Path, prometheus: str) -> Path:
    """The shipped documents with two tiers more below the others."""
    catalogue = catalogue_with(folder, prometheus)
    path = catalogue / "drills" / "platform" / "tiers.yaml"
    document = yaml.safe_load(path.read_text())
    lowest = document["tiers"][-1]
    document["tiers"] += [{**lowest, "name": name, "rank": 4 + number} for number, name in enumerate(MORE)]
    for tier in document["tiers"]:
        tier["shed_order"] = len(document["tiers"]) + 1 - tier["rank"]
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return catalogue


async def changing(prometheus: StandInPrometheus, names: list[str]) -> None:
    """Other figures at every look."""
    for number in range(10**9):
        prometheus.answers = together(*(well(name, 10 + number % 7, 0.05 + number % 5 / 100) for name in names))
        await asyncio.sleep(0.5)


def render(folder: Path) -> bool:
    """The time of a whole page from figures that are there, and its size."""
    prometheus = StandInPrometheus({})
    with Browser(options(folder / "home", folder / "catalogue")) as browser:
        browser.run(prometheus.server.start())
        five_tiers(folder / "catalogue", prometheus.server.url)
        browser.sign_in("operator")
        now = browser.run(browser.app.state.dashboard.now())
        names = [tier.name for tier in now.places[0][0].tiers.tiers]
        prometheus.answers = together(*(well(name) for name in names))
        browser.get("/now")
        dashboard = browser.app.state.dashboard
        # What was asked of Prometheus stays fresh: the page is measured, not the stand-in.
        dashboard._now = replace(browser.run(dashboard.now()), at=time.time() + 3600)
        times = []
        for _ in range(ROUNDS):
            began = time.process_time()
            page = browser.get("/now").text
            times.append(time.process_time() - began)
        browser.run(prometheus.server.stop())
    middle, size = statistics.median(times), len(page.encode())
    print(
        f"now with {len(names)} tiers: {middle * 1000:.1f} ms of CPU (most {max(times) * 1000:.1f}) of "
        f"{RENDER_S * 1000:g}, {size / 1000:.1f} kB of {PAGE_BYTES / 1000:g}"
    )
    return len(names) == 5 and middle <= RENDER_S and size <= PAGE_BYTES


async def watched(folder: Path, seconds: float, viewers: int) -> bool:
    """The share of a core that a server with so many viewers takes."""
    prometheus = StandInPrometheus({})
    await prometheus.server.start()
    catalogue = five_tiers(folder / "catalogue", prometheus.server.url)
    home = folder / "home"
    home.mkdir()
    _, token = TokenStore(home).make("ada", "viewer", 3600)
    command = [*COMMAND, "--home", str(home), "--catalogue", str(catalogue), "web", "--port", "0"]
    server = await asyncio.to_thread(
        lambda: subprocess.Popen(command, env=environment(home), stdout=subprocess.PIPE, text=True)
    )
    assert server.stdout is not None
    told = await asyncio.to_thread(server.stdout.readline)
    url = told.split(" at ")[1].split(";")[0].rstrip("/")
    change = asyncio.create_task(changing(prometheus, ["critical", "standard", "best-effort", *MORE]))
    received = 0
    try:
        async with httpx.AsyncClient(base_url=url, timeout=60.0, limits=httpx.Limits(max_connections=None)) as client:
            form = (await client.get("/login")).text.split('name="csrf" value="', 1)[1].split('"', 1)[0]
            signed = await client.post("/login", data={"csrf": form, "token": token})
            assert signed.status_code == 303

            async def view() -> None:
                nonlocal received
                async with client.stream("GET", "/now/live") as answer:
                    assert answer.status_code == 200
                    async for piece in answer.aiter_bytes():
                        received += len(piece)

            views = [asyncio.create_task(view()) for _ in range(viewers)]
            await asyncio.sleep(3.0)
            process = psutil.Process(server.pid)
            before, began, bytes_before = process.cpu_times(), time.monotonic(), received
            await asyncio.sleep(seconds)
            after, lasted = process.cpu_times(), time.monotonic() - began
            memory = process.memory_info().rss / 2**20
            for one in views:
                one.cancel()
            await asyncio.gather(*views, return_exceptions=True)
    finally:
        change.cancel()
        server.terminate()
        server.wait(20)
        await prometheus.server.stop()
    share = (after.user + after.system - before.user - before.system) / lasted
    rate = (received - bytes_before) / lasted / 1000
    print(f"{viewers} viewers: {share:.1%} of a core of {CPU_SHARE:.0%}, {rate:.0f} kB/s sent in all, {memory:.0f} MiB")
    return share <= CPU_SHARE and rate > 0


def main() -> int:
    """Both, each in a home of its own."""
    asked = arguments(__doc__, seconds=20.0, viewers=50)
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        good = [render(Path(first)), asyncio.run(watched(Path(second), asked.seconds, asked.viewers))]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
