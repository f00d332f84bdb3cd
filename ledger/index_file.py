"""The index's SQLite file: opened once, shared by threads, its faults named."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, Final

from ledger.proof_errors import IndexDamaged
from ledger.wal import open_write_ahead

__all__ = ["IndexFile"]


class IndexFile:
    """One connection under one lock, which callers may hold over several statements.

    Raises:
        IndexDamaged: from every method, when the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path: Final = path
        self.lock: Final = threading.RLock()
        with self._guarded():
            # A cache: after a loss of power the newest blocks are read again.
            self._database = open_write_ahead(path, seconds=60, synchronous="NORMAL")
            self._database.executescript(resources.files("ledger").joinpath("index.sql").read_text())

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing of what is executed inside; other processes wait."""
        with self.lock, self._guarded():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    def one(self, sql: str, *values: object) -> tuple[Any, ...] | None:
        """The first row, or None."""
        rows = self.all(sql, *values)
        return rows[0] if rows else None

    def all(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Every row."""
        with self.lock, self._guarded():
            return self._database.execute(sql, values).fetchall()

    def change(self, sql: str, *values: object) -> int:
        """Execute one statement; how many rows it changed."""
        with self.lock, self._guarded():
            return self._database.execute(sql, values).rowcount

    def change_many(self, sql: str, rows: Sequence[tuple[object, ...]]) -> None:
        """Execute one statement for every row."""
        with self.lock, self._guarded():
            self._database.executemany(sql, rows)

    def damaged(self, error: Exception) -> IndexDamaged:
        """The error that names this file."""
        return IndexDamaged(f"{self.path} cannot be used, delete it to rebuild it: {error}")

    def close(self) -> None:
        """Close the file."""
        with self.lock:
            self._database.close()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self.damaged(error) from error
