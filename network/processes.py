"""What runs: the command and environment of every process of a network."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable
from types import MappingProxyType
from typing import Final

from network.child import ProcessSpec
from network.layout import Layout
from network.packages import Package, connections_folder, packages_in_use
from network.peer_config import CONNECTIONS, LOGGING
from network.programs import Programs
from network.topology import Node, Topology

__all__ = ["all_processes", "chaincode_node", "chaincode_process", "expected_nodes", "node_process"]

_LOGGING: Final = {
    "FABRIC_LOGGING_SPEC": LOGGING,
    # As Fabric's own, without colours: logs are files.
    "FABRIC_LOGGING_FORMAT": "%{time:2006-01-02 15:04:05.000 MST} %{id:04x} %{level:.4s} [%{module}] "
    "%{shortfunc} -> %{message}",
}


def expected_nodes(layout: Layout, topology: Topology) -> tuple[Node, ...]:
    """The topology's processes as they should run now.

    A chaincode has its present name and port, and two of each while one package replaces another.
    """
    packages = packages_in_use(layout) or [Package.make(1)]
    found: list[Node] = []
    for node in topology.nodes:
        if node.kind == "chaincode":
            found += [chaincode_node(node, package) for package in packages]
        else:
            found.append(node)
    return tuple(found)


def chaincode_node(node: Node, package: Package) -> Node:
    """The process of one package: neighbouring numbers have different names and different ports."""
    name = node.name if package.number == 1 else f"{node.name}.{package.number}"
    port = node.ports["grpc" if package.number % 2 else "next"]
    return dataclasses.replace(node, name=name, ports=MappingProxyType({"grpc": port}))


def node_process(layout: Layout, topology: Topology, programs: Programs, node: Node) -> ProcessSpec:
    """An orderer or a peer, by absolute paths alone."""
    folder = layout.node(node.name)
    environment = {"FABRIC_CFG_PATH": str(folder), **_LOGGING}
    roots = [str(layout.tls_roots(msp_id)) for msp_id in topology.chain(node.chain).msp_ids]
    reads = [str(folder / "msp"), str(folder / "tls"), *roots]
    if node.kind == "orderer":
        reads.append(str(folder / "orderer.yaml"))
        return ProcessSpec(node.name, [str(programs.orderer)], environment, reads)
    environment[CONNECTIONS] = str(connections_folder(layout, node))
    reads.append(str(folder / "core.yaml"))
    return ProcessSpec(node.name, [str(programs.peer), "node", "start"], environment, reads)


def chaincode_process(layout: Layout, node: Node, package: Package) -> ProcessSpec:
    """The service that runs our contracts for one peer."""
    tls = layout.node(node.name) / "tls"
    process = chaincode_node(node, package)
    return ProcessSpec(
        process.name,
        [
            *(sys.executable, "-m", "chaincode"),
            *("--address", process.bound("grpc")),
            *("--ccid", package.package_id),
            *("--tls-key", str(tls / "key.pem")),
            *("--tls-certificate", str(tls / "cert.pem")),
            *("--tls-client-roots", str(layout.tls_roots(node.msp_id))),
        ],
        reads=[str(tls), str(layout.tls_roots(node.msp_id))],
    )


def all_processes(
    layout: Layout, topology: Topology, programs: Programs, nodes: Iterable[Node]
) -> list[ProcessSpec]:
    """Every process of ``nodes``, with chaincode of every package in use."""
    packages = packages_in_use(layout)
    found = []
    for node in nodes:
        if node.kind == "chaincode":
            found += [chaincode_process(layout, node, package) for package in packages]
        else:
            found.append(node_process(layout, topology, programs, node))
    return found
