"""The gRPC channel to a peer: TLS, mutual TLS, limits, and how soon a lost peer is tried again."""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from typing import Any, Final

import grpc
import grpc.aio

__all__ = ["CallOptions", "Endpoint", "tls_certificate_hash"]

_MAX_MESSAGE: Final = 100 * 1024 * 1024  # bytes; the peer's own limit
_ANSWER_MS: Final = 5_000  # for a peer that is asked whether it is there
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", _MAX_MESSAGE),
    ("grpc.max_send_message_length", _MAX_MESSAGE),
    # A restarted peer is found again within a second, and not after gRPC's two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Streams only receive: without this gRPC soon stops asking whether the peer is still there.
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.keepalive_timeout_ms", _ANSWER_MS),
    ("grpc.http2.ping_timeout_ms", _ANSWER_MS),  # the same to newer versions, else a minute
    # A peer is spoken to directly: a proxy that the environment names could not reach loopback, say.
    ("grpc.enable_http_proxy", 0),
    # One connection a client, even where several clients of a process speak to one peer.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
)


@dataclass(frozen=True)
class CallOptions:
    """How one call is made. What is None comes from the gateway's options for the stage."""

    timeout: float | None = None
    """Seconds until the call fails with DEADLINE_EXCEEDED."""
    metadata: tuple[tuple[str, str], ...] = ()
    wait_for_ready: bool = False
    """Wait for a connection until the time is up, instead of failing at once where there is none."""


@dataclass(frozen=True)
class Endpoint:
    """Where a peer listens, and how it is recognised."""

    address: str
    """host:port."""
    tls_roots: bytes | None = None
    """Authorities of the peer's TLS certificate, PEM; None: no TLS, for loopback only."""
    server_name: str = ""
    """Name in the peer's certificate where it is not the address's host."""
    client_certificate: bytes | None = None
    """PEM, for a peer that wants mutual TLS."""
    client_key: bytes | None = None
    keepalive: float = 65.0
    """After this many silent seconds the peer is asked whether it is there; it has five to answer.

    Not below the peer's ``peer.keepalive.minInterval`` (core.yaml, 60 s where nothing else is said), else it
    takes it for abuse and hangs up.
    """

    def open(self) -> Any:
        """A ``grpc.aio.Channel``. Only inside a running event loop; connects when first used."""
        options: list[tuple[str, Any]] = [
            *_OPTIONS,
            ("grpc.keepalive_time_ms", int(self.keepalive * 1000)),
        ]
        if self.tls_roots is None:
            return grpc.aio.insecure_channel(self.address, options=options)
        if self.server_name:
            options.append(("grpc.ssl_target_name_override", self.server_name))
        credentials = grpc.ssl_channel_credentials(
            root_certificates=self.tls_roots,
            private_key=self.client_key,
            certificate_chain=self.client_certificate,
        )
        return grpc.aio.secure_channel(self.address, credentials, options=options)

    @property
    def tls_certificate_hash(self) -> bytes | None:
        """Hash of the client's TLS certificate, for the channel header; None without mutual TLS."""
        return None if self.client_certificate is None else tls_certificate_hash(self.client_certificate)


def tls_certificate_hash(certificate_pem: bytes) -> bytes:
    """SHA-256 of a certificate's DER: binds a block request to the TLS connection that it comes over."""
    text = certificate_pem.decode("ascii")
    end = "-----END CERTIFICATE-----"
    first = text[: text.index(end) + len(end)]  # of a chain, the client's own
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(first[first.index("-----BEGIN") :])).digest()
