"""The sync face: the same words, for programs with threads. Safe to share between threads.

A gateway connects when ``connect`` is called; after a fork the child makes its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Generic, TypeVar

from . import gateway as core
from . import transactions
from .client import DEFAULT_IN_FLIGHT
from .connection import CallOptions, Endpoint
from .events import ChaincodeEvent
from .events import Events as CoreEvents
from .events import EventsRequest as CoreRequest
from .identities import Hash, Identity, Sign, sha256
from .loops import LoopThread, loop_thread
from .messages import Argument
from .submission import Committed, submit_until_committed
from .transactions import Status

__all__ = [
    "Commit",
    "Contract",
    "Events",
    "EventsRequest",
    "Gateway",
    "Network",
    "Proposal",
    "SubmittedTransaction",
    "Transaction",
    "connect",
]

T = TypeVar("T")


def connect(
    peer: Endpoint,
    identity: Identity,
    *,
    sign: Sign | None = None,
    hash: Hash = sha256,  # noqa: A002 - the official clients' word
    in_flight: int = DEFAULT_IN_FLIGHT,
    options: Mapping[str, CallOptions] | None = None,
) -> Gateway:
    """As ``ledger.fabric.connect``; the event loop runs in a thread of its own."""
    loop = loop_thread()

    async def open_there() -> core.Gateway:
        return core.connect(peer, identity, sign=sign, hash=hash, in_flight=in_flight, options=options)

    opened = loop.run(open_there())
    loop.close_at_exit(opened)
    return Gateway(opened, loop)


class Gateway:
    """As ``ledger.fabric.Gateway``."""

    def __init__(self, inner: core.Gateway, loop: LoopThread) -> None:
        self.inner = inner
        """The async gateway; to be used on its own loop alone."""
        self._loop = loop

    @property
    def identity(self) -> Identity:
        """Who asks."""
        return self.inner.identity

    def get_network(self, channel: str) -> Network:
        """A channel of the peer."""
        return Network(self.inner.get_network(channel), self._loop)

    def new_proposal(self, raw: bytes) -> Proposal:
        """From ``Proposal.get_bytes()``."""
        return Proposal(self.inner.new_proposal(raw), self._loop)

    def new_signed_proposal(self, raw: bytes, signature: bytes) -> Proposal:
        """From ``Proposal.get_bytes()`` and a signature of its digest."""
        return Proposal(self.inner.new_signed_proposal(raw, signature), self._loop)

    def new_transaction(self, raw: bytes) -> Transaction:
        """From ``Transaction.get_bytes()``."""
        return Transaction(self.inner.new_transaction(raw), self._loop)

    def new_signed_transaction(self, raw: bytes, signature: bytes) -> Transaction:
        """From ``Transaction.get_bytes()`` and a signature of its digest."""
        return Transaction(self.inner.new_signed_transaction(raw, signature), self._loop)

    def new_commit(self, raw: bytes) -> Commit:
        """From ``Commit.get_bytes()``."""
        return Commit(self.inner.new_commit(raw), self._loop)

    def new_signed_commit(self, raw: bytes, signature: bytes) -> Commit:
        """From ``Commit.get_bytes()`` and a signature of its digest."""
        return Commit(self.inner.new_signed_commit(raw, signature), self._loop)

    def new_signed_chaincode_events_request(
        self, raw: bytes, signature: bytes
    ) -> EventsRequest[ChaincodeEvent]:
        """From ``EventsRequest.get_bytes()`` and a signature of its digest."""
        return EventsRequest(self.inner.new_signed_chaincode_events_request(raw, signature), self._loop)

    def new_signed_block_events_request(self, raw: bytes, signature: bytes) -> EventsRequest[Any]:
        """From ``EventsRequest.get_bytes()`` and a signature of its digest."""
        return EventsRequest(self.inner.new_signed_block_events_request(raw, signature), self._loop)

    def new_signed_filtered_block_events_request(self, raw: bytes, signature: bytes) -> EventsRequest[Any]:
        """As ``new_signed_block_events_request``, for filtered blocks."""
        return EventsRequest(self.inner.new_signed_filtered_block_events_request(raw, signature), self._loop)

    def new_signed_block_and_private_data_events_request(
        self, raw: bytes, signature: bytes
    ) -> EventsRequest[Any]:
        """As ``new_signed_block_events_request``, for blocks with private data."""
        inner = self.inner.new_signed_block_and_private_data_events_request(raw, signature)
        return EventsRequest(inner, self._loop)

    def close(self) -> None:
        """End every call and stream; further ones raise GatewayClosed."""
        self._loop.run(self.inner.close())

    def __enter__(self) -> Gateway:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Network:
    """As ``ledger.fabric.Network``."""

    def __init__(self, inner: core.Network, loop: LoopThread) -> None:
        self._inner = inner
        self._loop = loop
        self.name = inner.name

    def get_contract(self, chaincode: str, contract: str = "") -> Contract:
        """A chaincode; of one that holds several contracts, the one of that name."""
        return Contract(self._inner.get_contract(chaincode, contract), self._loop)

    def new_chaincode_events_request(self, chaincode: str, **request: Any) -> EventsRequest[ChaincodeEvent]:
        """As ``ledger.fabric.Network.new_chaincode_events_request``."""
        return EventsRequest(self._inner.new_chaincode_events_request(chaincode, **request), self._loop)

    def new_block_events_request(self, **request: Any) -> EventsRequest[Any]:
        """As ``ledger.fabric.Network.new_block_events_request``."""
        return EventsRequest(self._inner.new_block_events_request(**request), self._loop)

    def get_chaincode_events(self, chaincode: str, **request: Any) -> Events[ChaincodeEvent]:
        """As ``ledger.fabric.Network.get_chaincode_events``."""
        return Events(lambda: self._inner.get_chaincode_events(chaincode, **request), self._loop)

    def get_block_events(self, **request: Any) -> Events[Any]:
        """As ``ledger.fabric.Network.get_block_events``."""
        return Events(lambda: self._inner.get_block_events(**request), self._loop)

    def get_filtered_block_events(self, **request: Any) -> Events[Any]:
        """As ``ledger.fabric.Network.get_filtered_block_events``."""
        return Events(lambda: self._inner.get_filtered_block_events(**request), self._loop)

    def get_block_and_private_data_events(self, **request: Any) -> Events[Any]:
        """As ``ledger.fabric.Network.get_block_and_private_data_events``."""
        return Events(lambda: self._inner.get_block_and_private_data_events(**request), self._loop)


class Events(Generic[T]):
    """An iterator that ends its stream when it is closed; use it in a ``with``."""

    def __init__(self, open_: Callable[[], CoreEvents[T]], loop: LoopThread) -> None:
        self._loop = loop
        self._inner = open_()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        try:
            return self._loop.run(self._next())
        except StopAsyncIteration:
            raise StopIteration from None

    async def _next(self) -> T:
        return await self._inner.__anext__()

    def close(self) -> None:
        """End the stream. From another thread: only while nobody waits in ``next``."""
        self._loop.run(self._inner.close())

    def __enter__(self) -> Events[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Signable:
    """What can be signed elsewhere."""

    _inner: CoreRequest[Any] | transactions.Proposal | transactions.Transaction | transactions.Commit

    def get_bytes(self) -> bytes:
        """The message, serialised."""
        return self._inner.get_bytes()

    def get_digest(self) -> bytes:
        """What is to be signed."""
        return self._inner.get_digest()


class EventsRequest(_Signable, Generic[T]):
    """As ``ledger.fabric.ChaincodeEventsRequest`` and ``BlockEventsRequest``."""

    def __init__(self, inner: CoreRequest[T], loop: LoopThread) -> None:
        self._inner: CoreRequest[T] = inner
        self._loop = loop

    def get_events(self, options: CallOptions | None = None) -> Events[T]:
        """Open the stream when it is first read."""
        return Events(lambda: self._inner.get_events(options), self._loop)


class Contract:
    """As ``ledger.fabric.Contract``."""

    def __init__(self, inner: core.Contract, loop: LoopThread) -> None:
        self._inner = inner
        self._loop = loop
        self.chaincode_name = inner.chaincode_name
        self.contract_name = inner.contract_name

    @property
    def msp_id(self) -> str:
        """As ``ledger.fabric.Contract.msp_id``."""
        return self._inner.msp_id

    def new_proposal(
        self, transaction_name: str, arguments: Sequence[Argument] = (), **options: Any
    ) -> Proposal:
        """As ``ledger.fabric.Contract.new_proposal``."""
        return Proposal(self._inner.new_proposal(transaction_name, arguments, **options), self._loop)

    def evaluate_transaction(self, name: str, *arguments: Argument) -> bytes:
        """Evaluate, and give the result."""
        return self._loop.run(self._inner.evaluate_transaction(name, *arguments))

    def submit_transaction(self, name: str, *arguments: Argument) -> bytes:
        """Endorse, submit, wait for the commit, and give the result."""
        return self._loop.run(self._inner.submit_transaction(name, *arguments))

    def submit_async(
        self, transaction_name: str, arguments: Sequence[Argument] = (), **options: Any
    ) -> SubmittedTransaction:
        """Endorse and submit; the commit can be waited for later."""
        inner = self._loop.run(self._inner.submit_async(transaction_name, arguments, **options))
        return SubmittedTransaction(inner, self._loop)

    def submit_until_committed(
        self, transaction_name: str, arguments: Sequence[Argument] = (), **options: Any
    ) -> Committed:
        """As ``ledger.fabric.submit_until_committed``."""
        return self._loop.run(submit_until_committed(self._inner, transaction_name, arguments, **options))


class Proposal(_Signable):
    """As ``ledger.fabric.Proposal``."""

    def __init__(self, inner: transactions.Proposal, loop: LoopThread) -> None:
        self._inner: transactions.Proposal = inner
        self._loop = loop
        self.transaction_id = inner.transaction_id

    def evaluate(self, options: CallOptions | None = None) -> bytes:
        """Run the call on one peer and give its result."""
        return self._loop.run(self._inner.evaluate(options))

    def endorse(self, options: CallOptions | None = None) -> Transaction:
        """Have peers endorse the call."""
        return Transaction(self._loop.run(self._inner.endorse(options)), self._loop)


class Transaction(_Signable):
    """As ``ledger.fabric.Transaction``."""

    def __init__(self, inner: transactions.Transaction, loop: LoopThread) -> None:
        self._inner: transactions.Transaction = inner
        self._loop = loop
        self.transaction_id = inner.transaction_id

    def get_result(self) -> bytes:
        """What the chaincode answered."""
        return self._inner.get_result()

    def get_endorsers(self) -> tuple[str, ...]:
        """As ``ledger.fabric.Transaction.get_endorsers``."""
        return self._inner.get_endorsers()

    def submit(self, options: CallOptions | None = None) -> SubmittedTransaction:
        """Hand the transaction to the ordering service."""
        return SubmittedTransaction(self._loop.run(self._inner.submit(options)), self._loop)

    def submitted(self) -> SubmittedTransaction:
        """The commit to wait for, without submitting: for when it is not known whether that succeeded."""
        return SubmittedTransaction(self._inner.submitted(), self._loop)


class Commit(_Signable):
    """As ``ledger.fabric.Commit``."""

    def __init__(self, inner: transactions.Commit, loop: LoopThread) -> None:
        self._inner: transactions.Commit = inner
        self._loop = loop
        self.transaction_id = inner.transaction_id

    def get_status(self, options: CallOptions | None = None) -> Status:
        """Wait until the transaction stands in a block."""
        return self._loop.run(self._inner.get_status(options))


class SubmittedTransaction(Commit):
    """As ``ledger.fabric.SubmittedTransaction``."""

    def __init__(self, inner: transactions.SubmittedTransaction, loop: LoopThread) -> None:
        super().__init__(inner, loop)
        self._submitted = inner

    def get_result(self) -> bytes:
        """What the chaincode answered; it holds if the commit is successful."""
        return self._submitted.get_result()
