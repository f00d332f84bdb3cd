"""Bringing a network up: from a topology to a transaction on every chain.

Every stage asks what is there and does what is missing, so that ``up`` of a running network changes nothing,
``up`` after ``down`` keeps all state, and ``up`` after anything that was killed anywhere goes on. An upgrade
of the chaincode is no different: its package is written, and what is missing then is done.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from network.chain_admin import ChainAdmin, at_once
from network.configtx import make_genesis
from network.consenters import settle_orderers
from network.control import Keeper
from network.errors import NetworkError, PortTaken, TopologyError
from network.files import write_text, write_yaml
from network.identities import make_node_identities, make_organisations
from network.layout import Layout
from network.listeners import check_ports, port_problems
from network.network import Network, ReadyProbe
from network.orderer_config import orderer_config
from network.packages import Package, make_package, packages_in_use, write_builder, write_connection
from network.peer_config import peer_config
from network.processes import all_processes, chaincode_node, expected_nodes
from network.programs import Programs, find_programs
from network.records import working_alone
from network.restarts import keep_running, wait_until_it_listens
from network.topology import Batch, ChainSpec, Node, Topology
from network.topology_file import dump_topology, load_topology

__all__ = ["Progress", "add_edge", "up", "upgrade"]

Progress = Callable[[str], None]


def up(
    root: Path,
    topology: Topology | None,
    probe: ReadyProbe,
    *,
    host: str | None = None,
    fabric_bin: Path | None = None,
    progress: Progress = lambda line: None,
) -> Network:
    """Bring up a network, or one host's part of it, and return when every chain has taken a transaction.

    Args:
        root: the network's folder, made where it is not.
        topology: what to bring up; None for that of the network that is there. Where one is there it must be
            the same, or the same but for edges that were added and batches that were changed since.
        probe: submits to a chain and waits until it answers everywhere.
        host: the host to be; may be left out where the topology has one.
        fabric_bin: folder of Fabric's programs; PATH where not given.
        progress: called with one line a stage.

    Raises:
        TopologyError: the folder has a network of another topology; or no such host.
        NetworkError: the folder holds a deployment on another ledger, or another command is changing it.
        ProgramMissing: a program of Fabric is missing or too old.
        IdentityProblem: an identity that is there cannot be used.
        PortTaken: somebody else listens where a process should; no folder is made then.
        ProcessFailed: a process keeps ending; with the end of its log.
        CommandFailed: one of Fabric's tools refuses.
        NotReady: something did not come about in time.
        Exception: whatever the probe raises.
    """
    layout = Layout.of(root)
    # All of this before anything is written.
    layout.check_vacant()
    programs = find_programs(fabric_bin)
    if topology is not None:
        here = _host(topology, host)
        if not layout.topology.exists():
            _check_ports(layout, topology, here)
    with working_alone(layout.run):
        topology = _keep_topology(layout, topology)
        if not packages_in_use(layout):
            make_package(layout, Package.make(1))
        return _bring_up(layout, topology, programs, probe, _host(topology, host), progress)


def add_edge(
    root: Path,
    chain: str,
    probe: ReadyProbe,
    *,
    host: str | None = None,
    fabric_bin: Path | None = None,
    progress: Progress = lambda line: None,
) -> Network:
    """Add an edge like the last one to a network, and bring it up; what runs goes on running.

    The new organisations are called as the last edge's are, with the chain's name in place of its own. To
    tell main of the edge is the probe's and the caller's.

    Args:
        root: the network's folder.
        chain: the new chain's id.
        probe: as for ``up``.
        host: as for ``up``.
        fabric_bin: as for ``up``.
        progress: called with one line a stage.

    Raises:
        TopologyError: it cannot be a chain's name, its organisations' names do not follow from the last
            edge's, or the network is on several hosts.
        PortTaken: somebody else listens where its processes would.
        NetworkError: as ``up``.
    """
    layout = Layout.of(root)
    network = Network(root)
    find_programs(fabric_bin)
    with working_alone(layout.run):
        if chain not in {edge.chain for edge in network.topology.edges}:
            wanted = network.topology.with_edge(chain)
            if len(wanted.hosts) > 1:
                raise TopologyError(
                    f"the network is on several hosts ({', '.join(wanted.hosts)}), which must have one "
                    "another's certificates: no edge can be added to it"
                )
            # Before the edge is written down: no command takes it out again.
            _check_ports(layout, wanted, _host(wanted, host))
            write_text(layout.topology, dump_topology(wanted))
        # Otherwise it was added by a call that was ended before it was done: `up` goes on where it stopped.
    return up(root, None, probe, host=host, fabric_bin=fabric_bin, progress=progress)


def upgrade(
    root: Path,
    probe: ReadyProbe,
    *,
    host: str | None = None,
    fabric_bin: Path | None = None,
    progress: Progress = lambda line: None,
) -> Network:
    """Replace the running chaincode by the contracts installed here now, under the next sequence number.

    New processes start beside the old ones, every organisation installs and approves, the chains commit, and
    the old processes end. The chains' state stays as it is. An upgrade that was ended before it was done is
    finished by this or by ``up``; no second one begins before.

    Raises:
        NetworkError: as ``up``.
    """
    layout = Layout.of(root)
    Network(root)
    with working_alone(layout.run):
        used = packages_in_use(layout)
        if len(used) == 1:
            make_package(layout, Package.make(used[0].number + 1))
    return up(root, None, probe, host=host, fabric_bin=fabric_bin, progress=progress)


def prepare(layout: Layout, topology: Topology, chains: Iterable[ChainSpec], nodes: Sequence[Node]) -> None:
    """Identities and configuration files of a part of the topology; all of it can be there.

    Raises:
        IdentityProblem: an identity that is there cannot be used.
        NetworkError: the disk refuses.
    """
    make_organisations(layout, chains)
    make_node_identities(layout, nodes)
    write_builder(layout)
    for node in nodes:
        folder = layout.node(node.name)
        if node.kind == "orderer":
            write_yaml(folder / "orderer.yaml", orderer_config(layout, topology, node))
        elif node.kind == "peer":
            write_yaml(folder / "core.yaml", peer_config(layout, topology, node))
            service = topology.chaincode(node)
            for package in packages_in_use(layout):
                write_connection(layout, node, chaincode_node(service, package).endpoint, package)


def _bring_up(
    layout: Layout, topology: Topology, programs: Programs, probe: ReadyProbe, host: str, progress: Progress
) -> Network:
    chains = [chain for chain in topology.chains if chain.host == host]
    nodes = [node for node in topology.nodes if node.host == host]
    progress(f"Identities and configuration of {len(nodes)} processes")
    prepare(layout, topology, chains, nodes)
    at_once(lambda chain: make_genesis(layout, topology, chain, programs), chains)
    _check_ports(layout, topology, host)
    specs = all_processes(layout, topology, programs, nodes)
    progress(f"Starting {len(specs)} processes")
    keeper = Keeper.ensure(layout.root, host)
    processes = [node for node in expected_nodes(layout, topology) if node.host == host]
    keep_running(keeper, processes, specs, progress)
    network = Network(layout.root)
    at_once(lambda chain: _bring_chain(network, programs, chain, keeper, probe, progress), chains)
    _retire(layout, nodes, keeper, progress)
    return network


def _bring_chain(
    network: Network,
    programs: Programs,
    chain: ChainSpec,
    keeper: Keeper,
    probe: ReadyProbe,
    progress: Progress,
) -> None:
    layout, topology, name = network.layout, network.topology, chain.chain
    names = [node.name for node in topology.select(chain=name)]
    package = packages_in_use(layout)[-1]
    services = topology.select(chain=name, kind="chaincode")
    with ChainAdmin(network, programs, name, lambda: keeper.check(names)) as admin:
        if admin.join():
            progress(f"{name}: {len(admin.orderers)} orderers and {len(admin.peers)} peers have joined")
        addresses = {node.msp_id: chaincode_node(node, package).endpoint for node in services}
        if admin.deploy(package, addresses):
            progress(f"{name}: chaincode {package.label} is committed")
    progress(f"{name}: waiting for a transaction")
    probe(network, name)

    def restart(node: Node) -> None:
        progress(f"Restarting {node.name}")
        keeper.restart([node.name])
        wait_until_it_listens(node)

    # What a renewal of orderers has not finished.
    if settle_orderers(network, name, restart, progress):
        probe(network, name)
    progress(f"{name}: ready")


def _retire(layout: Layout, nodes: Iterable[Node], keeper: Keeper, progress: Progress) -> None:
    """End the processes of packages that every chain here has replaced."""
    for package in packages_in_use(layout)[:-1]:
        progress(f"Ending the processes of {package.label}")
        keeper.forget([chaincode_node(node, package).name for node in nodes if node.kind == "chaincode"])
        layout.package(package.label).unlink(missing_ok=True)


def _host(topology: Topology, host: str | None) -> str:
    known = ", ".join(topology.hosts)
    if host is None:
        if len(topology.hosts) > 1:
            raise TopologyError(
                f"the topology has several hosts ({known}): say which one this is, by `--host`"
            )
        return next(iter(topology.hosts))
    if host not in topology.hosts:
        raise TopologyError(f"the topology has no host {host!r}; it has {known}")
    return host


def _keep_topology(layout: Layout, wanted: Topology | None) -> Topology:
    if not layout.topology.exists():
        if wanted is None:
            raise NetworkError(f"{layout.root} holds no network, and no topology is given")
        write_text(layout.topology, dump_topology(wanted))
        return wanted
    found = load_topology(layout.topology)
    if wanted is not None and not _same_but_for_changes(found, wanted):
        raise TopologyError(
            f"{layout.root} holds a network of another topology ({layout.topology}); use another folder, "
            "add an edge by `edgeproof network add-edge`, or remove it by `edgeproof network clean`"
        )
    return found


def _same_but_for_changes(found: Topology, given: Topology) -> bool:
    """Whether what is ``found`` can have become of what was ``given``: edges are added, batches changed."""

    def plain(topology: Topology, edges: int) -> Topology:
        def spec(chain: ChainSpec) -> ChainSpec:
            return dataclasses.replace(chain, batch=Batch())

        kept = tuple(map(spec, topology.edges[:edges]))
        return dataclasses.replace(topology, main=spec(topology.main), edges=kept)

    count = len(given.edges)
    return plain(found, count) == plain(given, count)


def _check_ports(layout: Layout, topology: Topology, host: str) -> None:
    """Say at once, and by name, what would otherwise be a process that keeps ending."""
    for found in port_problems(layout, topology, check_ports(layout, topology, host)):
        raise PortTaken(f"{found.subject} {found.text}; {found.remedy}")
