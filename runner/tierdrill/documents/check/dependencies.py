"""An environment's dependencies: each asked in one way, of something that can be asked, and no circle among them."""

import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from tierdrill.documents.models.environment import Dependency
from tierdrill.documents.problems import shown
from tierdrill.documents.reading.reading_state import Place
from tierdrill.text import listed

WAYS = ("http", "tcp", "path")
_ENDPOINT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})\Z")
PORT_MAX = 65535


def check_dependencies(place: Place, dependencies: Sequence[Dependency]) -> None:
    place.unique([one.name for one in dependencies], "dependency", "name")
    names = {one.name for one in dependencies}
    for number, dependency in enumerate(dependencies):
        spot = place.at(number)
        _check_way(spot, dependency)
        if dependency.timeout <= 0:
            spot.at("timeout").report("a timeout of no time", "a time above 0")
        for step, need in enumerate(dependency.needs):
            spot.at("needs", step).known(need, "dependency", names)
    _check_circle(place, dependencies)


def check_url(place: Place, url: str) -> None:
    """Reports what is not the address of an HTTP server."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        place.report(f"got {shown(url)}", "expected a URL with http or https, such as http://127.0.0.1:9090")
    elif parts.username or parts.password:
        place.report("a URL with a user or password in it", "a URL without: documents are no place for secrets")


def split_endpoint(text: str) -> tuple[str, int] | None:
    """Host and port of `host:port` or `[address]:port`; None for anything else."""
    found = _ENDPOINT.match(text)
    if not found or not 0 < int(found[2]) <= PORT_MAX:
        return None
    return found[1].strip("[]"), int(found[2])


def _check_way(place: Place, dependency: Dependency) -> None:
    ways = [way for way in WAYS if getattr(dependency, way) is not None]
    if len(ways) != 1:
        found = f"{listed(ways)} together" if ways else "no way to ask"
        place.report(f"{found} for dependency {dependency.name}", f"exactly one of {listed(WAYS)}")
        return
    if dependency.http is not None:
        check_url(place.at("http"), dependency.http)
    if dependency.tcp is not None and split_endpoint(dependency.tcp) is None:
        place.at("tcp").report(
            f"got {shown(dependency.tcp)}", "expected host:port, such as 127.0.0.1:5432 or [::1]:5432"
        )
    if dependency.path is not None and not dependency.path.startswith("/"):
        place.at("path").report(f"got {shown(dependency.path)}", "expected a path that begins with /")


def _check_circle(place: Place, dependencies: Sequence[Dependency]) -> None:
    needs = {one.name: one.needs for one in dependencies}
    told: set[str] = set()
    for number, dependency in enumerate(dependencies):
        circle = _circle(dependency.name, needs)
        if circle and dependency.name not in told:
            told.update(circle)
            way = " needs ".join((*circle, circle[0]))
            step = dependency.needs.index(circle[1] if len(circle) > 1 else circle[0])
            place.at(number, "needs", step).report(f"a circle: {way}", "what is needed comes first: a tree, no circle")


def _circle(start: str, needs: Mapping[str, Sequence[str]]) -> list[str]:
    """The names on a way from `start` back to it; empty if there is none."""
    ways = [[start]]
    seen = set()
    while ways:
        way = ways.pop()
        for need in needs.get(way[-1], ()):
            if need == start:
                return way
            if need not in seen:
                seen.add(need)
                ways.append([*way, need])
    return []
