"""Where a service of the network is reached, and what proves that it is the one."""

from __future__ import annotations

from dataclasses import dataclass

from network.layout import Layout
from network.topology import Node

__all__ = ["Endpoint"]


@dataclass(frozen=True)
class Endpoint:
    """A gRPC service behind TLS."""

    address: str
    """host:port"""
    tls_roots: bytes
    """PEM of the authorities that its certificate must be of."""
    server_name: str
    """A name that its certificate carries."""

    @classmethod
    def of(cls, layout: Layout, node: Node) -> Endpoint:
        """The gRPC service of a process."""
        return cls(node.endpoint, layout.tls_roots(node.msp_id).read_bytes(), node.name)
