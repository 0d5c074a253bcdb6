"""A terminal that nobody reads must hold nobody up."""

from __future__ import annotations

import errno
import os
import pty

import pytest

from tierdrill.gameday.console.terminal_face import PatientStream


def test_what_a_stuck_terminal_does_not_take_waits_and_arrives_later() -> None:
    master, slave = pty.openpty()
    stream = PatientStream(os.ttyname(slave))
    try:
        lines = [f"line {number} äöü\n" for number in range(5000)]
        for line in lines:
            stream.write(line)
        assert stream.behind
        read = b""
        while stream.behind or len(read.decode("utf-8", "ignore").splitlines()) < 5000:
            read += os.read(master, 65536)
        assert read.decode().replace("\r\n", "\n") == "".join(lines)
    finally:
        stream.close()
        os.close(slave)
        os.close(master)


def test_a_stuck_terminal_is_let_go_soon() -> None:
    master, slave = pty.openpty()
    stream = PatientStream(os.ttyname(slave))
    stream.write("x" * 500_000)
    stream.close()
    stream.close()
    os.close(slave)
    os.close(master)


def test_a_terminal_that_is_gone_is_an_error_and_others_keep_theirs_blocking() -> None:
    master, slave = pty.openpty()
    stream = PatientStream(os.ttyname(slave))
    assert os.get_blocking(slave)
    os.close(master)
    with pytest.raises(OSError) as gone:
        stream.write("x")
    assert gone.value.errno == errno.EIO
    stream.close()
    os.close(slave)
