"""SQLite as the embedded ledger uses it: pinned snapshots for readers, one durable writer at a time.

WAL mode with ``synchronous=FULL``: a commit that has returned survives a power cut. The write lock of the
file is what orders transactions, over all threads and processes that share it.
"""

from __future__ import annotations

import os
import queue
import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ledger.errors import ChainNotFound, CorruptLedger, LedgerError, Unavailable, UnknownOutcome

__all__ = ["Database", "translated"]

_IDLE_READERS: Final = 8
_POLL: Final = 0.002
_JITTER: Final = random.SystemRandom()

_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})


def translated(error: sqlite3.Error, path: Path) -> LedgerError:
    """The typed error for one of SQLite's."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in _DAMAGED or not isinstance(error, sqlite3.OperationalError):
        return CorruptLedger(f"{path} is damaged or no ledger: {error}")
    return Unavailable(f"{path} cannot be used at present: {error}")


def _mode_of(path: Path) -> str:
    """How to open the file: for reading alone where it, or its folder, cannot be written.

    SQLite needs to write beside a file in WAL mode even to read it, unless it is told that nobody writes. A
    copy that was made of a closed chain has no log; one with a log brings what its readers share, too.
    """
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        return "mode=rw"
    log = path.with_name(path.name + "-wal")
    return "mode=ro" if log.exists() and log.stat().st_size else "mode=ro&immutable=1"


class Database:
    """The connections to one chain's file. Safe to share between threads, not across a fork."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            ChainNotFound: there is none.
            CorruptLedger: it is no SQLite file.
        """
        if not path.is_file():
            raise ChainNotFound(f"{path} does not exist")
        self.path = path
        self._mode: Final = _mode_of(path)
        self._process = os.getpid()
        self._readers: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue(_IDLE_READERS)
        self._closed = False
        self._write_lock = threading.Lock()
        with self._translating():
            self._writer = self._connect()
            self._writer.execute("PRAGMA busy_timeout=0")  # the writer waits in its own way, see _begin

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """One consistent state of the chain, whatever is committed meanwhile.

        Raises:
            Unavailable, CorruptLedger.
        """
        self._check()
        with self._translating():
            try:
                connection = self._readers.get_nowait()
            except queue.Empty:
                connection = self._connect()
            healthy = False
            try:
                connection.execute("BEGIN")
                try:
                    yield connection
                finally:
                    connection.execute("ROLLBACK")
                    healthy = True
            finally:
                self._give_back(connection, healthy)

    @contextmanager
    def writing(self, deadline: float) -> Iterator[sqlite3.Connection]:
        """The chain's write lock; committed durably at the end, rolled back on any exception.

        Args:
            deadline: on the monotonic clock, until when to wait for the lock.

        Raises:
            Unavailable: others held the lock until the deadline.
            UnknownOutcome: the commit itself failed; the log may hold it nevertheless.
        """
        self._check()
        if not self._write_lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise Unavailable(f"{self.path}: the write lock was not free in time")
        try:
            with self._translating():
                self._begin(deadline)
                try:
                    yield self._writer
                    self._commit()
                except BaseException:
                    if self._writer.in_transaction:
                        self._writer.execute("ROLLBACK")
                    raise
        finally:
            self._write_lock.release()

    def close(self) -> None:
        """Close every idle connection; the rest when they are given back."""
        self._closed = True
        if os.getpid() != self._process:  # the parent's connections are not the child's to close
            return
        while True:
            try:
                self._readers.get_nowait().close()
            except queue.Empty:
                break
        with self._write_lock:
            self._writer.close()

    def _commit(self) -> None:
        try:
            self._writer.execute("COMMIT")
        except sqlite3.Error as error:
            raise UnknownOutcome(f"{self.path}: the commit failed: {error}") from error

    def _begin(self, deadline: float) -> None:
        while True:
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                busy = getattr(error, "sqlite_errorcode", 0) & 0xFF in (
                    sqlite3.SQLITE_BUSY,
                    sqlite3.SQLITE_LOCKED,
                )
                if not busy or time.monotonic() >= deadline:
                    raise
                # Short and uneven: SQLite's own back-off lets a busy process starve the others.
                time.sleep(_JITTER.uniform(0.2, 1.0) * _POLL)

    def _connect(self) -> sqlite3.Connection:
        # Autocommit: every BEGIN and COMMIT stands in this file.
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?{self._mode}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=0,
            cached_statements=64,
        )
        try:
            # Another process may be recovering the log after a crash: give that a moment.
            connection.execute("PRAGMA busy_timeout=5000")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA cache_size=-16384")
            connection.execute("PRAGMA wal_autocheckpoint=4000")
            connection.execute("PRAGMA schema_version").fetchone()
        except BaseException:
            connection.close()
            raise
        return connection

    def _give_back(self, connection: sqlite3.Connection, healthy: bool) -> None:
        if healthy and not self._closed:
            try:
                self._readers.put_nowait(connection)
                return
            except queue.Full:
                pass
        connection.close()

    def _check(self) -> None:
        if self._closed:
            raise Unavailable(f"{self.path} is closed")
        if os.getpid() != self._process:
            raise Unavailable(f"{self.path} was opened before a fork: open it in the child")

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise translated(error, self.path) from error
        except UnicodeDecodeError as error:  # SQLite's own message quotes what the damaged file holds
            raise CorruptLedger(f"{self.path} is damaged: it holds text that is none") from error
