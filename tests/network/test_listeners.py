"""A port is looked at where its process will listen, and only where it does not run yet."""

from __future__ import annotations

import dataclasses
import socket
from pathlib import Path

import pytest
from fabric_network import on_free_ports

from network import Topology
from network.layout import Layout
from network.listeners import check_ports
from network.topology import Node
from network.topology_file import load_topology, named_topology

ELSEWHERE = "127.0.0.2"  # another address of this machine, as far as sockets are concerned


@pytest.fixture
def topology() -> Topology:
    dev = on_free_ports(load_topology(named_topology("dev")))
    return dataclasses.replace(dev, hosts={"local": ELSEWHERE})


def taken(folder: Path, topology: Topology) -> list[tuple[str, str]]:
    found = check_ports(Layout.of(folder), topology)
    return [(check.node.name, check.use) for check in found if check.problem]


def listening(node: Node, use: str, address: str) -> socket.socket:
    return socket.create_server((address, node.ports[use]))


@pytest.mark.parametrize(
    ("use", "where"),
    [("grpc", ELSEWHERE), ("admin", ELSEWHERE), ("operations", "127.0.0.1")],
)
def test_each_port_where_it_will_be_listened_on(
    topology: Topology, tmp_path: Path, use: str, where: str
) -> None:
    node = topology.nodes[0]
    other = "127.0.0.1" if where == ELSEWHERE else ELSEWHERE
    with listening(node, use, other):
        assert taken(tmp_path, topology) == []
    with listening(node, use, where):
        assert taken(tmp_path, topology) == [(node.name, use)]


def test_a_name_may_mean_any_of_the_hosts_addresses(topology: Topology, tmp_path: Path) -> None:
    named = dataclasses.replace(topology, hosts={"local": "edge.example"})
    node = named.nodes[0]
    with listening(node, "grpc", ELSEWHERE):
        assert taken(tmp_path, named) == [(node.name, "grpc")]
