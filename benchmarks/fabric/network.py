"""The benchmark's own networks: fresh, below one folder, with the contract of Table I on every edge."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final

from benchmarks.contract import Put
from benchmarks.errors import MeasurementFailed
from benchmarks.scale import Say
from edgeproof.ready import probe
from edgeproof.settings import Settings
from edgeproof.setup import adopt_network
from identity import Role, Signer
from ledger.errors import LedgerError
from ledger.fabric_ledger import FabricLedger
from network import Network, Topology, down, up
from network.chain_admin import ChainAdmin
from network.child import ProcessSpec
from network.packages import Package, make_package
from network.programs import find_programs
from network.supervisor import Supervisor
from network.topology import Batch, Node
from network.topology_file import load_topology, named_topology

__all__ = [
    "CHAINCODE",
    "PAPER_EDGE",
    "TUNED_EDGE",
    "BenchNetwork",
    "bench_network",
    "default_network",
    "serving",
]

CHAINCODE: Final = "bench"
TUNED_EDGE: Final = "edge-a"
"""The edge at our default batch settings."""
PAPER_EDGE: Final = "edge-b"
"""The edge at the paper's: 2 s or 10 transactions."""

_FIRST_PORT: Final = 27050
_DEFAULT_FIRST_PORT: Final = 28050
_READY_S: Final = 60.0


class BenchNetwork(AbstractContextManager["BenchNetwork"]):
    """A running network with the contract of Table I beside every edge's peers."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._open = ExitStack()

    def ledger(self, edge: str) -> FabricLedger:
        """The contract of Table I on an edge, for a client of its first organisation."""
        msp_id = self.network.chain(edge).operator
        ledger = FabricLedger(
            self.network.peer(edge, msp_id),
            edge,
            submitter=Signer.load(self.client(edge), msp_id=msp_id),
            chaincode=CHAINCODE,
        )
        self._open.callback(ledger.close)
        return ledger

    def client(self, edge: str) -> Path:
        """The folder of the identity that ``ledger`` uses."""
        return self.network.layout.identity(self.network.chain(edge).operator, Role.CLIENT.value)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the ledgers."""
        self._open.close()


@contextmanager
def bench_network(folder: Path, say: Say) -> Iterator[BenchNetwork]:
    """Two small edges that differ in their batch settings, made anew in ``folder`` and ended afterwards.

    Raises:
        MeasurementFailed: the contract of Table I does not come up.
        NetworkError: the network does not.
    """
    topology = load_topology(named_topology("dev"))
    (edge,) = topology.edges
    paper = dataclasses.replace(
        edge,
        chain=PAPER_EDGE,
        organisations=tuple(name.replace(TUNED_EDGE, PAPER_EDGE) for name in edge.organisations),
        orderers={name.replace(TUNED_EDGE, PAPER_EDGE): count for name, count in edge.orderers.items()},
        batch=Batch(timeout="2s", messages=10),
    )
    topology = dataclasses.replace(topology, name="bench", edges=(edge, paper), first_port=_FIRST_PORT)
    with (
        _fresh(folder, topology, say) as network,
        serving(network, (TUNED_EDGE, PAPER_EDGE), folder / "logs") as bench,
    ):
        yield bench


@contextmanager
def serving(network: Network, edges: Sequence[str], logs: Path) -> Iterator[BenchNetwork]:
    """The contract of Table I deployed on edges of a running network, and served until the end.

    Raises:
        MeasurementFailed: it does not come up.
        NetworkError: it cannot be deployed.
    """
    with Supervisor(logs) as supervisor, BenchNetwork(network) as bench:
        for edge in edges:
            _deploy(network, edge, supervisor)
        for edge in edges:
            _await(bench.ledger(edge))
        yield bench


@contextmanager
def default_network(folder: Path, say: Say) -> Iterator[Network]:
    """The default topology, made anew in ``folder`` on ports of its own and ended afterwards."""
    with _fresh(folder, default_topology(), say) as network:
        yield network


def default_topology() -> Topology:
    """The checked-in default on the benchmark's ports."""
    return dataclasses.replace(load_topology(named_topology("default")), first_port=_DEFAULT_FIRST_PORT)


@contextmanager
def _fresh(folder: Path, topology: Topology, say: Say) -> Iterator[Network]:
    down(folder)
    shutil.rmtree(folder, ignore_errors=True)
    bin_folder = Settings.from_environment().fabric_bin
    try:
        network = up(folder, topology, probe, fabric_bin=bin_folder, progress=say)
        adopt_network(folder)
        yield network
    finally:
        down(folder)


def _deploy(network: Network, chain: str, supervisor: Supervisor) -> None:
    package = Package.make(1, CHAINCODE)
    make_package(network.layout, package)
    services = {}
    for node in network.topology.select(chain=chain, kind="chaincode"):
        # The port that a successor of the product's chaincode would have.
        services[node.msp_id] = node.at("next")
        supervisor.start(_process(network, node, package))
    programs = find_programs(Settings.from_environment().fabric_bin)
    with ChainAdmin(network, programs, chain) as admin:
        admin.deploy(package, services)


def _process(network: Network, node: Node, package: Package) -> ProcessSpec:
    tls = network.layout.node(node.name) / "tls"
    return ProcessSpec(
        f"{CHAINCODE}.{node.name}",
        [
            *(sys.executable, "-m", "benchmarks.contract"),
            *("--address", node.at("next")),
            *("--ccid", package.package_id),
            *("--tls-key", str(tls / "key.pem")),
            *("--tls-certificate", str(tls / "cert.pem")),
            *("--tls-client-roots", str(network.layout.tls_roots(node.msp_id))),
        ],
    )


def _await(ledger: FabricLedger) -> None:
    end = time.monotonic() + _READY_S
    while True:
        try:
            ledger.submit(Put("ready", "x"), timeout=10)
            return
        except LedgerError as error:
            if time.monotonic() > end:
                raise MeasurementFailed(f"the contract of Table I does not answer: {error}") from error
            time.sleep(0.2)
