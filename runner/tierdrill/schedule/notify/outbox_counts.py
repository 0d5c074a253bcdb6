"""How many notifications wait and how many were given up: a quick look that loads and changes nothing."""

import sqlite3
from contextlib import closing
from pathlib import Path


def waiting_and_given_up(home: Path) -> dict[str, int]:
    """Counts by state, `waiting` and `failed`; zeros where there is no outbox that can be read."""
    counts = {"waiting": 0, "failed": 0}
    path = home / "outbox.db"
    if not path.is_file():
        return counts
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=0.5)) as database:
            rows = database.execute(
                "SELECT state, count(*) FROM messages WHERE state IN ('waiting', 'failed') GROUP BY state"
            ).fetchall()
    except sqlite3.Error:
        return counts
    return {**counts, **dict(rows)}
