"""Real Hyperledger Fabric networks: from one topology file to identities, configuration and processes.

The names below are loaded when they are first used: the keeper of a host's processes, which runs for months,
needs none of gRPC.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from network.bringup import add_edge, up, upgrade
    from network.channel_changes import set_batch
    from network.endpoints import Endpoint
    from network.halt import down
    from network.membership import publish_msp, revoke
    from network.network import Network, ReadyProbe
    from network.renewal import renew
    from network.topology import Topology
    from network.topology_file import dump_topology, load_topology, named_topology

__all__ = [
    "Endpoint",
    "Network",
    "ReadyProbe",
    "Topology",
    "add_edge",
    "down",
    "dump_topology",
    "load_topology",
    "named_topology",
    "publish_msp",
    "renew",
    "revoke",
    "set_batch",
    "up",
    "upgrade",
]

_HOMES = {
    "Endpoint": "network.endpoints",
    "Network": "network.network",
    "ReadyProbe": "network.network",
    "Topology": "network.topology",
    "add_edge": "network.bringup",
    "down": "network.halt",
    "dump_topology": "network.topology_file",
    "load_topology": "network.topology_file",
    "named_topology": "network.topology_file",
    "publish_msp": "network.membership",
    "renew": "network.renewal",
    "revoke": "network.membership",
    "set_batch": "network.channel_changes",
    "up": "network.bringup",
    "upgrade": "network.bringup",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'network' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
