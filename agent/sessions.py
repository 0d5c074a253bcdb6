"""Who gives orders: lines of JSON both ways, over pipes or a socket. Nobody who does not read can hold us up."""

from __future__ import annotations

import json
import os
from typing import Any

LINE_MAX = 1 << 20
UNREAD_MAX = 1 << 20


class Session:
    """One of them. `lease_s` is None until it is armed; `heard` is when its last order came, on the monotonic clock."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self.read_fd, self.write_fd = read_fd, write_fd
        os.set_blocking(read_fd, False)
        os.set_blocking(write_fd, False)
        self.lease_s: float | None = None
        self.heard = 0.0
        self.ended = False
        self._in, self._out = b"", b""
        self._skip = False

    def lines(self) -> list[str]:
        """What came, line by line. Sets `ended` where nothing will come any more."""
        try:
            data = os.read(self.read_fd, 1 << 16)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            self.ended = True
            return []
        *whole, self._in = (self._in + data).split(b"\n")
        if self._skip and whole:
            whole, self._skip = whole[1:], False
        if len(self._in) > LINE_MAX:
            self._in, self._skip = b"", True
            self.say({"ok": False, "error": f"a line is longer than {LINE_MAX} bytes"})
        return [line.decode(errors="replace") for line in whole if line.strip()]

    def say(self, data: dict[str, Any]) -> None:
        """Send it when the other side reads; what it leaves unread for too long is lost."""
        text = json.dumps(data).encode() + b"\n"
        if len(self._out) + len(text) <= UNREAD_MAX:
            self._out += text
        self.flush()

    def flush(self) -> bool:
        """Whether something is still to be sent."""
        try:
            while self._out:
                self._out = self._out[os.write(self.write_fd, self._out) :]
        except BlockingIOError:
            return True
        except OSError:
            self._out = b""
        return bool(self._out)

    def close(self) -> None:
        for fd in {self.read_fd, self.write_fd}:
            os.close(fd)
