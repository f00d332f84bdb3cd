"""The world state as a Fabric peer serves it over the chaincode stream, one transaction at a time.

A peer answers one request of a transaction at a time, matched by channel and transaction id. Writes are held
back and sent when the contract has succeeded: nobody sees them before, and a refusal sends none. Where the
peer offers it (Fabric 3.1 does, in its READY), many keys are read and written in one request.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fabric_protos.ledger.queryresult import kv_query_result_pb2
from fabric_protos.peer import chaincode_pb2, chaincode_shim_pb2

from chaincode.errors import ContractError, PeerRefused, StreamLost

__all__ = ["SINGLY", "Exchange", "Offer", "PeerState"]

Message: Final[Any] = chaincode_shim_pb2.ChaincodeMessage
_Record: Final[Any] = chaincode_shim_pb2.WriteRecord

_BATCH_BYTES: Final = 16 * 1024 * 1024  # of writes in one message: far below gRPC's limit on the stream

# Fabric's own shim does the same: an empty start would reach the composite keys below U+0001.
_FIRST_SIMPLE_KEY: Final = "\x01"


@dataclass(frozen=True)
class Offer:
    """How many keys the peer takes in one request; 1 where it takes only requests for one key."""

    reads: int
    writes: int

    @classmethod
    def from_ready(cls, payload: bytes) -> Offer:
        """Read a READY's payload; peers before 3.1 send none.

        Raises:
            google.protobuf.message.DecodeError: it cannot be read.
        """
        offered = chaincode_pb2.ChaincodeAdditionalParams.FromString(payload)
        return cls(
            reads=max(1, offered.max_size_get_multiple_keys if offered.use_get_multiple_keys else 1),
            writes=max(1, offered.max_size_write_batch if offered.use_write_batch else 1),
        )


SINGLY: Final = Offer(reads=1, writes=1)
"""What every peer takes."""


class Exchange:
    """Requests of one transaction and the peer's answers to them."""

    def __init__(self, send: Callable[[Any], None], channel: str, transaction: str) -> None:
        self._send = send
        self._channel = channel
        self._transaction = transaction
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._last: Callable[[Any], None] | None = None
        self.is_open = True

    def deliver(self, answer: Any) -> None:
        """Hand in the peer's answer; None when the stream is lost."""
        with self._lock:
            last, self._last = self._last, None
            if last is None:
                self._answers.put(answer)
        if last is not None:
            last(answer)

    def ask_last(self, kind: int, payload: bytes, done: Callable[[ContractError | None], None]) -> None:
        """Send the last request and do not wait: to wake a thread for its answer costs more than to take it.

        Args:
            kind: as ``ask``.
            payload: as ``ask``.
            done: called once with what ``ask`` would have raised, or None, by whoever delivers the answer.

        Raises:
            PeerRefused: the peer has answered what it was not asked.
            StreamLost: as ``ask``.
        """

        def last(answer: Any) -> None:
            try:
                self._read(kind, answer)
            except ContractError as error:
                done(error)
            else:
                done(None)

        self._check_open()
        with self._lock:
            self.is_open = False  # whoever asked now would wait for ever
            is_early = not self._answers.empty()
            if not is_early:
                self._last = last
        if is_early:
            self._read(kind, self._answers.get())
            raise PeerRefused("the peer answered what it was not asked")
        self._request(kind, payload)

    def ask(self, kind: int, payload: bytes) -> bytes:
        """Send one request and wait for its answer.

        Raises:
            PeerRefused: the peer answered ERROR, or with something else than an answer.
            StreamLost: the stream, or the transaction, has ended.
        """
        self._check_open()
        self._request(kind, payload)
        return self._read(kind, self._answers.get())

    def _request(self, kind: int, payload: bytes) -> None:
        self._send(Message(type=kind, payload=payload, txid=self._transaction, channel_id=self._channel))

    def _check_open(self) -> None:
        if not self.is_open:
            raise StreamLost("the transaction is over")

    def _read(self, kind: int, answer: Any) -> bytes:
        if answer is None:
            self.is_open = False
            raise StreamLost("the stream to the peer ended")
        if answer.type != Message.RESPONSE:
            name = Message.Type.Name(answer.type)
            raise PeerRefused(f"the peer answered {Message.Type.Name(kind)} with {name}")
        return bytes(answer.payload)


class PeerState:
    """``chaincode.context.WorldState`` over an exchange."""

    def __init__(self, exchange: Exchange, offer: Offer = SINGLY) -> None:
        self._exchange = exchange
        self._offer = offer
        self._writes: dict[str, bytes | None] = {}
        self.event: tuple[str, bytes] | None = None

    def get(self, key: str) -> bytes | None:
        """The committed value; Fabric's peer answers a missing key with no bytes."""
        request = chaincode_shim_pb2.GetState(key=key)
        return self._exchange.ask(Message.GET_STATE, request.SerializeToString()) or None

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The committed values in the keys' order, in as few requests as the peer allows.

        Raises:
            PeerRefused: the peer answers with another number of values.
        """
        if self._offer.reads == 1:
            return [self.get(key) for key in keys]
        values: list[bytes | None] = []
        for at in range(0, len(keys), self._offer.reads):
            page = keys[at : at + self._offer.reads]
            request = chaincode_shim_pb2.GetStateMultiple(keys=page)
            answer = self._exchange.ask(Message.GET_STATE_MULTIPLE, request.SerializeToString())
            found = chaincode_shim_pb2.GetStateMultipleResult.FromString(answer).values
            # Fabric 3.1.5 answers a read that failed in its database with no values instead of an ERROR.
            if len(found) != len(page):
                raise PeerRefused(f"the peer answered {len(page)} keys with {len(found)} values")
            values.extend(value or None for value in found)
        return values

    def put(self, key: str, value: bytes) -> None:
        """Hold a write back until ``flush``.

        Raises:
            ValueError: an empty key or value, which Fabric refuses or takes for none.
        """
        if not key or not value:
            raise ValueError("a key and its value are not empty")
        self._writes[key] = value

    def delete(self, key: str) -> None:
        """Hold a removal back until ``flush``."""
        self._writes[key] = None

    def range(self, start: str, end: str) -> Iterator[tuple[str, bytes]]:
        """Committed keys page by page; the peer's iterator is closed when the caller stops early."""
        request = chaincode_shim_pb2.GetStateByRange(startKey=start or _FIRST_SIMPLE_KEY, endKey=end)
        page = self._page(Message.GET_STATE_BY_RANGE, request.SerializeToString())
        # The peer forgets its iterator by itself with the last page.
        is_open = page.has_more
        try:
            while True:
                for result in page.results:
                    pair = kv_query_result_pb2.KV.FromString(result.resultBytes)
                    yield pair.key, bytes(pair.value)
                if not page.has_more:
                    return
                following = chaincode_shim_pb2.QueryStateNext(id=page.id)
                page = self._page(Message.QUERY_STATE_NEXT, following.SerializeToString())
                is_open = page.has_more
        finally:
            # A generator that is collected late must not ask for what the peer has forgotten.
            if is_open and self._exchange.is_open:
                closing = chaincode_shim_pb2.QueryStateClose(id=page.id)
                self._exchange.ask(Message.QUERY_STATE_CLOSE, closing.SerializeToString())

    def set_event(self, name: str, payload: bytes) -> None:
        """Keep the transaction's event for its completion."""
        self.event = (name, payload)

    def flush(self, done: Callable[[ContractError | None], None]) -> None:
        """Send every write; the last one's answer is not waited for.

        Args:
            done: called once, with None when all are taken, or with why the transaction must not complete
                as a success: here where nothing was written, else by whoever delivers the last answer.

        Raises:
            PeerRefused, StreamLost: as ``Exchange.ask``; ``done`` is not called then.
        """
        waiting: tuple[int, bytes] | None = None
        for request in self._requests():
            if waiting is not None:
                self._exchange.ask(*waiting)
            waiting = request
        if waiting is None:
            done(None)
        else:
            self._exchange.ask_last(*waiting, done)

    def _requests(self) -> Iterator[tuple[int, bytes]]:
        """Kind and payload of every request that the writes take."""
        if self._offer.writes == 1:
            for key, value in self._writes.items():
                if value is None:
                    yield Message.DEL_STATE, chaincode_shim_pb2.DelState(key=key).SerializeToString()
                else:
                    write = chaincode_shim_pb2.PutState(key=key, value=value)
                    yield Message.PUT_STATE, write.SerializeToString()
            return
        batch, size = chaincode_shim_pb2.WriteBatchState(), 0
        for key, value in self._writes.items():
            if len(batch.rec) == self._offer.writes or size > _BATCH_BYTES:
                yield Message.WRITE_BATCH_STATE, batch.SerializeToString()
                batch, size = chaincode_shim_pb2.WriteBatchState(), 0
            if value is None:
                batch.rec.add(key=key, type=_Record.DEL_STATE)
            else:
                batch.rec.add(key=key, value=value, type=_Record.PUT_STATE)
                size += len(value)
        if batch.rec:
            yield Message.WRITE_BATCH_STATE, batch.SerializeToString()

    def _page(self, kind: int, payload: bytes) -> Any:
        return chaincode_shim_pb2.QueryResponse.FromString(self._exchange.ask(kind, payload))
