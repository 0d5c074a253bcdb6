"""How long a check of the whole audit log takes, and an entry with its fsync.

Run: python tests/bench/bench_audit.py [ENTRIES]. Exit code 1 where the check of 100,000 entries, or as many as are
asked for, takes 2 s of a processor or more.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

from bench_arguments import arguments

from tierdrill.history.audit_log import AUDIT_FILE, AuditEntry, append, verify

ENTRIES, ALLOWED_S = 100_000, 2.0
APPENDED = 200


def filled(home: Path, count: int) -> None:
    """A log as `append` writes it, in one piece: with a lock and an fsync for each entry it would take minutes."""
    told = AuditEntry("ann@example.org", "drill.judged", "", "nightly", None, {"verdict": "passed"}, at=time.time())
    previous = ""
    with (home / AUDIT_FILE).open("wb") as log:
        for number in range(1, count + 1):
            entry = replace(told, n=number, previous=previous, about=f"20261130-020000-node-loss-{number:05}")
            line = json.dumps(asdict(entry), sort_keys=True).encode() + b"\n"
            previous = hashlib.sha256(line).hexdigest()
            log.write(line)
    append(home, told)


def main() -> int:
    asked = arguments(__doc__, entries=ENTRIES)
    with tempfile.TemporaryDirectory(prefix="tierdrill-bench-") as folder:
        home = Path(folder)
        filled(home, asked.entries)
        began = time.process_time()
        check = verify(home)
        took = time.process_time() - began
        began = time.perf_counter()
        for _ in range(APPENDED):
            append(home, AuditEntry("ann@example.org", "halt", "home", "incident"))
        each = (time.perf_counter() - began) / APPENDED
    print(f"{check.entries:,} entries verified in {took:.2f} s of a processor, faults: {len(check.faults)}")
    print(f"an entry appended in {each * 1000:.1f} ms, with fsync")
    return int(took >= ALLOWED_S or bool(check.faults) or check.entries != asked.entries + 1)


if __name__ == "__main__":
    sys.exit(main())
