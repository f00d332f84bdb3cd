"""A network's folder with everything but running processes."""

from __future__ import annotations

from pathlib import Path

from network.bringup import prepare
from network.files import write_text
from network.layout import Layout
from network.packages import Package, make_package
from network.topology import Topology
from network.topology_file import dump_topology, load_topology, named_topology


def prepared(root: Path, name: str) -> tuple[Layout, Topology]:
    """Identities and configuration of a topology that comes along."""
    layout, topology = Layout.of(root), load_topology(named_topology(name))
    write_text(layout.topology, dump_topology(topology))
    make_package(layout, Package.make(1))
    prepare(layout, topology, topology.chains, topology.nodes)
    return layout, topology
