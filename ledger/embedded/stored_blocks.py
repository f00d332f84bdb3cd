"""The blocks of an embedded ledger's file, read as they stand: judging them is for others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fabric_protos.common import common_pb2

from ledger.embedded.database import Database
from ledger.embedded.rows import chain_row
from ledger.embedded.storage import load_block, load_blocks
from ledger.errors import CorruptLedger
from ledger.port import ChainInformation

__all__ = ["StoredBlocks"]

_PAGE: Final = 32


class StoredBlocks:
    """The reading half of ``ledger.port.Ledger`` over one file."""

    def __init__(self, database: Database) -> None:
        self._database: Final = database

    def blocks(self, start: int) -> Iterator[common_pb2.Block]:
        """As ``ledger.port.BlockSource.blocks``."""
        height = self.information().height
        while start < height:
            with self._database.snapshot() as connection:
                page = load_blocks(connection, start, min(_PAGE, height - start))
            if not page:
                raise CorruptLedger(f"block {start} is missing")
            yield from page
            start += len(page)

    def block(self, number: int) -> common_pb2.Block:
        """As ``ledger.port.BlockSource.block``."""
        with self._database.snapshot() as connection:
            return load_block(connection, number)

    def information(self) -> ChainInformation:
        """As ``ledger.port.BlockSource.information``."""
        with self._database.snapshot() as connection:
            row = chain_row(connection)
        return ChainInformation(row.name, row.height, row.header_hash)
