"""The key book: which reading an Idempotency-Key stands for, remembered across restarts.

A key is written down before its reading goes to the chain. The answer itself need not be: it follows from the
record that the chain keeps. So whatever instant the gateway is killed at, a repeat of the same reading with
the same key finds either no record (and is recorded) or the record (and gets the first answer).
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from gateway.problems import Refusal
from ledger.wal import open_write_ahead

__all__ = ["KeyBook", "KeyUse"]

_log = logging.getLogger(__name__)
_FIND: Final = """
    WITH wanted AS (
        SELECT json_extract(value, '$[0]') AS device, json_extract(value, '$[1]') AS key FROM json_each(?)
    )
    SELECT device, key, record FROM wanted JOIN keys USING (device, key)
"""
_REMEMBER: Final = "INSERT OR REPLACE INTO keys (device, key, record, since) VALUES "
# Compared with a list of rows itself, SQLite would look at every key that there is.
_FORGET: Final = """
    WITH refused (device, key, record) AS (VALUES {})
    DELETE FROM keys WHERE (device, key, record) IN (SELECT device, key, record FROM refused)
"""


@dataclass(frozen=True)
class KeyUse:
    """A device's idempotency key and the record that it stands for."""

    device: str
    key: str
    record: bytes

    @property
    def slot(self) -> tuple[str, str]:
        """Device and key."""
        return self.device, self.key


class KeyBook:
    """A small SQLite file; opened at first use, safe for threads.

    Args:
        path: the file; its folder is made when missing.
        retention: seconds for which a key is remembered.

    Raises:
        Refusal: ``not-ready`` from every method, when the file is damaged, locked, or the disk refuses.
    """

    def __init__(self, path: Path, retention: float) -> None:
        self._path = path
        self._retention = retention
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def find(self, uses: Sequence[tuple[str, str]]) -> dict[tuple[str, str], bytes]:
        """Ids of the records that keys stand for, of those that stand for one.

        Args:
            uses: devices and keys.
        """
        if not uses:
            return {}
        with self._lock, _answering():
            rows = self._open().execute(_FIND, (json.dumps(uses),)).fetchall()
        return {(device, key): bytes(record) for device, key, record in rows}

    def remember(self, uses: Iterable[KeyUse], now: float) -> None:
        """Write keys down; durable when this returns.

        Args:
            uses: a key that stood for another record (which never reached the chain) is turned to this one.
            now: seconds since 1970 UTC.
        """
        rows = [(use.device, use.key, use.record, int(now)) for use in uses]
        if rows:
            self._write(_REMEMBER + ", ".join(["(?, ?, ?, ?)"] * len(rows)), rows)

    def forget(self, uses: Iterable[KeyUse]) -> None:
        """Strike out keys whose readings were refused."""
        rows = [(use.device, use.key, use.record) for use in uses]
        if rows:
            self._write(_FORGET.format(", ".join(["(?, ?, ?)"] * len(rows))), rows)

    def prune(self, now: float) -> None:
        """Drop keys older than the retention."""
        self._write("DELETE FROM keys WHERE since < ?", [(int(now - self._retention),)])

    def close(self) -> None:
        """Let go of the file; it is opened again when used again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _write(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        """One statement, which is a transaction. With one a row, every request under way would go between."""
        with self._lock, _answering():
            self._open().execute(statement, [value for row in rows for value in row])

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileExistsError):
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            connection = open_write_ahead(self._path, seconds=10, synchronous="FULL")
            connection.executescript(files("gateway").joinpath("keybook.sql").read_text("utf-8"))
            self._connection = connection
        return self._connection


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        _log.error("the key book does not answer: %s", error)
        raise Refusal("not-ready", "the idempotency keys cannot be read or written", retry_after=1) from error
