"""SQLite files in write-ahead mode, opened by any number of threads and processes at once."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Final, Literal

__all__ = ["open_write_ahead"]

_PAUSE: Final = 0.005


def open_write_ahead(
    path: Path, *, seconds: float, synchronous: Literal["FULL", "NORMAL"]
) -> sqlite3.Connection:
    """A connection that commits of itself and may be shared by threads.

    Args:
        path: the file, in an existing folder; made when missing.
        seconds: how long to wait for others that hold the file.
        synchronous: ``FULL`` keeps every commit through a loss of power, ``NORMAL`` may lose the newest.

    Raises:
        sqlite3.Error: it is no database, or stays locked.
    """
    connection = sqlite3.connect(path, timeout=seconds, isolation_level=None, check_same_thread=False)
    try:
        _write_ahead(connection, time.monotonic() + seconds)
        connection.execute(f"PRAGMA synchronous={synchronous}")
    except BaseException:
        connection.close()
        raise
    return connection


def _write_ahead(connection: sqlite3.Connection, deadline: float) -> None:
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            # SQLite turns a reader into a writer here, and never waits while it does.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE)
        else:
            return
