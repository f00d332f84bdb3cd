"""What production descriptions of the processes (systemd units, a Compose file) have in common.

Both start the same commands over the same folder as the keeper does. The folder is made by ``up`` once; then
``down``, and from there on the service manager starts and restarts. Keeper and service manager exclude each
other: whoever comes second finds the ports taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from network.child import ProcessSpec
from network.errors import NetworkError, TopologyError
from network.layout import Layout
from network.processes import all_processes
from network.programs import find_programs
from network.topology import Node, NodeKind, Topology
from network.topology_file import load_topology

__all__ = ["Service", "services"]


@dataclass(frozen=True)
class Service:
    """One process as a service manager is to run it."""

    spec: ProcessSpec
    kind: NodeKind
    readable: tuple[Path, ...]
    """All it may read below the network's folder: no other process's keys."""
    writable: tuple[Path, ...]


def services(root: Path, *, host: str | None = None, fabric_bin: Path | None = None) -> list[Service]:
    """The services of a network that was brought up, or of a host's part of it.

    Raises:
        NetworkError: there is no network in ``root``.
        TopologyError: no such host; or there are several and none is given.
        ProgramMissing: a program of Fabric is missing or too old.
    """
    layout = Layout.of(root)
    if not layout.topology.is_file():
        raise NetworkError(f"{root} holds no network; `edgeproof network up --root {root}` makes one")
    topology = load_topology(layout.topology)
    if host is None and len(topology.hosts) > 1:
        raise TopologyError(
            f"the topology has several hosts ({', '.join(topology.hosts)}): say which one (--host)"
        )
    if host is not None and host not in topology.hosts:
        raise TopologyError(f"there is no host {host!r}; there are {', '.join(topology.hosts)}")
    nodes = [node for node in topology.nodes if host in (None, node.host)]
    programs = find_programs(fabric_bin)
    return [
        _service(layout, topology, node, spec)
        for node in nodes
        for spec in all_processes(layout, topology, programs, [node])
    ]


def _service(layout: Layout, topology: Topology, node: Node, spec: ProcessSpec) -> Service:
    folder = layout.node(node.name)
    readable = [folder]
    if node.kind == "peer":
        readable.append(layout.builder)
    readable += [layout.tls_roots(msp_id) for msp_id in topology.chain(node.chain).msp_ids]
    writable = []
    if node.kind != "chaincode":
        data = folder / "data"
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        writable.append(data)
    return Service(spec, node.kind, tuple(readable), tuple(writable))
