"""Chaincode as a service: runs the contracts beside a Fabric peer, over the official protos.

The peer connects to this server and speaks one bidirectional stream of ``ChaincodeMessage``. One queue feeds
the stream's writer, so concurrent transactions never write at once; each transaction runs in a thread of a
bounded pool and always gets its COMPLETED, whatever the contract does. Logs name transactions and types, never
keys or values. docs/decisions/0002 says why the official Python shim is not used.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass
from typing import Any, Final

import grpc
from fabric_protos.peer import (
    chaincode_event_pb2,
    chaincode_pb2,
    chaincode_shim_pb2,
    chaincode_shim_pb2_grpc,
    proposal_response_pb2,
)
from google.protobuf.message import DecodeError

from chaincode.context import Context
from chaincode.errors import ContractError, InternalError, InvalidArgument
from chaincode.peer_state import Exchange, PeerState, StreamLost
from chaincode.proposals import read_proposal

__all__ = ["Busy", "ChaincodeServer", "Invoke", "Limits", "TlsFiles"]

Invoke = Callable[[Context, str, bytes], bytes]
Message: Final[Any] = chaincode_shim_pb2.ChaincodeMessage

_OK: Final = 200
_MAX_MESSAGE: Final = 100 * 1024 * 1024  # bytes; Fabric's own limit between peer and chaincode
_STREAMS: Final = 8
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", _MAX_MESSAGE),
    ("grpc.max_send_message_length", _MAX_MESSAGE),
    # A peer pings idle chaincode every minute (core.yaml, chaincode.keepalive); gRPC would take it as abuse.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.so_reuseport", 0),
)

_log = logging.getLogger(__name__)


class Busy(ContractError):
    """More transactions are open than this server runs at once; try again."""

    CODE = "busy"
    STATUS = 503


@dataclass(frozen=True)
class Limits:
    """How much is done at once."""

    workers: int = 32
    """Threads that run contracts; each spends most of its time waiting for the peer."""
    open_transactions: int = 2_000
    """Running and waiting, over all streams; more are refused as busy. A peer admits 2,500 endorsements."""


@dataclass(frozen=True)
class TlsFiles:
    """PEM contents for TLS towards the peer; with ``client_roots`` the peer must show a certificate."""

    key: bytes
    certificate: bytes
    client_roots: bytes | None = None


class ChaincodeServer:
    """Serves one chaincode package to its peer."""

    def __init__(
        self,
        invoke: Invoke,
        package: str,
        address: str,
        *,
        tls: TlsFiles | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Bind; nothing is answered before ``start``.

        Args:
            invoke: runs one call, ``chaincode.registry.invoke``.
            package: the package id that the peer knows (``label:hash``).
            address: host:port; port 0 takes a free one, see ``port``.
            tls: None for plain text, which is for loopback only.
            limits: None for the defaults.

        Raises:
            RuntimeError: the address cannot be bound.
        """
        limits = limits or Limits()
        self._pool = futures.ThreadPoolExecutor(limits.workers, thread_name_prefix="contract")
        slots = threading.BoundedSemaphore(limits.open_transactions)
        servicer = _Servicer(invoke, package, self._pool, slots)
        streams = futures.ThreadPoolExecutor(_STREAMS, thread_name_prefix="stream")
        self._server = grpc.server(streams, options=_OPTIONS, maximum_concurrent_rpcs=_STREAMS)
        chaincode_shim_pb2_grpc.add_ChaincodeServicer_to_server(servicer, self._server)
        if tls is None:
            self.port: int = self._server.add_insecure_port(address)
        else:
            credentials = grpc.ssl_server_credentials(
                [(tls.key, tls.certificate)],
                root_certificates=tls.client_roots,
                require_client_auth=tls.client_roots is not None,
            )
            self.port = self._server.add_secure_port(address, credentials)

    def start(self) -> None:
        """Begin to serve."""
        self._server.start()

    def stop(self, grace: float) -> None:
        """End the streams after at most ``grace`` seconds, then the workers."""
        self._server.stop(grace).wait()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def wait(self) -> None:
        """Block until the server has stopped."""
        self._server.wait_for_termination()


class _Servicer(chaincode_shim_pb2_grpc.ChaincodeServicer):  # type: ignore[misc]  # generated, untyped
    def __init__(
        self,
        invoke: Invoke,
        package: str,
        pool: futures.ThreadPoolExecutor,
        slots: threading.BoundedSemaphore,
    ) -> None:
        self._invoke = invoke
        self._package = package
        self._pool = pool
        self._slots = slots

    def Connect(self, request_iterator: Iterator[Any], context: Any) -> Iterator[Any]:  # noqa: N802 - gRPC's name
        """One stream: this thread writes, another reads."""
        stream = _Stream(self._invoke, self._pool, self._slots)
        reader = threading.Thread(
            target=stream.read, args=(request_iterator,), name="chaincode-reader", daemon=True
        )
        context.add_callback(stream.end)
        _log.info("a peer connected")
        yield Message(
            type=Message.REGISTER,
            payload=chaincode_pb2.ChaincodeID(name=self._package).SerializeToString(),
        )
        reader.start()
        yield from stream.outgoing()
        _log.info("a stream ended")


class _Stream:
    """State of one stream: what goes out, and who waits for which answer."""

    def __init__(
        self, invoke: Invoke, pool: futures.ThreadPoolExecutor, slots: threading.BoundedSemaphore
    ) -> None:
        self._invoke = invoke
        self._pool = pool
        self._slots = slots
        self._out: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._exchanges: dict[tuple[str, str], Exchange] = {}
        self._ended = False

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
            _log.error("the reader failed: %s", type(error).__name__)
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
        elif message.type in (Message.REGISTERED, Message.READY):
            _log.info("the peer says %s", Message.Type.Name(message.type))
        else:
            _log.warning("a message of type %s is not expected", Message.Type.Name(message.type))

    def _begin(self, message: Any) -> None:
        name = (message.channel_id, message.txid)
        if not self._slots.acquire(blocking=False):
            self._complete(message, Busy("too many open transactions; try again"))
            return
        exchange = Exchange(self._out.put, *name)
        with self._lock:
            known = name in self._exchanges
            if not known and not self._ended:
                self._exchanges[name] = exchange
        if known:
            # The peer opens a transaction once; a second one would steal the first one's answers.
            self._slots.release()
            _log.error("transaction %s is open already", message.txid[:16])
            return
        try:
            self._pool.submit(self._run, message, exchange)
        except RuntimeError:  # the pool is shut down: the server is stopping
            self._forget(name)
            self._complete(message, Busy("the chaincode is stopping"))

    def _run(self, message: Any, exchange: Exchange) -> None:
        state = PeerState(exchange)
        outcome: bytes | ContractError
        try:
            outcome = self._call(message, state)
            state.flush()
        except ContractError as error:
            outcome = error
        except BaseException as error:  # even SystemExit: a peer that gets no reply waits for 30 s
            _log.error("transaction %s failed: %s", message.txid[:16], type(error).__name__)
            outcome = InternalError("the chaincode failed; its log names the transaction")
        self._forget((message.channel_id, message.txid))
        if isinstance(outcome, StreamLost):
            _log.info("transaction %s lost its stream", message.txid[:16])
            return
        self._complete(message, outcome, state.event)

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

    def _forget(self, name: tuple[str, str]) -> None:
        with self._lock:
            self._exchanges.pop(name, None)
        self._slots.release()

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
