"""One stream of ``ChaincodeMessage`` between a Fabric peer and the contracts.

One queue feeds the stream's writer, so concurrent transactions never write at once; each transaction runs in
a thread of a bounded pool, and ends where the answer to its last write arrives, in the reader's. It always
gets its COMPLETED, whatever the contract does. Logs name transactions and types, never keys or values.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any, Final

import grpc
from fabric_protos.peer import (
    chaincode_event_pb2,
    chaincode_pb2,
    chaincode_shim_pb2,
    proposal_response_pb2,
)
from google.protobuf.message import DecodeError

from chaincode.context import Context
from chaincode.errors import Busy, ContractError, InternalError, InvalidArgument, StreamLost
from chaincode.faults import told_safely
from chaincode.peer_state import SINGLY, Exchange, Offer, PeerState
from chaincode.proposals import read_proposal

__all__ = ["Invoke", "PeerStream", "Slots"]

Invoke = Callable[[Context, str, bytes], bytes]
Message: Final[Any] = chaincode_shim_pb2.ChaincodeMessage

_OK: Final = 200

_log = logging.getLogger(__name__)


def _failed(message: Any, error: BaseException) -> InternalError:
    _log.error("transaction %s failed: %s", message.txid[:16], told_safely(error))
    return InternalError("the chaincode failed; its log names the transaction")


class Slots:
    """Counts open transactions: up to a limit, none after ``close``."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open = 0
        self._closed = False
        self._changed = threading.Condition()

    def take(self) -> bool:
        """Open a transaction; False when there is no room."""
        with self._changed:
            if self._closed or self._open >= self._limit:
                return False
            self._open += 1
            return True

    def give_back(self) -> None:
        """A transaction is over."""
        with self._changed:
            self._open -= 1
            self._changed.notify_all()

    def close(self, seconds: float) -> None:
        """Open no more, and wait for the open ones."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: self._open == 0, timeout=seconds)


class PeerStream:
    """State of one stream: what goes out, and who waits for which answer."""

    def __init__(self, invoke: Invoke, pool: futures.ThreadPoolExecutor, slots: Slots) -> None:
        self._invoke = invoke
        self._pool = pool
        self._slots = slots
        self._out: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._exchanges: dict[tuple[str, str], Exchange] = {}
        self._ended = False
        self._offer = SINGLY
        """Set by the peer's READY, which comes before its first transaction."""

    def outgoing(self) -> Iterator[Any]:
        """Everything to send, in order, until the stream ends."""
        while (message := self._out.get()) is not None:
            yield message

    def read(self, incoming: Iterator[Any]) -> None:
        """Take messages until the peer ends the stream or it breaks."""
        try:
            for message in incoming:
                self._take(message)
        except grpc.RpcError:
            _log.info("the stream broke")
        except Exception as error:
            _log.error("the reader failed: %s", told_safely(error))
        finally:
            self.end()

    def end(self) -> None:
        """Wake everybody who waits: no answer comes any more. May be called twice."""
        with self._lock:
            self._ended = True
            waiting = list(self._exchanges.values())
        for exchange in waiting:
            exchange.deliver(None)
        self._out.put(None)

    def _take(self, message: Any) -> None:
        if message.type in (Message.RESPONSE, Message.ERROR):
            with self._lock:
                exchange = self._exchanges.get((message.channel_id, message.txid))
            if exchange is None:
                _log.warning("an answer for no open transaction %s", message.txid[:16])
            else:
                exchange.deliver(message)
        elif message.type == Message.TRANSACTION:
            self._begin(message)
        elif message.type == Message.KEEPALIVE:
            self._out.put(message)
        elif message.type == Message.REGISTERED:
            _log.info("the peer says REGISTERED")
        elif message.type == Message.READY:
            self._ready(message.payload)
        else:
            _log.warning("a message of type %s is not expected", Message.Type.Name(message.type))

    def _ready(self, payload: bytes) -> None:
        try:
            self._offer = Offer.from_ready(payload)
        except DecodeError:
            _log.warning("the peer's READY cannot be read: keys go to it one by one")
        else:
            offer = self._offer
            _log.info(
                "the peer says READY; keys in one request: %d read, %d written", offer.reads, offer.writes
            )

    def _begin(self, message: Any) -> None:
        name = (message.channel_id, message.txid)
        if not self._slots.take():
            self._complete(message, Busy("too many open transactions, or stopping; try again"))
            return
        exchange = Exchange(self._out.put, *name)
        with self._lock:
            refused = self._ended or name in self._exchanges
            if not refused:
                self._exchanges[name] = exchange
        if refused:
            # The peer opens a transaction once; a second one would steal the first one's answers.
            self._slots.give_back()
            _log.error("transaction %s is open already, or its stream has ended", message.txid[:16])
            return
        try:
            self._pool.submit(self._run, message, exchange)
        except RuntimeError:  # the pool is shut down: the server is stopping
            self._forget(name)
            self._complete(message, Busy("the chaincode is stopping"))
            self._slots.give_back()

    def _run(self, message: Any, exchange: Exchange) -> None:
        state = PeerState(exchange, self._offer)
        try:
            outcome = self._call(message, state)
            state.flush(
                lambda failed: self._end_transaction(message, exchange, failed or outcome, state.event)
            )
        except ContractError as error:
            self._end_transaction(message, exchange, error)
        except BaseException as error:  # even SystemExit: a peer that gets no reply waits for 30 s
            self._end_transaction(message, exchange, _failed(message, error))

    def _end_transaction(
        self,
        message: Any,
        exchange: Exchange,
        outcome: bytes | ContractError,
        event: tuple[str, bytes] | None = None,
    ) -> None:
        """A transaction is over: tell the peer. A second end does nothing."""
        exchange.is_open = False
        if not self._forget((message.channel_id, message.txid)):
            return
        try:
            if isinstance(outcome, StreamLost):
                _log.info("transaction %s lost its stream", message.txid[:16])
            else:
                self._complete(message, outcome, event)
        except Exception as error:  # a result or an event that is none; it may be the reader's thread
            self._complete(message, _failed(message, error))
        finally:
            self._slots.give_back()

    def _call(self, message: Any, state: PeerState) -> bytes:
        try:
            arguments = [
                bytes(each) for each in chaincode_pb2.ChaincodeInput.FromString(message.payload).args
            ]
        except DecodeError as error:
            raise InvalidArgument("the chaincode input cannot be read") from error
        if len(arguments) != 2:
            raise InvalidArgument(f"a call is a function and an argument, not {len(arguments)} parts")
        try:
            function = arguments[0].decode()
        except UnicodeDecodeError as error:
            raise InvalidArgument("the function's name is no text") from error
        proposal = read_proposal(message.proposal)
        if (proposal.channel, proposal.transaction) != (message.channel_id, message.txid):
            raise InvalidArgument("the proposal is of another channel or transaction")
        context = Context(
            state=state,
            chain=proposal.channel,
            transaction_id=proposal.transaction,
            timestamp_ms=proposal.timestamp_ms,
            creator=proposal.creator,
        )
        return self._invoke(context, function, arguments[1])

    def _forget(self, name: tuple[str, str]) -> bool:
        with self._lock:
            return self._exchanges.pop(name, None) is not None

    def _complete(
        self, message: Any, outcome: bytes | ContractError, event: tuple[str, bytes] | None = None
    ) -> None:
        if isinstance(outcome, ContractError):
            response = proposal_response_pb2.Response(
                status=outcome.status, message=outcome.response_message()
            )
            event = None
        else:
            response = proposal_response_pb2.Response(status=_OK, payload=outcome)
        completed = Message(
            type=Message.COMPLETED,
            payload=response.SerializeToString(),
            txid=message.txid,
            channel_id=message.channel_id,
        )
        if event is not None:
            completed.chaincode_event.CopyFrom(
                chaincode_event_pb2.ChaincodeEvent(event_name=event[0], payload=event[1])
            )
        self._out.put(completed)
