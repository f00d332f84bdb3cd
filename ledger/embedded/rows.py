"""The rows of a chain's file, checked as they are read.

SQLite keeps no checksums: in a damaged file a column may come back with another value or another type. What
is read goes through here, so that damage shows as ``CorruptLedger`` and never as a ``TypeError`` later on.
"""

from __future__ import annotations

import hashlib
import sqlite3
import zlib
from dataclasses import dataclass
from typing import Any

from fabric_protos.common import common_pb2

from ledger.errors import CorruptLedger
from ledger.port import TransactionStatus
from protocol.blocks import parse_block
from protocol.errors import InvalidBlock

__all__ = [
    "ChainRow",
    "Version",
    "chain_row",
    "find_transaction",
    "parse_block_row",
    "state_checksum",
    "state_value",
    "state_version",
]

Version = tuple[int, int]
"""Block and position of the transaction that wrote a key."""


@dataclass(frozen=True)
class ChainRow:
    """What a chain's file says of itself."""

    format: int
    name: str
    height: int
    header_hash: bytes
    configuration: int


def chain_row(connection: sqlite3.Connection) -> ChainRow:
    """Read the chain's one row.

    Raises:
        CorruptLedger: it is missing or damaged.
    """
    row = connection.execute("SELECT format, name, height, header_hash, configuration FROM chain").fetchone()
    if row is None:
        raise CorruptLedger("the chain's row is missing")
    if [type(value) for value in row] != [int, str, int, bytes, int] or row[2] < 1:
        raise CorruptLedger("the chain's row is damaged")
    return ChainRow(*row)


def parse_block_row(number: Any, digest: Any, raw: Any) -> common_pb2.Block:
    """Read a row of ``blocks``, the bytes checked against the digest that was stored with them.

    Raises:
        CorruptLedger: they differ, or are not that block.
    """
    if not isinstance(raw, bytes) or hashlib.sha256(raw).digest() != digest:
        raise CorruptLedger(f"block {number} is damaged: its bytes are not those that were stored")
    try:
        block = parse_block(raw)
    except InvalidBlock as error:
        raise CorruptLedger(f"block {number} is damaged: {error}") from error
    if block.header.number != number:
        raise CorruptLedger(f"block {block.header.number} stands where block {number} should")
    return block


def find_transaction(connection: sqlite3.Connection, identifier: str) -> TransactionStatus | None:
    """What became of a transaction; None where no block holds it.

    Raises:
        CorruptLedger: its row is damaged.
    """
    row = connection.execute(
        "SELECT block, position, code FROM transactions WHERE id = ?", (identifier,)
    ).fetchone()
    if row is None:
        return None
    if not all(isinstance(value, int) for value in row):
        raise CorruptLedger(f"the index is damaged at transaction {identifier}")
    return TransactionStatus(identifier, *row)


def state_checksum(key: str, value: bytes, version: Version) -> int:
    """CRC-32 over a row of the state."""
    return zlib.crc32(value, zlib.crc32(f"{key}\x00{version[0]}\x00{version[1]}\x00".encode()))


def state_value(key: Any, value: Any, block: Any, position: Any, checksum: Any) -> tuple[bytes, Version]:
    """Value and version of a whole row of the state.

    Raises:
        CorruptLedger: the row is damaged.
    """
    version = state_version(key, block, position)
    if not isinstance(value, bytes) or checksum != state_checksum(key, value, version):
        raise CorruptLedger(f"the state under {key!r} is damaged")
    return value, version


def state_version(key: Any, block: Any, position: Any) -> Version:
    """Version of a row of the state.

    Raises:
        CorruptLedger: the row is damaged.
    """
    if not isinstance(key, str) or not isinstance(block, int) or not isinstance(position, int):
        raise CorruptLedger(f"the state under {key!r} is damaged")
    return block, position
