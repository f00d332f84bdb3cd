"""The embedded ledger: a chain in one SQLite file, with Fabric's blocks and Fabric's rules.

It endorses with several organisations' signers, orders and commits in the calling process, and hands out the
official block messages. Several processes may share one file.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from fabric_protos.common import common_pb2
from fabric_protos.peer import transaction_pb2

from chaincode.api import Message
from identity.signers import Signer
from ledger.embedded.committer import Committer
from ledger.embedded.database import Database
from ledger.embedded.peers import Invoke, Peers
from ledger.embedded.proposals import Proposal, assemble
from ledger.embedded.rows import find_transaction
from ledger.embedded.storage import create_chain, open_chain
from ledger.embedded.stored_blocks import StoredBlocks
from ledger.embedded.validation import prepare
from ledger.embedded.verification import verify_chain
from ledger.errors import CommitConflict, ProposalRefused, Unavailable, invalid_transaction
from ledger.port import ChainInformation, Receipt, TransactionStatus
from protocol.configuration import Configuration
from protocol.elements import CHAINCODE
from protocol.encodings import encode

__all__ = ["EmbeddedLedger"]

_VALID: Final = transaction_pb2.TxValidationCode.VALID
_ATTEMPTS: Final = 16
_JITTER: Final = random.SystemRandom()
_LONGEST_POLL: Final = 0.02


class EmbeddedLedger(StoredBlocks):
    """A ``ledger.port.Ledger`` over one file. Safe to share between threads, not across a fork."""

    def __init__(
        self,
        path: Path,
        *,
        submitter: Signer | None = None,
        endorsers: Sequence[Signer] = (),
        orderer: Signer | None = None,
        invoke: Invoke | None = None,
        clock: Callable[[], float] = time.time,
        attempts: int = _ATTEMPTS,
    ) -> None:
        """Open a chain and check its newest block.

        Args:
            path: its file, made by ``create``.
            submitter: who signs proposals; without one the ledger can only be read.
            endorsers: peers' identities; the first organisations that satisfy the policy are used.
            orderer: signs the blocks.
            invoke: runs the contracts; ``chaincode.registry.invoke`` where not given.
            clock: the peers' and the submitter's clock, seconds since 1970 UTC.
            attempts: how often a transaction with read conflicts is tried, at least 1.

        Raises:
            ChainNotFound, CorruptLedger, Unavailable.
        """
        if invoke is None:
            # Here and not above: a reader of blocks needs no contracts.
            from chaincode.registry import invoke as product_contracts

            invoke = product_contracts
        super().__init__(Database(path))
        try:
            self._configuration = open_chain(self._database)
        except BaseException:
            self._database.close()
            raise
        self._submitter = submitter
        self._clock = clock
        self._attempts = max(1, attempts)
        self._peers = Peers(self._configuration, endorsers, invoke, clock)
        self._committer = Committer(self._database, orderer, self._configuration.block)
        self._owner = True

    @classmethod
    def create(cls, path: Path, genesis_block: common_pb2.Block) -> None:
        """Make a chain's file. Making the same chain again changes nothing.

        Raises:
            ChainExists: a chain with another block 0 stands there.
            Unavailable: the disk refuses.
            InvalidBlock: the block is no configuration block.
        """
        create_chain(path, genesis_block)

    @property
    def chain(self) -> str:
        """The chain's id."""
        return self._configuration.chain

    @property
    def configuration(self) -> Configuration:
        """The configuration in force."""
        return self._configuration

    def acting_as(self, submitter: Signer) -> EmbeddedLedger:
        """The same open chain for another submitter; closing the result closes nothing."""
        other = object.__new__(EmbeddedLedger)
        other.__dict__.update(self.__dict__, _submitter=submitter, _owner=False)
        return other

    # -------------------------------------------------------------- transactions

    def submit(self, message: Message, *, timeout: float = 30.0) -> Receipt:
        """As ``ledger.port.Ledger.submit``."""
        deadline = time.monotonic() + timeout
        for attempt in range(1, self._attempts + 1):
            try:
                return self._submit_once(message, deadline)
            except CommitConflict:
                # Uneven pauses: those that met once would meet again.
                pause = _JITTER.uniform(0.0, min(0.1, 0.002 * 2**attempt))
                if attempt == self._attempts or time.monotonic() + pause >= deadline:
                    raise
                time.sleep(pause)
        raise AssertionError("unreachable")

    def evaluate(self, message: Message) -> bytes:
        """As ``ledger.port.Ledger.evaluate``."""
        proposal = self._propose(message)
        with self._database.snapshot() as connection:
            return self._peers.evaluate(connection, proposal)

    def order(self, envelope: bytes, *, timeout: float = 30.0) -> TransactionStatus:
        """Have any envelope put into a block, as a careless orderer would: validation judges it there.

        Raises:
            ProposalRefused: larger than a block may be, or empty.
            Unavailable, UnknownOutcome, CorruptLedger.
        """
        if not 0 < len(envelope) <= self._configuration.max_block_bytes:
            raise ProposalRefused(f"an envelope is 1 to {self._configuration.max_block_bytes} bytes")
        prepared = prepare(envelope, self._configuration, CHAINCODE)
        return self._committer.order(prepared, time.monotonic() + timeout)

    def endorsed(self, message: Message, *, timestamp_ms: int | None = None) -> bytes:
        """An endorsed and signed envelope for ``message`` that was not sent to the orderer.

        Raises:
            ProposalRefused, ContractRefused, EndorsementMismatch, Unavailable, CorruptLedger.
        """
        return self._endorse(message, timestamp_ms)[1]

    def find(self, transaction: str) -> TransactionStatus | None:
        """As ``ledger.port.Ledger.find``."""
        with self._database.snapshot() as connection:
            return find_transaction(connection, transaction)

    def _submit_once(self, message: Message, deadline: float) -> Receipt:
        transaction, envelope, payload = self._endorse(message, None)
        status = self.order(envelope, timeout=deadline - time.monotonic())
        if status.code != _VALID:
            raise invalid_transaction(status.code, transaction=transaction, block=status.block)
        return Receipt(transaction, status.block, payload)

    def _endorse(self, message: Message, timestamp_ms: int | None) -> tuple[str, bytes, bytes]:
        """Transaction id, envelope and the contract's payload."""
        proposal = self._propose(message, timestamp_ms)
        with self._database.snapshot() as connection:
            response, payload, endorsements = self._peers.endorse(connection, proposal)
        envelope = assemble(proposal, response, endorsements, self._signer())
        return proposal.transaction, envelope, payload

    def _propose(self, message: Message, timestamp_ms: int | None = None) -> Proposal:
        arguments = (message.FUNCTION.encode(), encode(message))
        claimed = int(self._clock() * 1000) if timestamp_ms is None else timestamp_ms
        return Proposal.create(self._signer(), self.chain, arguments, claimed)

    def _signer(self) -> Signer:
        if self._submitter is None:
            raise Unavailable("this ledger was opened for reading: it has no submitter")
        return self._submitter

    # -------------------------------------------------------------- blocks

    def wait(self, height: int, timeout: float) -> bool:
        """As ``ledger.port.Ledger.wait``; blocks of other processes are seen within about 20 ms."""
        deadline = time.monotonic() + timeout
        pause = 0.002
        while self.information().height <= height:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            with self._committer.committed:
                self._committer.committed.wait(min(pause, left))
            pause = min(_LONGEST_POLL, pause * 1.5)
        return True

    def verify(self) -> ChainInformation:
        """Walk the whole chain: links, signatures, validation codes, index and state, all found again.

        Raises:
            CorruptLedger: the first fault.
        """
        return verify_chain(self._database)

    def close(self) -> None:
        """As ``ledger.port.Ledger.close``."""
        if self._owner:
            self._database.close()
