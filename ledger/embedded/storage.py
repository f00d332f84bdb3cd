"""The file of a chain: made whole or not at all, checked when it is opened."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import tempfile
from pathlib import Path
from typing import Final

from fabric_protos.common import common_pb2

from ledger.embedded.database import Database, translated
from ledger.embedded.rows import chain_row, parse_block_row
from ledger.errors import BlockNotFound, ChainExists, CorruptLedger, Unavailable
from protocol.blocks import check_linkage, header_hash, validation_codes, verify_block_signature
from protocol.configuration import Configuration
from protocol.errors import InvalidBlock

__all__ = ["FORMAT", "create_chain", "load_block", "load_blocks", "open_chain"]

FORMAT: Final = 1
"""Version of the file's tables."""

_SCHEMA: Final = Path(__file__).with_name("schema.sql")


def create_chain(path: Path, genesis: common_pb2.Block) -> None:
    """Make a chain's file with its block 0. Nobody ever sees it half made.

    Making the same chain again changes nothing.

    Raises:
        ChainExists: a chain with another block 0, or another file, stands there.
        Unavailable: the disk refuses.
        InvalidBlock: the block is no configuration block.
    """
    configuration = Configuration.from_block(genesis)
    check_linkage(genesis, b"")
    if path.exists():
        _check_same(path, genesis)
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            draft = Path(folder) / path.name
            _write_draft(draft, configuration, genesis)
            try:
                os.link(draft, path)  # unlike a rename it never replaces a chain
            except FileExistsError:
                _check_same(path, genesis)
                return
        _sync_folder(path.parent)
    except OSError as error:
        raise Unavailable(f"{path} cannot be made: {error.strerror}") from error


def open_chain(database: Database) -> Configuration:
    """Check what a chain's file says of itself: its row, block 0, the newest block and its predecessor.

    Returns:
        The configuration in force.

    Raises:
        CorruptLedger: something does not hold together.
    """
    with database.snapshot() as connection:
        row = chain_row(connection)
        if row.format != FORMAT:
            raise CorruptLedger(f"{database.path} has format {row.format}, this program reads {FORMAT}")
        try:
            configuration = Configuration.from_block(load_block(connection, row.configuration))
            tip = load_block(connection, row.height - 1)
            before = b"" if row.height == 1 else header_hash(load_block(connection, row.height - 2).header)
            check_linkage(tip, before)
            validation_codes(tip)
            if row.height > 1:
                verify_block_signature(tip, configuration)
        except (InvalidBlock, BlockNotFound) as error:
            raise CorruptLedger(f"{database.path}: {error}") from error
        if configuration.chain != row.name or header_hash(tip.header) != row.header_hash:
            raise CorruptLedger(f"{database.path}: the chain's row does not fit its blocks")
    return configuration


def load_block(connection: sqlite3.Connection, number: int) -> common_pb2.Block:
    """One block, its bytes checked against the digest that was stored with it.

    Raises:
        BlockNotFound: the chain is not as high as that.
        CorruptLedger: the block is damaged.
    """
    row = None
    with contextlib.suppress(OverflowError):  # a number that the database could not hold is no block's
        row = connection.execute(
            "SELECT number, digest, raw FROM blocks WHERE number = ?", (number,)
        ).fetchone()
    if row is None:
        raise BlockNotFound(f"there is no block {number}")
    return parse_block_row(*row)


def load_blocks(connection: sqlite3.Connection, start: int, count: int) -> list[common_pb2.Block]:
    """At most ``count`` blocks from ``start`` on, none left out.

    Raises:
        CorruptLedger: a block is damaged or missing.
    """
    rows = connection.execute(
        "SELECT number, digest, raw FROM blocks WHERE number >= ? AND number < ? ORDER BY number",
        (start, start + count),
    ).fetchall()
    for offset, row in enumerate(rows):
        if row[0] != start + offset:
            raise CorruptLedger(f"block {start + offset} is missing")
    return [parse_block_row(*row) for row in rows]


def _check_same(path: Path, genesis: common_pb2.Block) -> None:
    database = Database(path)
    try:
        with database.snapshot() as connection:
            try:
                found = load_block(connection, 0)
            except BlockNotFound as error:
                raise CorruptLedger(f"{path}: {error}") from error
    finally:
        database.close()
    if header_hash(found.header) != header_hash(genesis.header):
        raise ChainExists(f"{path} holds another chain")


def _write_draft(draft: Path, configuration: Configuration, genesis: common_pb2.Block) -> None:
    raw = genesis.SerializeToString(deterministic=True)
    try:
        with contextlib.closing(sqlite3.connect(draft, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.executescript(f"BEGIN; {_SCHEMA.read_text()} COMMIT;")
            connection.execute("BEGIN")
            connection.execute(
                "INSERT INTO blocks (number, digest, raw) VALUES (0, ?, ?)",
                (hashlib.sha256(raw).digest(), raw),
            )
            connection.execute(
                "INSERT INTO chain (only, format, name, height, header_hash, configuration) "
                "VALUES (1, ?, ?, 1, ?, 0)",
                (FORMAT, configuration.chain, header_hash(genesis.header)),
            )
            connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise translated(error, draft) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
