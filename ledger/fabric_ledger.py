"""A real Fabric channel as a ledger: submits through a peer's Gateway, reads the same peer's blocks."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, Final, Protocol, TypeVar

from fabric_protos.common import common_pb2, ledger_pb2
from google.protobuf.message import DecodeError

from chaincode.api import Message
from identity.errors import IdentityError
from identity.signers import Signer, verify_ecdsa
from ledger.errors import BlockNotFound, ChainNotFound, CorruptLedger, LedgerError, Unavailable
from ledger.fabric import sync
from ledger.fabric.client import DEFAULT_IN_FLIGHT
from ledger.fabric.connection import CallOptions, Endpoint
from ledger.fabric.endorsers import Endorsers
from ledger.fabric.errors import EvaluateError, GatewayError
from ledger.fabric.gateway import Network
from ledger.fabric.identities import Identity, no_hash
from ledger.fabric.loops import LoopThread, loop_thread
from ledger.fabric.submission import submit_until_committed
from ledger.fabric_faults import is_vague, is_without_peers, ledger_error
from ledger.fabric_follower import Follower
from ledger.port import ChainInformation, Receipt, TransactionStatus
from protocol.blocks import validation_codes
from protocol.elements import CHAINCODE
from protocol.encodings import encode

__all__ = ["FabricLedger", "PeerEndpoint"]

T = TypeVar("T")

_ATTEMPTS: Final = 16
# Seconds. The peers that ``network`` configures may be asked every ten: a dead one is noticed within sixteen.
_KEEPALIVE: Final = 11.0
_QUERY_SECONDS: Final = 10.0
_READ: Final = CallOptions(timeout=120.0)
_PAGE_BLOCKS: Final = 64
_PAGE_BYTES: Final = 4 * 1024 * 1024
_LAST_NUMBER: Final = (1 << 63) - 1  # no chain gets there; from 2**64 on no request could name a block
_SYSTEM: Final = "qscc"
_UNKNOWN_TRANSACTION: Final = ("no such transaction ID", "not found in index", "Failed to get block by txID")


class PeerEndpoint(Protocol):
    """Where a peer is: ``network.Endpoint`` fits."""

    @property
    def address(self) -> str:
        """host:port."""

    @property
    def tls_roots(self) -> bytes:
        """Authorities of the peer's TLS certificate, PEM."""

    @property
    def server_name(self) -> str:
        """The name in that certificate."""


class FabricLedger:
    """A ``ledger.port.Ledger`` over one channel and one organisation's peer.

    Safe to share between threads. It connects when it is first used, so it may be made before a fork; once
    used it stays with its process.
    """

    def __init__(
        self,
        endpoint: PeerEndpoint,
        channel: str,
        *,
        submitter: Signer,
        chaincode: str = CHAINCODE,
        attempts: int = _ATTEMPTS,
        in_flight: int = DEFAULT_IN_FLIGHT,
        endorsing_organisations: Sequence[str] = (),
        client_certificate: bytes | None = None,
        client_key: bytes | None = None,
        keepalive: float = _KEEPALIVE,
    ) -> None:
        """Nothing is sent yet.

        Args:
            endpoint: the peer of the submitter's own organisation.
            channel: the chain's id.
            submitter: who signs proposals and requests for blocks.
            chaincode: the contracts' name on the channel.
            attempts: how often a transaction with read conflicts is tried, at least 1.
            in_flight: how many calls may be under way at once.
            endorsing_organisations: MSP ids; by default the peer finds who satisfies the policy, and they
                are asked together from then on, until one fails.
            client_certificate: PEM, where the peer wants mutual TLS.
            client_key: that certificate's.
            keepalive: as ``ledger.fabric.Endpoint``'s, seconds.
        """
        self._peer = Endpoint(
            endpoint.address,
            endpoint.tls_roots,
            endpoint.server_name,
            client_certificate=client_certificate,
            client_key=client_key,
            keepalive=keepalive,
        )
        self._channel = channel
        self._submitter = submitter
        self._chaincode = chaincode
        self._attempts = max(1, attempts)
        self._in_flight = in_flight
        self._endorsing_organisations = tuple(endorsing_organisations)
        self._lock = threading.Lock()
        self._open: _Open | None = None
        self._closed = False
        self._was_accepted = False

    @property
    def chain(self) -> str:
        """The channel."""
        return self._channel

    # -------------------------------------------------------------- transactions

    def submit(self, message: Message, *, timeout: float = 30.0) -> Receipt:
        """As ``ledger.port.Ledger.submit``."""
        opened = self._opened()
        contract = opened.network.get_contract(self._chaincode)
        done = self._run(
            opened,
            submit_until_committed(
                contract,
                message.FUNCTION,
                (encode(message),),
                timeout=timeout,
                attempts=self._attempts,
                endorsing_organizations=self._endorsing_organisations,
                outcomes=opened.follower,
                endorsers=opened.endorsers,
            ),
        )
        return Receipt(done.transaction_id, done.block_number, done.result)

    def evaluate(self, message: Message) -> bytes:
        """As ``ledger.port.Ledger.evaluate``."""
        return self._evaluate(self._chaincode, message.FUNCTION, encode(message))

    def find(self, transaction: str) -> TransactionStatus | None:
        """As ``ledger.port.Ledger.find``."""
        try:
            raw = self._evaluate(_SYSTEM, "GetBlockByTxID", self._channel, transaction)
        except LedgerError as error:
            cause = error.__cause__
            if isinstance(cause, EvaluateError) and any(
                mark in text for text in cause.texts for mark in _UNKNOWN_TRANSACTION
            ):
                return None
            raise
        block = _parse(common_pb2.Block, raw)
        for index, envelope in enumerate(block.data.data):
            if _transaction_id(envelope) == transaction:
                code = validation_codes(block)[index]
                return TransactionStatus(transaction, block.header.number, index, code)
        raise CorruptLedger(f"block {block.header.number} does not hold transaction {transaction}")

    # -------------------------------------------------------------- blocks

    def blocks(self, start: int) -> Iterator[common_pb2.Block]:
        """As ``ledger.port.Ledger.blocks``."""
        opened = self._opened()
        events = opened.network.get_block_events(start_block=start, stop_block="newest", options=_READ)
        wanted = start
        try:
            while page := self._run(opened, _page(events)):
                for block in page:
                    if block.header.number != wanted:
                        raise CorruptLedger(f"block {block.header.number} came where {wanted} was due")
                    wanted += 1
                    yield block
        except ChainNotFound:
            # The same word for a channel that is not there and for a start beyond its end.
            if wanted == start:
                self.information()
        finally:
            # Not waited for: an abandoned iterator is closed by whichever thread collects it.
            opened.loop.start(events.close())

    def block(self, number: int) -> common_pb2.Block:
        """As ``ledger.port.Ledger.block``."""
        if not 0 <= number <= _LAST_NUMBER:
            raise BlockNotFound(f"there is no block {number}")
        opened = self._opened()
        events = opened.network.get_block_events(start_block=number, stop_block=number, options=_READ)
        try:
            page = self._run(opened, _page(events))
        except ChainNotFound:
            height = self.information().height
            raise BlockNotFound(f"there is no block {number}: the chain has {height}") from None
        if not page:
            raise CorruptLedger(f"the peer answered without block {number}")
        return page[0]

    def information(self) -> ChainInformation:
        """As ``ledger.port.Ledger.information``."""
        raw = self._evaluate(_SYSTEM, "GetChainInfo", self._channel)
        found = _parse(ledger_pb2.BlockchainInfo, raw)
        self._opened().follower.seen(found.height)
        return ChainInformation(self._channel, found.height, found.currentBlockHash)

    def wait(self, height: int, timeout: float) -> bool:
        """As ``ledger.port.Ledger.wait``; woken by the peer's own stream of blocks.

        Raises:
            ChainNotFound, ProposalRefused, Unavailable: the stream cannot be had at all. While the peer is
                merely away it is waited for.
        """
        opened = self._opened()
        if not opened.follower.has_seen:
            with contextlib.suppress(Unavailable):
                self.information()
        try:
            return opened.follower.wait(height, timeout)
        except GatewayError as error:
            raise self._translated(opened, error) from error

    def close(self) -> None:
        """As ``ledger.port.Ledger.close``."""
        with self._lock:
            opened, self._open, self._closed = self._open, None, True
        if opened is not None and opened.process == os.getpid():
            opened.follower.close()
            opened.gateway.close()

    # -------------------------------------------------------------- inside

    def _evaluate(self, chaincode: str, name: str, *arguments: str | bytes) -> bytes:
        opened = self._opened()
        # One's own organisation: another's peer may not have the block that one was just told of.
        proposal = opened.network.get_contract(chaincode).new_proposal(
            name, arguments, endorsing_organizations=(self._submitter.msp_id,)
        )
        return self._run(opened, proposal.evaluate(CallOptions(timeout=_QUERY_SECONDS)))

    def _run(self, opened: _Open, work: Coroutine[Any, Any, T]) -> T:
        try:
            result = opened.loop.run(work)
        except GatewayError as error:
            raise self._translated(opened, error) from error
        self._was_accepted = True
        return result

    def _translated(self, opened: _Open, error: GatewayError) -> LedgerError:
        if is_vague(error):
            reason = self._ask(opened)
            if reason is not None:
                reason.transaction_id = error.transaction_id
                error = reason

        def organisation_is_known() -> bool:
            found = self._ask(opened, self._submitter.msp_id)
            return found is None or not is_without_peers(found)

        return ledger_error(
            error,
            was_accepted=self._was_accepted,
            organisation_is_known=organisation_is_known,
            signature_fits=lambda: _key_fits(self._submitter),
        )

    def _ask(self, opened: _Open, *organisations: str) -> GatewayError | None:
        """How a question fails that any peer of the channel, or of an organisation, answers; None: not."""
        contract = opened.network.get_contract(_SYSTEM)
        question = contract.new_proposal(
            "GetChainInfo", (self._channel,), endorsing_organizations=organisations
        )
        try:
            opened.loop.run(question.evaluate(CallOptions(timeout=_QUERY_SECONDS)))
        except GatewayError as error:
            return error
        return None

    def _opened(self) -> _Open:
        with self._lock:
            if self._closed:
                raise Unavailable("the ledger is closed")
            if self._open is None:
                self._open = _Open(self)
            elif self._open.process != os.getpid():
                raise Unavailable("this ledger was used before a fork: open another in the child")
            return self._open


class _Open:
    """What a ledger holds once it is used."""

    def __init__(self, ledger: FabricLedger) -> None:
        submitter = ledger._submitter
        self.process = os.getpid()
        self.loop: LoopThread = loop_thread()
        self.gateway = sync.connect(
            ledger._peer,
            Identity(submitter.msp_id, submitter.certificate_pem),
            sign=submitter.sign,
            hash=no_hash,  # a Signer hashes by itself
            in_flight=ledger._in_flight,
        )
        self.network: Network = self.gateway.inner.get_network(ledger._channel)
        self.follower = Follower(self.network, self.loop)
        self.endorsers = Endorsers()


async def _page(events: Any) -> list[common_pb2.Block]:
    page: list[common_pb2.Block] = []
    size = 0
    async for block in events:
        page.append(block)
        size += block.ByteSize()
        if len(page) == _PAGE_BLOCKS or size > _PAGE_BYTES:
            break
    return page


def _parse(kind: Any, raw: bytes) -> Any:
    try:
        return kind.FromString(raw)
    except DecodeError as error:
        raise CorruptLedger(f"the peer's answer is no {kind.DESCRIPTOR.name}") from error


def _transaction_id(envelope: bytes) -> str:
    try:
        payload = common_pb2.Payload.FromString(common_pb2.Envelope.FromString(envelope).payload)
        return str(common_pb2.ChannelHeader.FromString(payload.header.channel_header).tx_id)
    except DecodeError:
        return ""


def _key_fits(submitter: Signer) -> bool:
    try:
        verify_ecdsa(submitter.spki, b"probe", submitter.sign(b"probe"))
    except IdentityError:
        return False
    return True
