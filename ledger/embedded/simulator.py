"""Simulation: a contract runs on a snapshot, and what it read and would write is kept.

The semantics are Fabric's (core/ledger/kvledger/txmgmt/rwsetutil, txmgr/query_executor.go): reads answer the
committed state and never the transaction's own writes; the read set names versions; a range enters with what
was read of it, up to the last key where it was not read to its end.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from fabric_protos.ledger.rwset import rwset_pb2
from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2

from ledger.embedded.rows import Version, state_value
from ledger.errors import CorruptLedger

__all__ = ["Simulation"]

_GET: Final = "SELECT value, block, position, checksum FROM state WHERE key = ?"
_RANGE: Final = (
    "SELECT key, value, block, position, checksum FROM state WHERE key >= ? AND key < ? ORDER BY key"
)
_RANGE_OPEN: Final = "SELECT key, value, block, position, checksum FROM state WHERE key >= ? ORDER BY key"


class Simulation:
    """A ``chaincode.context.WorldState`` over one snapshot, for one call."""

    def __init__(self, connection: sqlite3.Connection, namespace: str) -> None:
        self._connection = connection
        self._namespace = namespace
        self._reads: dict[str, Version | None] = {}
        self._ranges: list[_RangeRead] = []
        self._writes: dict[str, bytes | None] = {}
        self.event: tuple[str, bytes] | None = None

    def get(self, key: str) -> bytes | None:
        """The committed value, or None; the version enters the read set."""
        _check_key(key)
        with _reading():
            row = self._connection.execute(_GET, (key,)).fetchone()
        if row is None:
            self._reads[key] = None
            return None
        value, self._reads[key] = state_value(key, *row)
        return value

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """As ``get`` for each; asking one by one is as fast in the same process."""
        return [self.get(key) for key in keys]

    def put(self, key: str, value: bytes) -> None:
        """Write at commit.

        Raises:
            ValueError: the key is empty or holds NUL, or the value is empty (Fabric reads that as no value).
        """
        _check_key(key)
        if not isinstance(value, bytes) or not value:
            raise ValueError("a value is bytes and not empty")
        self._writes[key] = value

    def delete(self, key: str) -> None:
        """Remove at commit."""
        _check_key(key)
        self._writes[key] = None

    def range(self, start: str, end: str) -> Iterator[tuple[str, bytes]]:
        """Committed keys with start <= key < end (an empty end: no bound), in order of UTF-8 bytes."""
        query, bounds = (_RANGE, (start, end)) if end else (_RANGE_OPEN, (start,))
        with _reading():
            read = _RangeRead(start, end, self._connection.execute(query, bounds))
        self._ranges.append(read)
        return self._follow(read)

    def set_event(self, name: str, payload: bytes) -> None:
        """Emit the transaction's one event; a later call replaces it."""
        if not name:
            raise ValueError("an event has a name")
        self.event = (name, payload)

    def results(self) -> bytes:
        """``rwset.TxReadWriteSet`` of what was read and written so far."""
        inner = kv_rwset_pb2.KVRWSet(
            reads=[_read(key, self._reads[key]) for key in sorted(self._reads, key=str.encode)],
            range_queries_info=[read.to_proto() for read in self._ranges if read.exhausted or read.keys],
        )
        for key in sorted(self._writes, key=str.encode):
            value = self._writes[key]
            inner.writes.add(key=key, is_delete=value is None, value=value or b"")
        outer = rwset_pb2.TxReadWriteSet(data_model=rwset_pb2.TxReadWriteSet.DataModel.KV)
        outer.ns_rwset.add(namespace=self._namespace, rwset=inner.SerializeToString(deterministic=True))
        return bytes(outer.SerializeToString(deterministic=True))

    def close(self) -> None:
        """End the ranges that were not read to their end."""
        for read in self._ranges:
            read.cursor.close()

    def _follow(self, read: _RangeRead) -> Iterator[tuple[str, bytes]]:
        while True:
            with _reading():
                row = read.cursor.fetchone()
            if row is None:
                break
            value, version = state_value(*row)
            read.keys.append((row[0], version))
            yield row[0], value
        read.exhausted = True


class _RangeRead:
    def __init__(self, start: str, end: str, cursor: sqlite3.Cursor) -> None:
        self.start = start
        self.end = end
        self.cursor = cursor
        self.keys: list[tuple[str, Version]] = []
        self.exhausted = False

    def to_proto(self) -> kv_rwset_pb2.RangeQueryInfo:
        return kv_rwset_pb2.RangeQueryInfo(
            start_key=self.start,
            end_key=self.end if self.exhausted else self.keys[-1][0],
            itr_exhausted=self.exhausted,
            raw_reads=kv_rwset_pb2.QueryReads(kv_reads=[_read(key, version) for key, version in self.keys]),
        )


@contextmanager
def _reading() -> Iterator[None]:
    """A damaged file may answer with text that is none; that is not the contract's fault."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise CorruptLedger("the state is damaged: it holds text that is none") from error


def _read(key: str, version: Version | None) -> kv_rwset_pb2.KVRead:
    if version is None:
        return kv_rwset_pb2.KVRead(key=key)
    return kv_rwset_pb2.KVRead(key=key, version=kv_rwset_pb2.Version(block_num=version[0], tx_num=version[1]))


def _check_key(key: str) -> None:
    if not key or "\x00" in key:
        raise ValueError("a state key is text, not empty, without NUL")
