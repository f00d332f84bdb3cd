"""One real Fabric network for a whole run of pytest: the ``dev`` topology, brought up when a test first asks.

Tests that use it carry ``pytest.mark.fabric``. Where Fabric's programs are not found (``FABRIC_BIN``, then
PATH) every test with that mark is skipped, and the run's summary says how many were.
"""

from __future__ import annotations

import dataclasses
import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from network import Network, Topology, down, up
from network.errors import PortTaken, ProgramMissing
from network.programs import find_programs
from network.topology_file import load_topology, named_topology

if TYPE_CHECKING:
    from scratch_chaincode import ScratchChaincode

_LEFT_OUT = "Fabric's programs are missing: "


def fabric_bin() -> Path | None:
    """Where Fabric's programs are, if not on PATH."""
    folder = os.environ.get("FABRIC_BIN")
    return Path(folder) if folder else None


def on_free_ports(topology: Topology) -> Topology:
    """The same topology on ports that nobody listens on now, below those that the system gives to clients."""
    wanted = max(port for node in topology.nodes for port in node.ports.values()) - topology.first_port + 1
    for _ in range(50):
        first = random.randrange(11000, 32000 - wanted)
        if all(_free(port) for port in range(first, first + wanted)):
            return dataclasses.replace(topology, first_port=first)
    raise RuntimeError(f"no {wanted} free ports in a row")


@pytest.fixture(scope="session")
def fabric_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """The ``dev`` network, every chain ready: main and edge-a, two organisations each, one Raft orderer each.

    It is everybody's: a test leaves it as working as it found it, uses names of its own (devices, runs, a
    chaincode of its own), and expects other tests' transactions on the chains.
    """
    root = tmp_path_factory.mktemp("fabric") / "network"
    from edgeproof.ready import probe

    try:
        for attempt in range(3):
            try:
                network = up(
                    root, on_free_ports(load_topology(named_topology("dev"))), probe, fabric_bin=fabric_bin()
                )
                break
            except PortTaken:  # somebody was faster; nothing of ours was started
                if attempt == 2:
                    raise
                (root / "topology.yaml").unlink()
        yield network
    finally:
        down(root)


@pytest.fixture(scope="session")
def scratch_chaincode(fabric_network: Network) -> Iterator[ScratchChaincode]:
    """The scratch contract on edge-a's peers; ``fresh()`` names a chaincode whose state is empty."""
    from scratch_chaincode import ScratchChaincode

    made = ScratchChaincode(fabric_network, "edge-a", fabric_bin=fabric_bin())
    yield made
    made.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("fabric") is not None]
    if not marked:
        return
    try:
        find_programs(fabric_bin())
    except ProgramMissing as problem:
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=f"{_LEFT_OUT}{problem}"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    left_out = [
        report
        for report in terminalreporter.getreports("skipped")
        if isinstance(report, pytest.TestReport) and "fabric" in report.keywords
    ]
    if left_out:
        terminalreporter.section("real Fabric")
        terminalreporter.write_line(f"{len(left_out)} tests of real Hyperledger Fabric were left out.")


def _free(port: int) -> bool:
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
