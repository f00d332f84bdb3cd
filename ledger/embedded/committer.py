"""The orderer and committer of the embedded ledger: envelopes into signed blocks, durably, one at a time.

Within a process, submissions that wait while a block is being written go into the next one together (group
commit: one of the waiting threads leads, the others follow). Between processes the file's write lock orders.
A block, its state changes, its transactions' index and the chain's height are one SQLite transaction.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from fabric_protos.common import common_pb2
from fabric_protos.peer import transaction_pb2
from google.protobuf.message import Message as ProtobufMessage

from identity.signers import Signer
from ledger.embedded.database import Database
from ledger.embedded.genesis import MAX_MESSAGES, PREFERRED_BLOCK_BYTES
from ledger.embedded.rows import Version, chain_row, find_transaction, state_checksum, state_version
from ledger.embedded.validation import Prepared, check_reads
from ledger.errors import LedgerError, Unavailable, UnknownOutcome
from ledger.port import TransactionStatus
from protocol.blocks import block_signature_bytes, data_hash, header_hash

__all__ = ["Committer", "StateReader"]

_CODE: Final = transaction_pb2.TxValidationCode


class StateReader:
    """The committed state on one connection, as validation looks at it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def version(self, key: str) -> Version | None:
        """Who wrote the key last; None where it is absent."""
        row = self._connection.execute("SELECT block, position FROM state WHERE key = ?", (key,)).fetchone()
        return None if row is None else state_version(key, *row)

    def versions(self, start: str, end: str, *, closed: bool) -> Iterable[tuple[str, Version]]:
        """Keys from ``start`` to ``end`` (included if ``closed``; empty: no bound) in order."""
        upper = "" if not end else "AND key <= ?" if closed else "AND key < ?"
        rows = self._connection.execute(
            f"SELECT key, block, position FROM state WHERE key >= ? {upper} ORDER BY key",  # noqa: S608 - fixed texts
            (start, end) if end else (start,),
        )
        return [(row[0], state_version(*row)) for row in rows]


@dataclass(eq=False)
class _Waiting:
    """A submission in the queue. ``status`` or ``error`` is set before ``wake``."""

    prepared: Prepared
    deadline: float
    wake: threading.Event
    status: TransactionStatus | None = None
    error: LedgerError | None = None

    @property
    def done(self) -> bool:
        return self.status is not None or self.error is not None


class Committer:
    """Orders, validates and commits. Safe to share between threads."""

    def __init__(self, database: Database, orderer: Signer | None, configuration_block: int) -> None:
        self._database = database
        self._orderer = orderer
        self._configuration_block = configuration_block
        self._lock = threading.Lock()
        self._queue: deque[_Waiting] = deque()
        self._leading = False
        self.committed = threading.Condition()
        """Notified at every block of this process."""

    def order(self, prepared: Prepared, deadline: float) -> TransactionStatus:
        """Put a transaction into a block and wait until that is durable.

        Args:
            prepared: the envelope, checked by itself.
            deadline: on the monotonic clock.

        Returns:
            Where it stands and its validation code, VALID or not.

        Raises:
            Unavailable: it is in no block and will be in none.
            UnknownOutcome: it may be in one.
            CorruptLedger: the chain is damaged.
        """
        if self._orderer is None:
            raise Unavailable("this ledger was opened without an orderer", transaction=prepared.identifier)
        item = _Waiting(prepared, deadline, threading.Event())
        with self._lock:
            self._queue.append(item)
            lead = not self._leading
            self._leading = True
        try:
            if not lead and not item.wake.wait(max(0.0, deadline - time.monotonic())):
                self._give_up(item)
            if not item.done:
                self._lead(item)
        except BaseException:  # an interrupt: nobody may wait for a leader that is gone
            self._abandon(item, lead)
            raise
        if item.status is None:
            raise item.error or UnknownOutcome("the leader was interrupted", transaction=prepared.identifier)
        return item.status

    def _give_up(self, item: _Waiting) -> None:
        """After the deadline: leave the queue, or wait for the block that is being written."""
        with self._lock:
            if item in self._queue and not item.wake.is_set():
                self._queue.remove(item)
                item.error = Unavailable("the queue was too long", transaction=item.prepared.identifier)
                return
        # Its block is being written, or it was made leader just now: both end soon.
        item.wake.wait()

    def _abandon(self, item: _Waiting, lead: bool) -> None:
        """After an interrupt: leave the queue; a leader that never led passes the lead on."""
        with self._lock:
            if item not in self._queue:
                return
            self._queue.remove(item)
            if lead or item.wake.is_set():
                self._pass_on()

    def _pass_on(self) -> None:
        """With the lock held: the next in the queue leads, or nobody."""
        self._leading = bool(self._queue)
        if self._queue:
            self._queue[0].wake.set()

    def _lead(self, item: _Waiting) -> None:
        """Write one block, which holds ``item``, and hand the lead to the next waiting thread."""
        batch: list[_Waiting] = []
        try:
            with self._database.writing(item.deadline) as connection:
                batch = (
                    self._take()
                )  # with the lock held: whoever came while it was waited for is in the block
                number, codes = self._write(connection, [entry.prepared for entry in batch])
            for index, (entry, code) in enumerate(zip(batch, codes, strict=True)):
                entry.status = TransactionStatus(entry.prepared.identifier, number, index, code)
        except LedgerError as error:
            batch = batch or self._withdraw(item)
            self._resolve(batch, error)
        finally:
            self._finish(item, batch)

    def _finish(self, item: _Waiting, batch: Sequence[_Waiting]) -> None:
        with self._lock:
            if item not in self._queue:  # else an interrupt came before the block: see _abandon
                self._pass_on()
        for other in batch:
            if not other.done:  # an exception of another kind, such as an interrupt, went through the leader
                other.error = UnknownOutcome(
                    "the thread that wrote the block was interrupted", transaction=other.prepared.identifier
                )
            if other is not item:
                other.wake.set()
        with self.committed:
            self.committed.notify_all()

    def _withdraw(self, item: _Waiting) -> list[_Waiting]:
        with self._lock:
            self._queue.remove(item)
        return [item]

    def _take(self) -> list[_Waiting]:
        """The next block's transactions, in the order of their coming; the leader's own is the first."""
        with self._lock:
            batch = [self._queue.popleft()]
            size = len(batch[0].prepared.envelope)
            while self._queue and len(batch) < MAX_MESSAGES:
                size += len(self._queue[0].prepared.envelope)
                if size > PREFERRED_BLOCK_BYTES:
                    break
                batch.append(self._queue.popleft())
        return batch

    def _write(self, connection: sqlite3.Connection, batch: Sequence[Prepared]) -> tuple[int, bytes]:
        """One block into the open SQLite transaction; its number and codes."""
        tip = chain_row(connection)
        number, previous = tip.height, tip.header_hash
        codes, writes = _validate(connection, number, batch)
        block = self._build(number, previous, [prepared.envelope for prepared in batch], codes)
        _store(connection, block, [prepared.identifier for prepared in batch], codes, writes)
        return number, codes

    def _resolve(self, batch: Sequence[_Waiting], cause: LedgerError) -> None:
        """Give every submission of a failed block its outcome; where it is unknown, look it up."""
        for item in batch:
            identifier = item.prepared.identifier
            item.error = type(cause)(str(cause), transaction=identifier)
            item.error.__cause__ = cause
            if isinstance(cause, UnknownOutcome) and identifier:
                try:
                    with self._database.snapshot() as connection:
                        item.status = find_transaction(connection, identifier)
                except LedgerError:
                    continue

    def _build(self, number: int, previous: bytes, envelopes: list[bytes], codes: bytes) -> common_pb2.Block:
        header = common_pb2.BlockHeader(number=number, previous_hash=previous, data_hash=data_hash(envelopes))
        assert self._orderer is not None
        last = common_pb2.LastConfig(index=self._configuration_block)
        value = _bytes(common_pb2.OrdererBlockMetadata(last_config=last))
        signature_header = _bytes(
            common_pb2.SignatureHeader(creator=self._orderer.serialized(), nonce=os.urandom(24))
        )
        signature = self._orderer.sign(block_signature_bytes(value, signature_header, header))
        signatures = common_pb2.Metadata(
            value=value,
            signatures=[common_pb2.MetadataSignature(signature_header=signature_header, signature=signature)],
        )
        slots = [_bytes(signatures), _bytes(common_pb2.Metadata(value=_bytes(last))), codes, b"", b""]
        return common_pb2.Block(
            header=header,
            data=common_pb2.BlockData(data=envelopes),
            metadata=common_pb2.BlockMetadata(metadata=slots),
        )


def _validate(
    connection: sqlite3.Connection, number: int, batch: Sequence[Prepared]
) -> tuple[bytes, dict[str, tuple[bytes | None, int]]]:
    """Codes of a block's transactions, and what the valid ones write: value (None deletes) and position."""
    committed = StateReader(connection)
    overlay: dict[str, Version | None] = {}
    writes: dict[str, tuple[bytes | None, int]] = {}
    seen: set[str] = set()
    codes = bytearray()
    for position, prepared in enumerate(batch):
        code, identifier = prepared.code, prepared.identifier
        if identifier:
            if identifier in seen or find_transaction(connection, identifier) is not None:
                code = _CODE.DUPLICATE_TXID
            seen.add(identifier)
        if code == _CODE.VALID:
            code = check_reads(prepared, committed, overlay)
        if code == _CODE.VALID:
            for key, value in prepared.writes:
                overlay[key] = None if value is None else (number, position)
                writes[key] = (value, position)
        codes.append(code)
    return bytes(codes), writes


def _store(
    connection: sqlite3.Connection,
    block: common_pb2.Block,
    identifiers: Sequence[str],
    codes: bytes,
    writes: dict[str, tuple[bytes | None, int]],
) -> None:
    number = int(block.header.number)
    raw = _bytes(block)
    connection.execute(
        "INSERT INTO blocks (number, digest, raw) VALUES (?, ?, ?)",
        (number, hashlib.sha256(raw).digest(), raw),
    )
    connection.executemany(
        "INSERT INTO transactions (id, block, position, code) VALUES (?, ?, ?, ?)",
        [
            (identifier, number, position, code)
            for position, (identifier, code) in enumerate(zip(identifiers, codes, strict=True))
            if identifier and code != _CODE.DUPLICATE_TXID
        ],
    )
    connection.executemany(
        "INSERT INTO state (key, value, block, position, checksum) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (key) DO UPDATE SET value = excluded.value, block = excluded.block, "
        "position = excluded.position, checksum = excluded.checksum",
        [
            (key, value, number, position, state_checksum(key, value, (number, position)))
            for key, (value, position) in writes.items()
            if value is not None
        ],
    )
    connection.executemany(
        "DELETE FROM state WHERE key = ?", [(key,) for key, (value, _) in writes.items() if value is None]
    )
    connection.execute(
        "UPDATE chain SET height = ?, header_hash = ?", (number + 1, header_hash(block.header))
    )


def _bytes(message: ProtobufMessage) -> bytes:
    return message.SerializeToString(deterministic=True)
