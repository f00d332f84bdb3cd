"""What runs: the command and environment of every process of a network."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from network.layout import Layout
from network.packages import Package, connections_folder
from network.peer_config import CONNECTIONS, LOGGING
from network.programs import Programs
from network.supervisor import ProcessSpec
from network.topology import Node

__all__ = ["process_of", "processes"]


_LOGGING = {
    "FABRIC_LOGGING_SPEC": LOGGING,
    # As Fabric's own, without colours: logs are files.
    "FABRIC_LOGGING_FORMAT": "%{time:2006-01-02 15:04:05.000 MST} %{id:04x} %{level:.4s} [%{module}] "
    "%{shortfunc} -> %{message}",
}


def processes(
    layout: Layout, programs: Programs, nodes: Sequence[Node], package: Package
) -> list[ProcessSpec]:
    """Every process of ``nodes``, chaincode of ``package``."""
    return [process_of(layout, programs, node, package) for node in nodes]


def process_of(layout: Layout, programs: Programs, node: Node, package: Package) -> ProcessSpec:
    """One process, by absolute paths alone."""
    folder = layout.node(node.name)
    if node.kind == "orderer":
        environment = {"FABRIC_CFG_PATH": str(folder), **_LOGGING}
        return ProcessSpec(node.name, [str(programs.orderer)], environment)
    if node.kind == "peer":
        environment = {
            "FABRIC_CFG_PATH": str(folder),
            **_LOGGING,
            CONNECTIONS: str(connections_folder(layout, node)),
        }
        return ProcessSpec(node.name, [str(programs.peer), "node", "start"], environment)
    tls = folder / "tls"
    return ProcessSpec(
        node.name,
        [
            *(sys.executable, "-m", "chaincode"),
            *("--address", f"{node.listen_address}:{node.ports['grpc']}"),
            *("--ccid", package.package_id),
            *("--tls-key", str(tls / "key.pem")),
            *("--tls-certificate", str(tls / "cert.pem")),
            *("--tls-client-roots", str(layout.tls_roots(node.msp_id))),
        ],
    )
