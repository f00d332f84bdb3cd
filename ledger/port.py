"""The ledger port: what the rest of the system asks of a chain, whichever backend keeps it.

A backend hands out the official ``common.Block`` messages, so that relays, proofs and audits read one format.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from fabric_protos.common import common_pb2

from chaincode.api import Message
from chaincode.payloads import decode_result

__all__ = [
    "BlockSource",
    "ChainInformation",
    "Ledger",
    "Receipt",
    "TransactionStatus",
    "call",
    "evaluate_typed",
    "submit_typed",
]


@dataclass(frozen=True)
class Receipt:
    """A transaction that is committed with code VALID."""

    transaction: str
    """Transaction id, lower-case hex."""
    block: int
    payload: bytes
    """The contract's response payload."""


@dataclass(frozen=True)
class ChainInformation:
    """Where a chain stands."""

    chain: str
    height: int
    """Count of blocks: the newest is ``height - 1``."""
    header_hash: bytes
    """Hash of the newest block's header, 32 bytes."""


@dataclass(frozen=True)
class TransactionStatus:
    """What became of a transaction."""

    transaction: str
    block: int
    index: int
    """Position in the block, from 0."""
    code: int
    """``TxValidationCode``; 0 is VALID."""


class BlockSource(Protocol):
    """One chain's blocks, for reading."""

    @property
    def chain(self) -> str:
        """The chain's id (Fabric: the channel)."""

    def blocks(self, start: int) -> Iterator[common_pb2.Block]:
        """The blocks there are now from number ``start``, in order; then it stops.

        Raises:
            CorruptLedger, Unavailable.
        """

    def block(self, number: int) -> common_pb2.Block:
        """One block.

        Raises:
            BlockNotFound, CorruptLedger, Unavailable.
        """

    def information(self) -> ChainInformation:
        """Height and newest header's hash."""

    def close(self) -> None:
        """Give back what is held; further calls fail with ``Unavailable``."""


class Ledger(BlockSource, Protocol):
    """One chain, seen by one submitter. Safe to share between threads."""

    def submit(self, message: Message, *, timeout: float = 30.0) -> Receipt:
        """Propose, have endorsed, order, and wait for the commit.

        Read conflicts are retried a bounded number of times, each time with a new transaction.

        Args:
            message: the call.
            timeout: seconds for all of it.

        Returns:
            The receipt; the transaction is durable and valid.

        Raises:
            LedgerError: see ``ledger.errors``; with ``UnknownOutcome`` alone it may have been recorded.
        """

    def evaluate(self, message: Message) -> bytes:
        """Run the call on one peer's committed state and answer its payload; nothing is recorded.

        Raises:
            ContractRefused, ProposalRefused, Unavailable, CorruptLedger.
        """

    def wait(self, height: int, timeout: float) -> bool:
        """Wait until the chain is higher than ``height``, at most ``timeout`` seconds; whether it is."""

    def find(self, transaction: str) -> TransactionStatus | None:
        """What became of a transaction; None where no block holds it."""


def submit_typed(ledger: Ledger, message: Message, *, timeout: float = 30.0) -> tuple[Receipt, Any]:
    """Submit; the receipt and the decoded result, of type ``message.RESULT``.

    Raises:
        LedgerError: as ``Ledger.submit``.
        EncodingError: the payload is no such result.
    """
    receipt = ledger.submit(message, timeout=timeout)
    return receipt, decode_result(type(message), receipt.payload)


def evaluate_typed(ledger: Ledger, message: Message) -> Any:
    """Evaluate; the decoded result, of type ``message.RESULT``.

    Raises:
        LedgerError: as ``Ledger.evaluate``.
        EncodingError: the payload is no such result.
    """
    return decode_result(type(message), ledger.evaluate(message))


def call(ledger: Ledger, message: Message, *, timeout: float = 30.0) -> Any:
    """Submit and give the decoded result alone."""
    return submit_typed(ledger, message, timeout=timeout)[1]
