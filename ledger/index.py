"""Following one chain: its elements, its own statements, and the proofs that are made from them.

The index is a cache beside the ledger, rebuilt by deleting its file. It takes block after block, each in one
SQLite transaction with its cursor, so that it may be killed at any instant; several processes may share the
file. It refuses to go on when the ledger's chain is not the one that it has read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from fabric_protos.common import common_pb2

import accumulator
from accumulator import Parameters
from ledger.index_file import IndexFile
from ledger.lookups import keys_of
from ledger.port import BlockSource
from ledger.proof_errors import ChainDiverged, NotIndexed, Pending
from ledger.witnesses import WITNESS_LIMIT, Progress, WitnessCache
from protocol.anchors import AnchorStatement
from protocol.bundle import ProvenElement
from protocol.chainstate import ChainState, ChainStateSnapshot, Fed
from protocol.elements import Element
from protocol.encodings import decode, encode, sha256
from protocol.errors import ProtocolError

__all__ = ["ChainIndex", "IndexedElement"]

_PRIME_BYTES: Final = 33


@dataclass(frozen=True)
class IndexedElement:
    """An element as the index keeps it."""

    element: Element
    payload: bytes
    function: str
    transaction: str
    offset: int
    """Certificate of its prime representative."""


class ChainIndex:
    """What one chain holds, as far as it was read.

    Args:
        ledger: the chain's ledger.
        parameters: the chain's accumulator parameters.
        path: SQLite file; made when absent.
        main: whether this is the main chain (decides what is news); by its id when None.
        witness_limit: membership witnesses kept at most; whole ranges go, oldest anchors first.

    Raises:
        IndexDamaged: the file cannot be used: delete it and it is rebuilt.
    """

    def __init__(
        self,
        ledger: BlockSource,
        parameters: Parameters,
        path: Path,
        *,
        main: bool | None = None,
        witness_limit: int = WITNESS_LIMIT,
    ) -> None:
        self.ledger: Final = ledger
        self.chain: Final = ledger.chain
        self.parameters: Final = parameters
        self._main = main
        self._following: Final = threading.Lock()
        """Whoever holds it reads and takes blocks; while the ledger is awaited others have the file."""
        self._appending: Final = threading.Lock()
        """The same for making append-only proofs."""
        self._file: Final = IndexFile(path)
        self._cache: Final = WitnessCache(self._file, parameters, witness_limit, self.primes)
        self._state = self._load()

    # ------------------------------------------------------------------ following

    def sync(self) -> int:
        """Read all blocks that there are now; afterwards everything committed before the call is found.

        Returns:
            How many blocks were read by this call.

        Raises:
            ChainDiverged: the ledger's chain is shorter than, or not a continuation of, what was read.
            IndexDamaged: the index's own file.
            LedgerError: the ledger cannot be read.
        """
        with self._following:
            self._check_same_chain()
            count = 0
            for block in self.ledger.blocks(self._state.height):
                self._take(block)
                count += 1
            return count

    @property
    def height(self) -> int:
        """Number of blocks read."""
        return self._state.height

    @property
    def elements(self) -> int:
        """Number of the newest element read."""
        return self._state.elements

    @property
    def anchor(self) -> int:
        """Number of the newest statement, 0 before the first."""
        return self._state.anchor

    @property
    def news(self) -> int:
        """Elements after the newest statement's range that are news."""
        return self._state.news

    def close(self) -> None:
        """Close the file once no block is awaited; the ledger stays open."""
        with self._following:
            self._file.close()

    # ------------------------------------------------------------------ what there is

    def element(self, number: int) -> IndexedElement:
        """Element ``number``.

        Raises:
            NotIndexed: there is none (yet).
        """
        row = self._file.one(
            "SELECT block, position, code, envelope_hash, payload, function, tx, certificate"
            " FROM element WHERE number = ?",
            number,
        )
        if row is None:
            raise NotIndexed(f"{self.chain} has no element {number} in {self.height} blocks")
        block, position, code, envelope_hash, payload, function, transaction, offset = row
        element = Element(self.chain, number, block, position, code, envelope_hash, sha256(payload))
        return IndexedElement(element, payload, function, transaction, offset)

    def number_of(self, transaction: str) -> int:
        """Number of the element that a transaction is; of several that claim the id, the valid one.

        Raises:
            NotIndexed: no such transaction was read.
        """
        row = self._file.one(
            "SELECT number FROM element WHERE tx = ? ORDER BY code, number LIMIT 1", transaction
        )
        if row is None:
            raise NotIndexed(f"transaction {transaction} is not in {self.height} blocks of {self.chain}")
        return int(row[0])

    def find(self, kind: str, key: str) -> int:
        """Number of the first valid element of a kind and key (see ``ledger.lookups``).

        Raises:
            NotIndexed: there is none.
        """
        found = self.find_all(kind, key)
        if not found:
            raise NotIndexed(f"{self.chain} holds no {kind} of {key} in {self.height} blocks")
        return found[0]

    def find_all(self, kind: str, key: str) -> tuple[int, ...]:
        """Numbers of all valid elements of a kind and key, ascending; may be none."""
        rows = self._file.all(
            "SELECT number FROM lookup WHERE kind = ? AND key = ? ORDER BY number", kind, key
        )
        return tuple(int(row[0]) for row in rows)

    def statement(self, number: int) -> AnchorStatement:
        """This chain's own statement ``number``, computed from its blocks.

        Raises:
            NotIndexed: no such cut was read.
        """
        row = self._file.one("SELECT statement FROM statement WHERE number = ?", number)
        if row is None:
            raise NotIndexed(f"{self.chain} has no anchor {number} in {self.height} blocks")
        return decode(AnchorStatement, row[0])

    def statements(self) -> tuple[AnchorStatement, ...]:
        """All of them, by number."""
        rows = self._file.all("SELECT statement FROM statement ORDER BY number")
        return tuple(decode(AnchorStatement, row[0]) for row in rows)

    def covering(self, number: int) -> int:
        """Number of the first anchor that covers element ``number``.

        Raises:
            Pending: none does yet.
        """
        row = self._file.one("SELECT number FROM statement WHERE last >= ? ORDER BY last LIMIT 1", number)
        if row is None:
            raise Pending(f"element {number} of {self.chain} comes after the newest anchor {self.anchor}")
        return int(row[0])

    # ------------------------------------------------------------------ proofs

    def primes(self, first: int, last: int) -> list[int]:
        """Prime representatives of elements ``first`` to ``last``, in order.

        Raises:
            NotIndexed: not all of them were read.
        """
        rows = self._file.all(
            "SELECT prime FROM element WHERE number BETWEEN ? AND ? ORDER BY number", first, last
        )
        if len(rows) != last - first + 1:
            raise NotIndexed(f"{self.chain} has no elements {first} to {last} in {self.height} blocks")
        return [int.from_bytes(row[0], "big") for row in rows]

    def membership(self, number: int) -> ProvenElement:
        """Element ``number`` with its membership proof against the first anchor that covers it.

        Raises:
            NotIndexed: no such element.
            Pending: no anchor covers it yet.
        """
        return self.memberships([number])[0]

    def memberships(self, numbers: Sequence[int]) -> list[ProvenElement]:
        """Membership proofs for several elements, in the order asked.

        Witnesses are made group by group and kept. Threads may ask side by side; only those of one range wait
        for each other.

        Raises:
            NotIndexed, Pending: as ``membership``.
        """
        wanted: dict[int, list[int]] = {}
        covering: dict[int, int] = {}
        for number in numbers:
            self.element(number)
            covering[number] = self.covering(number)
            wanted.setdefault(covering[number], []).append(number)
        witnesses: dict[int, bytes] = {}
        for anchor, members in wanted.items():
            witnesses.update(self._cache.get(self.statement(anchor), sorted(set(members))))
        return [self._proven(number, covering[number], witnesses[number]) for number in numbers]

    def prepare_witnesses(
        self,
        anchor: int,
        progress: Progress | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        """Make and keep all witnesses of an anchor's range.

        Args:
            anchor: its number.
            progress: told (witnesses there, all) now and then.
            cancelled: asked now and then.

        Raises:
            NotIndexed: no such anchor.
            accumulator.Cancelled: ``cancelled`` said so; what was made is kept.
        """
        self._cache.prepare(self.statement(anchor), progress, cancelled)

    def append_only(self, number: int) -> bytes:
        """The append-only proof of statement ``number`` (context: its digest); made once and kept.

        Threads that ask for one wait for each other, and hold up nobody else.

        Raises:
            NotIndexed: no such anchor.
        """
        with self._appending:
            row = self._file.one("SELECT append_only FROM statement WHERE number = ?", number)
            if row is not None and row[0] is not None:
                return bytes(row[0])
            statement = self.statement(number)
            proof = accumulator.prove_append_only(
                self.parameters,
                accumulator.decode_value(self.parameters, statement.value_before),
                self.primes(statement.first, statement.last),
                accumulator.decode_value(self.parameters, statement.value_after),
                statement.digest(),
            )
            raw = accumulator.encode_append_only(self.parameters, proof)
            self._file.change("UPDATE statement SET append_only = ? WHERE number = ?", raw, number)
            return raw

    # ------------------------------------------------------------------ following, inside

    def _check_same_chain(self) -> None:
        state = self._state
        if not state.height:
            return
        information = self.ledger.information()
        if information.height < state.height:
            raise ChainDiverged(
                f"{self.chain} was rolled back: {information.height} blocks where {state.height} were read"
            )
        tip = information.header_hash
        if information.height > state.height:
            following = self.ledger.block(state.height)
            tip = bytes(following.header.previous_hash)
        if tip != state.header_hash:
            raise ChainDiverged(f"{self.chain} was rewritten at or before block {state.height - 1}")

    def _take(self, block: common_pb2.Block) -> None:
        number = int(block.header.number)
        with self._file.transaction():
            stored = self._file.one("SELECT height FROM position")
            if stored is not None and stored[0] != self._state.height:
                self._state = self._load()  # another process was faster
            if number < self._state.height:
                return
            if number == self._state.height and bytes(block.header.previous_hash) != self._state.header_hash:
                raise ChainDiverged(
                    f"block {number} of {self.chain} does not follow the blocks that were read"
                )
            before = self._state
            try:
                self._write(before.feed(block), before)
            except BaseException:
                self._state = self._load()  # the fold has moved on, the file has not
                raise

    def _write(self, fed: Fed, state: ChainState) -> None:
        file = self._file
        file.change_many(
            "INSERT INTO element VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    element.number,
                    element.block,
                    element.index,
                    element.code,
                    element.envelope_hash,
                    view.payload,
                    view.function,
                    view.transaction,
                    representative.prime.to_bytes(_PRIME_BYTES, "big"),
                    representative.offset,
                )
                for element, view, representative in zip(
                    fed.elements, fed.views, fed.representatives, strict=True
                )
            ],
        )
        file.change_many(
            "INSERT INTO lookup VALUES (?, ?, ?)",
            [
                (kind, key, element.number)
                for element, view in zip(fed.elements, fed.views, strict=True)
                for kind, key in keys_of(view)
            ],
        )
        file.change_many(
            "INSERT INTO statement VALUES (?, ?, ?, ?, NULL)",
            [(one.number, one.first, one.last, encode(one)) for one in fed.statements],
        )
        snapshot = encode(replace(state.snapshot(), primes=()))
        file.change("INSERT OR REPLACE INTO position VALUES (1, ?, ?)", state.height, snapshot)

    def _load(self) -> ChainState:
        row = self._file.one("SELECT snapshot FROM position")
        if row is None:
            return ChainState(self.chain, self.parameters, main=self._main)
        try:
            snapshot = decode(ChainStateSnapshot, row[0])
            # Bounded above too: another process may have gone on since the snapshot was read.
            primes = tuple(
                bytes(entry[0])
                for entry in self._file.all(
                    "SELECT prime FROM element WHERE number > ? AND number <= ? ORDER BY number",
                    snapshot.anchored,
                    snapshot.elements,
                )
            )
            return ChainState.restore(replace(snapshot, primes=primes), self.parameters)
        except ProtocolError as error:
            raise self._file.damaged(error) from error

    def _proven(self, number: int, anchor: int, witness: bytes) -> ProvenElement:
        indexed = self.element(number)
        element = indexed.element
        return ProvenElement(
            number=number,
            chain=self.chain,
            block=element.block,
            index=element.index,
            code=element.code,
            envelope_hash=element.envelope_hash,
            payload=indexed.payload.decode(),
            anchor=anchor,
            offset=indexed.offset,
            witness=witness,
        )
