"""Verification of a whole chain: every block, every code, and the state that follows from them.

The walk trusts block 0 alone. It links the blocks, checks the orderer's signatures, validates every envelope
again from nothing, and compares what comes of that with the codes, the index and the state that are stored.
"""

from __future__ import annotations

import bisect
import sqlite3
from collections.abc import Iterable
from typing import Final

from fabric_protos.common import common_pb2
from fabric_protos.peer import transaction_pb2

from ledger.embedded.database import Database
from ledger.embedded.rows import Version, chain_row, state_checksum, state_value
from ledger.embedded.storage import load_block
from ledger.embedded.validation import check_reads, prepare
from ledger.errors import BlockNotFound, CorruptLedger
from ledger.port import ChainInformation
from protocol.blocks import (
    check_linkage,
    header_hash,
    last_configuration,
    validation_codes,
    verify_block_signature,
)
from protocol.configuration import Configuration
from protocol.elements import CHAINCODE
from protocol.errors import InvalidBlock

__all__ = ["verify_chain"]

_CODE: Final = transaction_pb2.TxValidationCode


def verify_chain(database: Database) -> ChainInformation:
    """Walk a chain from block 0.

    Cost: about 0.4 ms a transaction, and memory for a checksum and a version a key.

    Returns:
        What the chain holds, all of it verified.

    Raises:
        CorruptLedger: the first fault, with the block.
    """
    with database.snapshot() as connection:
        row = chain_row(connection)
        try:
            replay = _Replay(Configuration.from_block(load_block(connection, 0)))
            previous = b""
            for number in range(row.height):
                block = load_block(connection, number)
                check_linkage(block, previous)
                replay.take(connection, block)
                previous = header_hash(block.header)
        except (InvalidBlock, BlockNotFound) as error:
            raise CorruptLedger(str(error)) from error
        if previous != row.header_hash or row.name != replay.configuration.chain:
            raise CorruptLedger("the chain's row does not fit its blocks")
        surplus = connection.execute(
            "SELECT count(*) FROM blocks WHERE number >= ? OR number < 0", (row.height,)
        )
        if surplus.fetchone()[0]:
            raise CorruptLedger(f"there are blocks beyond the chain's height {row.height}")
        replay.compare(connection)
    return ChainInformation(row.name, row.height, previous)


class _Replay:
    """The state as it follows from the blocks; serves as ``validation.Committed``."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self._state: dict[str, tuple[Version, int]] = {}
        self._keys: list[str] = []
        """The state's keys, sorted as UTF-8 (which is the order of code points)."""
        self._transactions: dict[str, tuple[int, int, int]] = {}

    def version(self, key: str) -> Version | None:
        found = self._state.get(key)
        return None if found is None else found[0]

    def versions(self, start: str, end: str, *, closed: bool) -> Iterable[tuple[str, Version]]:
        first = bisect.bisect_left(self._keys, start)
        if not end:
            last = len(self._keys)
        elif closed:
            last = bisect.bisect_right(self._keys, end)
        else:
            last = bisect.bisect_left(self._keys, end)
        return [(key, self._state[key][0]) for key in self._keys[first:last]]

    def take(self, connection: sqlite3.Connection, block: common_pb2.Block) -> None:
        """Verify a block and apply it."""
        number = int(block.header.number)
        stored = validation_codes(block)
        if number == 0:
            if any(stored):
                raise CorruptLedger("block 0 is marked as invalid")
            return
        verify_block_signature(block, self.configuration)
        if last_configuration(block) != self.configuration.block:
            raise CorruptLedger(f"block {number} names another configuration")
        overlay: dict[str, Version | None] = {}
        checksums: dict[str, int] = {}
        for position, envelope in enumerate(block.data.data):
            prepared = prepare(bytes(envelope), self.configuration, CHAINCODE)
            code, identifier = prepared.code, prepared.identifier
            if identifier in self._transactions:
                code = int(_CODE.DUPLICATE_TXID)
            elif code == _CODE.VALID:
                code = check_reads(prepared, self, overlay)
            if code != stored[position]:
                raise CorruptLedger(
                    f"block {number}, transaction {position}: validation gives {_CODE.Name(code)}, "
                    f"the block says {stored[position]}"
                )
            if identifier and code != _CODE.DUPLICATE_TXID:
                self._transactions[identifier] = (number, position, code)
            if code == _CODE.VALID:
                for key, value in prepared.writes:
                    overlay[key] = None if value is None else (number, position)
                    checksums[key] = 0 if value is None else state_checksum(key, value, (number, position))
        self._apply(overlay, checksums)

    def _apply(self, overlay: dict[str, Version | None], checksums: dict[str, int]) -> None:
        for key, version in overlay.items():
            if version is None:
                if self._state.pop(key, None) is not None:
                    del self._keys[bisect.bisect_left(self._keys, key)]
                continue
            if key not in self._state:
                bisect.insort(self._keys, key)
            self._state[key] = (version, checksums[key])

    def compare(self, connection: sqlite3.Connection) -> None:
        """See that the stored state and index are those that follow from the blocks."""
        count = 0
        for row in connection.execute("SELECT key, value, block, position, checksum FROM state"):
            count += 1
            _, version = state_value(*row)
            if self._state.get(row[0]) != (version, row[4]):
                raise CorruptLedger(f"the state under {row[0]!r} does not follow from the blocks")
        if count != len(self._state):
            raise CorruptLedger("keys are missing in the state")
        stored = {
            row[0]: row[1:]
            for row in connection.execute("SELECT id, block, position, code FROM transactions")
        }
        if stored != self._transactions:
            raise CorruptLedger("the index of transactions does not follow from the blocks")
