"""Read what the generator writes while it writes: samples and self-reports, each line once, from every process."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

from tierdrill.load.sample_writer import Sample

POLL_S = 0.1
_READ_BYTES_MAX = 4 << 20

T = TypeVar("T")


class LineTail(Generic[T]):
    """All complete lines of the files under a stem (`<stem>.*.jsonl`), decoded; a partial last line waits for its rest.

    `malformed` counts lines that could not be decoded: whoever judges must know that something is missing.
    """

    def __init__(self, stem: str, decode: Callable[[bytes], T]) -> None:
        path = Path(stem)
        self._directory, self._pattern = path.parent, f"{path.name}.*.jsonl"
        self._decode = decode
        self._places: dict[Path, int] = {}
        self.malformed = 0

    def poll(self) -> list[T]:
        found: list[T] = []
        for path in sorted(self._directory.glob(self._pattern)):
            for line in self._lines(path):
                try:
                    found.append(self._decode(line))
                except (ValueError, TypeError):
                    self.malformed += 1
        return found

    def _lines(self, path: Path) -> list[bytes]:
        lines: list[bytes] = []
        try:
            with path.open("rb") as file:
                file.seek(self._places.get(path, 0))
                # A reader that fell behind catches up in pieces of bounded size.
                while block := file.read(_READ_BYTES_MAX):
                    end = block.rfind(b"\n") + 1
                    if not end:
                        break
                    lines.extend(block[:end].splitlines())
                    self._places[path] = self._places.get(path, 0) + end
                    file.seek(self._places[path])
        except FileNotFoundError:
            pass
        return lines

    async def follow(self, ended: asyncio.Event) -> AsyncIterator[list[T]]:
        """What is added, in batches, until `ended`; whatever was written before `ended` is still delivered."""
        last = False
        while True:
            if batch := self.poll():
                yield batch
            if last:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), POLL_S)
            last = ended.is_set()


class SampleTail(LineTail[Sample]):
    """The samples under a plan's `sample_path`."""

    def __init__(self, stem: str) -> None:
        super().__init__(stem, Sample.from_line)


class ReportTail(LineTail[dict[str, Any]]):
    """The self-reports under a plan's `status_path`."""

    def __init__(self, stem: str) -> None:
        super().__init__(stem, _object)


def _object(line: bytes) -> dict[str, Any]:
    value = json.loads(line)
    if not isinstance(value, dict):
        raise TypeError("not an object")
    return value
