"""The lookup: which pack holds an object. A SQLite file that may be lost, stale or damaged at any time.

Several processes use one file at once. When one of them finds it damaged it builds a fresh one under another
name and turns the pointer file ``current`` to it, so that nobody ever deletes a database from under a
connection: those that still have the old one open notice by its errors, or by a miss, which makes the store
look at the packs themselves.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final, TypeVar

from store.errors import Unavailable
from store.packs import Header, Kind

__all__ = ["Lookup", "Place"]

T = TypeVar("T")
_VERSION: Final = 1
_BUSY_SECONDS: Final = 10.0
_AT_ONCE: Final = 1024
_CACHE_KIB: Final = 32 * 1024
_HELD: Final = "SELECT address FROM objects WHERE kind = ? AND address IN "
_INSERT: Final = "INSERT OR REPLACE INTO objects (kind, address, pack, start, length) VALUES "


@dataclass(frozen=True)
class Place:
    """Where the lookup believes an object to lie; only the object's hash proves it."""

    pack: str
    start: int
    length: int


class Lookup:
    """Maps (kind, address) to places in packs.

    Args:
        folder: holds the database and the pointer to it; made when missing.
        headers: reads the heads of all packs that exist; called when the database is built anew.
    """

    def __init__(self, folder: Path, headers: Callable[[], Iterable[Header]]) -> None:
        self._folder = folder
        self._headers = headers
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._owner = 0
        self._file = ""

    def places(self, kind: Kind, address: bytes) -> list[Place]:
        """Every place that claims to hold the object; empty when none is known."""

        def query(connection: sqlite3.Connection) -> list[Place]:
            rows = connection.execute(
                "SELECT pack, start, length FROM objects WHERE kind = ? AND address = ?", (int(kind), address)
            )
            return [Place(*row) for row in rows]

        return self._with(query)

    def held(self, kind: Kind, addresses: Iterable[bytes]) -> set[bytes]:
        """Those of the addresses for which some place is known: one question for a whole batch."""
        wanted = list(addresses)

        def query(connection: sqlite3.Connection) -> set[bytes]:
            found: set[bytes] = set()
            for start in range(0, len(wanted), _AT_ONCE):
                part = wanted[start : start + _AT_ONCE]
                marks = ", ".join(["(?)"] * len(part))
                rows = connection.execute(_HELD + f"(VALUES {marks})", (int(kind), *part))
                found.update(row[0] for row in rows)
            return found

        return self._with(query)

    def unknown(self, names: Iterable[str]) -> list[str]:
        """Those of the packs that the lookup has not read yet."""
        wanted = list(names)

        def query(connection: sqlite3.Connection) -> list[str]:
            known = connection.execute
            return [
                name
                for name in wanted
                if known("SELECT 1 FROM packs WHERE name = ?", (name,)).fetchone() is None
            ]

        return self._with(query)

    def add(self, headers: Iterable[Header]) -> None:
        """Remember what these packs hold (again, when they were known)."""
        wanted = list(headers)
        if wanted:
            self._with(lambda connection: _insert(connection, wanted))

    def forget(self, pack: str) -> None:
        """Drop a pack that is gone."""

        def change(connection: sqlite3.Connection) -> None:
            with _transaction(connection):
                connection.execute("DELETE FROM objects WHERE pack = ?", (pack,))
                connection.execute("DELETE FROM packs WHERE name = ?", (pack,))

        self._with(change)

    def close(self) -> None:
        """Let go of the database."""
        with self._lock:
            if self._connection is not None and self._owner == os.getpid():
                self._connection.close()
            self._connection = None

    def _with(self, action: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock:
            try:
                return action(self._open())
            except (sqlite3.Error, OSError) as error:
                if isinstance(error, sqlite3.Error) and _is_busy(error):
                    raise Unavailable(f"the store's lookup is busy: {error}") from error
                self.close()
                try:
                    return action(self._open(broken=self._file))
                except (sqlite3.Error, OSError) as again:
                    raise Unavailable(
                        f"the store's lookup cannot be built in {self._folder}: {again}"
                    ) from again

    def _open(self, broken: str = "") -> sqlite3.Connection:
        if self._connection is not None and self._owner == os.getpid():
            return self._connection
        # A connection that came through a fork is left alone: closing it would drop the parent's file locks.
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = self._current()
        connection = self._connect(name) if name and name != broken else None
        if connection is None:
            with self._exclusive():
                name = self._current()  # another process may have built one while this one waited
                connection = self._connect(name) if name and name != broken else None
                if connection is None:
                    name, connection = self._build()
        self._connection, self._owner, self._file = connection, os.getpid(), name
        return connection

    def _current(self) -> str:
        try:
            name = (self._folder / "current").read_text("ascii").strip()
        except (OSError, ValueError):
            return ""
        return name if name.startswith("lookup-") and "/" not in name else ""

    def _connect(self, name: str) -> sqlite3.Connection | None:
        """Open an existing database, or None when it is missing, damaged or of another version."""
        try:
            connection = sqlite3.connect(
                f"{(self._folder / name).absolute().as_uri()}?mode=rw",
                uri=True,
                timeout=_BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
        except sqlite3.Error:
            return None
        try:
            # A crash may lose the newest rows (no fsync a commit): the packs still have them.
            connection.execute("PRAGMA synchronous = NORMAL")
            # Addresses come in random order: pages that do not fit the cache are read again for every batch.
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            connection.execute("SELECT 1 FROM packs LIMIT 1").fetchone()
            connection.execute("SELECT 1 FROM objects LIMIT 1").fetchone()
        except sqlite3.Error as error:
            connection.close()
            if _is_busy(error):
                raise
            return None
        if version != _VERSION:
            connection.close()
            return None
        return connection

    def _build(self) -> tuple[str, sqlite3.Connection]:
        name = f"lookup-{secrets.token_hex(8)}.sqlite"
        path = self._folder / name
        fresh = sqlite3.connect(path, isolation_level=None)
        try:
            # The mode is the file's own, and here nobody else has it open yet.
            fresh.execute("PRAGMA journal_mode = WAL")
            fresh.executescript(files("store").joinpath("lookup.sql").read_text("utf-8"))
            _insert(fresh, self._headers())
        finally:
            fresh.close()
        path.chmod(0o600)
        connection = self._connect(name)
        if connection is None:
            raise sqlite3.DatabaseError(f"{name} cannot be opened again")
        pointer = self._folder / f"current-{secrets.token_hex(8)}"
        pointer.write_text(name, "ascii")
        pointer.replace(self._folder / "current")
        for other in self._folder.glob("lookup-*"):
            if not other.name.startswith(name):
                with contextlib.suppress(OSError):
                    other.unlink()
        return name, connection

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _insert(connection: sqlite3.Connection, headers: Iterable[Header]) -> None:
    with _transaction(connection):
        for header in headers:
            connection.execute("DELETE FROM objects WHERE pack = ?", (header.name,))
            # Few statements: each gives way to every other thread that waits for the interpreter.
            for start in range(0, len(header.entries), _AT_ONCE):
                part = header.entries[start : start + _AT_ONCE]
                marks = ", ".join(["(?, ?, ?, ?, ?)"] * len(part))
                connection.execute(
                    _INSERT + marks,
                    [
                        value
                        for entry in part
                        for value in (int(entry.kind), entry.address, header.name, entry.offset, entry.length)
                    ],
                )
            connection.execute("INSERT OR REPLACE INTO packs (name) VALUES (?)", (header.name,))


def _is_busy(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", 0)
    return code is not None and (code & 0xFF) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
