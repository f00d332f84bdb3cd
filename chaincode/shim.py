"""Chaincode as a service: runs the contracts beside a Fabric peer, over the official protos.

The peer connects to this server and speaks one bidirectional stream (``peer_stream``). docs/decisions/0002
says why the official Python shim is not used.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass
from typing import Any, Final

import grpc
from fabric_protos.peer import chaincode_pb2, chaincode_shim_pb2, chaincode_shim_pb2_grpc

from chaincode.peer_stream import Invoke, PeerStream, Slots

__all__ = ["ChaincodeServer", "Limits", "TlsFiles"]

Message: Final[Any] = chaincode_shim_pb2.ChaincodeMessage

_MAX_MESSAGE: Final = 100 * 1024 * 1024  # bytes; Fabric's own limit between peer and chaincode
_STREAMS: Final = 8
_FLUSH_SECONDS: Final = 1.0  # for what is written already to reach the peer
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", _MAX_MESSAGE),
    ("grpc.max_send_message_length", _MAX_MESSAGE),
    # A peer pings idle chaincode every minute (core.yaml, chaincode.keepalive); gRPC would take it as abuse.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.so_reuseport", 0),
)

_log = logging.getLogger(__name__)


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
        self._slots = Slots(limits.open_transactions)
        self._servicer = _Servicer(invoke, package, self._pool, self._slots)
        streams = futures.ThreadPoolExecutor(_STREAMS, thread_name_prefix="stream")
        self._server = grpc.server(streams, options=_OPTIONS, maximum_concurrent_rpcs=_STREAMS)
        chaincode_shim_pb2_grpc.add_ChaincodeServicer_to_server(self._servicer, self._server)
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
        """Take no transaction any more, let open ones end within ``grace`` seconds, then end everything."""
        self._slots.close(grace)
        self._servicer.end_streams()
        self._server.stop(_FLUSH_SECONDS).wait()
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
        slots: Slots,
    ) -> None:
        self._invoke = invoke
        self._package = package
        self._pool = pool
        self._slots = slots
        self._streams: set[PeerStream] = set()
        self._lock = threading.Lock()

    def Connect(self, request_iterator: Iterator[Any], context: Any) -> Iterator[Any]:  # noqa: N802 - gRPC's name
        """One stream: this thread writes, another reads."""
        stream = PeerStream(self._invoke, self._pool, self._slots)
        with self._lock:
            self._streams.add(stream)
        context.add_callback(stream.end)
        reader = threading.Thread(
            target=stream.read, args=(request_iterator,), name="chaincode-reader", daemon=True
        )
        _log.info("a peer connected")
        try:
            yield Message(
                type=Message.REGISTER,
                payload=chaincode_pb2.ChaincodeID(name=self._package).SerializeToString(),
            )
            reader.start()
            yield from stream.outgoing()
        finally:
            with self._lock:
                self._streams.discard(stream)
            _log.info("a stream ended")

    def end_streams(self) -> None:
        """Let every stream's writer send what it has, and end."""
        with self._lock:
            streams = list(self._streams)
        for stream in streams:
            stream.end()
