"""The world state as a Fabric peer serves it over the chaincode stream, one transaction at a time.

A peer answers one request of a transaction at a time, matched by channel and transaction id. Writes are held
back and sent when the contract has succeeded: nobody sees them before, and a refusal sends none.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from typing import Any, Final

from fabric_protos.ledger.queryresult import kv_query_result_pb2
from fabric_protos.peer import chaincode_shim_pb2

from chaincode.errors import ContractError

__all__ = ["Exchange", "PeerRefused", "PeerState", "StreamLost"]

Message: Final[Any] = chaincode_shim_pb2.ChaincodeMessage

# Fabric's own shim does the same: an empty start would reach the composite keys below U+0001.
_FIRST_SIMPLE_KEY: Final = "\x01"


class PeerRefused(ContractError):
    """The peer answered a state request with ERROR; its text may quote values and is left in its own log."""

    CODE = "peer-refused"
    STATUS = 500


class StreamLost(ContractError):
    """The stream to the peer ended while the contract ran."""

    CODE = "stream-lost"
    STATUS = 500


class Exchange:
    """Requests of one transaction and the peer's answers to them."""

    def __init__(self, send: Callable[[Any], None], channel: str, transaction: str) -> None:
        self._send = send
        self._channel = channel
        self._transaction = transaction
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.is_open = True

    def deliver(self, answer: Any) -> None:
        """Hand in the peer's answer; None when the stream is lost."""
        self._answers.put(answer)

    def ask(self, kind: int, payload: bytes) -> bytes:
        """Send one request and wait for its answer.

        Raises:
            PeerRefused: the peer answered ERROR, or with something else than an answer.
            StreamLost: the stream, or the transaction, has ended.
        """
        if not self.is_open:
            raise StreamLost("the transaction is over")
        self._send(Message(type=kind, payload=payload, txid=self._transaction, channel_id=self._channel))
        answer = self._answers.get()
        if answer is None:
            self.is_open = False
            raise StreamLost("the stream to the peer ended")
        if answer.type != Message.RESPONSE:
            name = Message.Type.Name(answer.type)
            raise PeerRefused(f"the peer answered {Message.Type.Name(kind)} with {name}")
        return bytes(answer.payload)


class PeerState:
    """``chaincode.context.WorldState`` over an exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._writes: dict[str, bytes | None] = {}
        self.event: tuple[str, bytes] | None = None

    def get(self, key: str) -> bytes | None:
        """The committed value; Fabric's peer answers a missing key with no bytes."""
        request = chaincode_shim_pb2.GetState(key=key)
        return self._exchange.ask(Message.GET_STATE, request.SerializeToString()) or None

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

    def flush(self) -> None:
        """Send every write.

        Raises:
            PeerRefused, StreamLost: as ``Exchange.ask``; the transaction must not complete as a success.
        """
        for key, value in self._writes.items():
            if value is None:
                removal = chaincode_shim_pb2.DelState(key=key)
                self._exchange.ask(Message.DEL_STATE, removal.SerializeToString())
            else:
                write = chaincode_shim_pb2.PutState(key=key, value=value)
                self._exchange.ask(Message.PUT_STATE, write.SerializeToString())

    def _page(self, kind: int, payload: bytes) -> Any:
        return chaincode_shim_pb2.QueryResponse.FromString(self._exchange.ask(kind, payload))
