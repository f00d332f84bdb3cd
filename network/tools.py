"""The environment in which Fabric's ``peer`` tool speaks as an organisation's administrator."""

from __future__ import annotations

from network.layout import Layout
from network.topology import Node

__all__ = ["admin_environment", "orderer_arguments"]


def admin_environment(layout: Layout, peer: Node) -> dict[str, str]:
    """Towards one peer, whose own ``core.yaml`` says where it is and what proves it."""
    return {
        "FABRIC_CFG_PATH": str(layout.node(peer.name)),
        "FABRIC_LOGGING_SPEC": "error",
        "CORE_PEER_MSPCONFIGPATH": str(layout.identity(peer.msp_id, "admin") / "msp"),
    }


def orderer_arguments(layout: Layout, peer: Node, orderer: Node) -> list[str]:
    """Towards one orderer."""
    tls = layout.client_tls_folder(peer.msp_id)
    return [
        *("--orderer", orderer.endpoint),
        *("--tls", "--cafile", str(layout.tls_roots(orderer.msp_id))),
        *("--clientauth", "--certfile", str(tls / "cert.pem"), "--keyfile", str(tls / "key.pem")),
    ]
