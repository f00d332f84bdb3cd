"""Bringing a network up: from a topology to a transaction on every chain.

Every stage asks what is there and does what is missing, so that ``up`` of a running network changes nothing,
``up`` after ``down`` keeps all state, and ``up`` after an ``up`` that was killed anywhere goes on.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path

from identity import Role, Signer, TlsIdentity
from network.channels import join_orderer, join_peer
from network.configtx import make_genesis
from network.control import Keeper
from network.endpoints import Endpoint
from network.errors import NotReady, PortTaken, TopologyError
from network.files import write_text, write_yaml
from network.identities import make_node_identities, make_organisations
from network.layout import Layout
from network.lifecycle import deploy, install
from network.network import Network, ReadyProbe
from network.orderer_config import orderer_config
from network.packages import Package, make_package, write_builder, write_connection
from network.peer_config import peer_config
from network.processes import processes
from network.programs import Programs, find_programs
from network.records import Records, working_alone
from network.system_chaincode import PeerQuestions
from network.topology import ChainSpec, Node, Topology

__all__ = ["Progress", "up"]

Progress = Callable[[str], None]

_THREADS = 32  # they wait for others nearly all the time
_START_S = 60.0


def up(
    root: Path,
    topology: Topology,
    probe: ReadyProbe,
    *,
    host: str | None = None,
    fabric_bin: Path | None = None,
    progress: Progress = lambda line: None,
) -> Network:
    """Bring up a network, or one host's part of it, and return when every chain has taken a transaction.

    Args:
        root: the network's folder, made where it is not.
        topology: what to bring up; a network that is there must have the same one.
        probe: submits to a chain and waits until it answers everywhere.
        host: the host to be; may be left out where the topology has one.
        fabric_bin: folder of Fabric's programs; PATH where not given.
        progress: called with one line a stage.

    Raises:
        TopologyError: the folder has a network of another topology; or no such host.
        ProgramMissing: a program of Fabric is missing or too old.
        PortTaken: somebody else listens where a process should.
        ProcessFailed: a process keeps ending; with the end of its log.
        NotReady: something did not come about in time.
        NetworkError: another command is changing the network; and others, see ``errors``.
    """
    host = _host(topology, host)
    programs = find_programs(fabric_bin)
    layout = Layout.of(root)
    with working_alone(layout.run), ThreadPoolExecutor(_THREADS) as executor:
        _keep_topology(layout, topology)
        chains = [chain for chain in topology.chains if chain.host == host]
        nodes = [node for node in topology.nodes if node.host == host]
        progress(f"Identities and configuration of {len(nodes)} processes")
        package = prepare(layout, topology, chains, nodes)
        _each(executor, lambda chain: make_genesis(layout, topology, chain, programs), chains)
        _check_ports(layout, nodes)
        progress(f"Starting {len(nodes)} processes")
        keeper = Keeper.ensure(layout.root, host)
        keeper.keep(processes(layout, programs, nodes, package))
        network = Network(layout.root)

        def bring(chain: ChainSpec) -> None:
            _bring_chain(network, programs, package, chain, keeper, executor, progress)
            progress(f"{chain.chain}: waiting for a transaction")
            probe(network, chain.chain)
            progress(f"{chain.chain}: ready")

        # Threads of their own: the executor's are for what these wait for.
        with ThreadPoolExecutor(len(chains)) as bringers:
            _each(bringers, bring, chains)
    return network


def prepare(
    layout: Layout, topology: Topology, chains: Iterable[ChainSpec], nodes: Sequence[Node]
) -> Package:
    """Identities, configuration files and chaincode package of a part of the topology; all can be there.

    Raises:
        IdentityProblem: an identity that is there cannot be used.
        NetworkError: the disk refuses.
    """
    make_organisations(layout, dict.fromkeys(msp_id for chain in chains for msp_id in chain.msp_ids))
    make_node_identities(layout, nodes)
    write_builder(layout)
    package = make_package(layout, 1)
    for node in nodes:
        folder = layout.node(node.name)
        if node.kind == "orderer":
            write_yaml(folder / "orderer.yaml", orderer_config(layout, topology, node))
        elif node.kind == "peer":
            write_yaml(folder / "core.yaml", peer_config(layout, topology, node))
            (chaincode,) = topology.select(chain=node.chain, kind="chaincode", msp_id=node.msp_id)
            write_connection(layout, node, chaincode, package)
    return package


def _host(topology: Topology, host: str | None) -> str:
    known = ", ".join(topology.hosts)
    if host is None:
        if len(topology.hosts) > 1:
            raise TopologyError(f"the topology has several hosts ({known}): say which one this is")
        return next(iter(topology.hosts))
    if host not in topology.hosts:
        raise TopologyError(f"the topology has no host {host!r}; it has {known}")
    return host


def _keep_topology(layout: Layout, topology: Topology) -> None:
    if not layout.topology.exists():
        write_text(layout.topology, topology.dump())
    elif Topology.load(layout.topology) != topology:
        raise TopologyError(
            f"{layout.root} holds a network of another topology ({layout.topology}); use another folder, "
            "add an edge by `edgeproof network add-edge`, or remove it by `edgeproof network clean`"
        )


def _check_ports(layout: Layout, nodes: Iterable[Node]) -> None:
    """Say at once, and by name, what would otherwise be a process that keeps ending."""
    running = {record.name for record in Records(layout.run).living("node")}
    for node in nodes:
        if node.name in running:
            continue
        for use, port in node.ports.items():
            with socket.socket() as attempt:
                attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    attempt.bind((node.listen_address, port))
                except OSError as error:
                    if error.errno == errno.EADDRINUSE:
                        raise PortTaken(
                            f"port {port} ({use} of {node.name}) is taken by another program; `edgeproof "
                            "network doctor` tells by which; or choose another first_port in the topology"
                        ) from error
                    raise PortTaken(
                        f"{node.listen_address}:{port} ({use} of {node.name}) cannot be listened on: "
                        f"{error.strerror}"
                    ) from error


def _bring_chain(
    network: Network,
    programs: Programs,
    package: Package,
    chain: ChainSpec,
    keeper: Keeper,
    executor: Executor,
    progress: Progress,
) -> None:
    layout, topology = network.layout, network.topology
    orderers = topology.select(chain=chain.chain, kind="orderer")
    peers = topology.select(chain=chain.chain, kind="peer")
    names = [node.name for node in topology.select(chain=chain.chain)]

    def watch() -> None:
        keeper.check(names)

    with contextlib.ExitStack() as stack:
        questions = {peer.name: stack.enter_context(_questions(layout, peer)) for peer in peers}

        def ready(peer: Node) -> bool:
            _wait(questions[peer.name], watch)
            joined = join_peer(layout, programs, peer, questions[peer.name])
            return install(layout, programs, peer, questions[peer.name], package) or joined

        pending = [executor.submit(join_orderer, layout, programs, node, watch) for node in orderers]
        pending += [executor.submit(ready, peer) for peer in peers]
        joined = any(_results(pending))
        if joined:
            progress(f"{chain.chain}: {len(orderers)} orderers and {len(peers)} peers joined")
        if deploy(layout, programs, package, peers, orderers, questions, executor):
            progress(f"{chain.chain}: chaincode {package.label} committed")


def _questions(layout: Layout, peer: Node) -> PeerQuestions:
    home = layout.identity(peer.msp_id, Role.ADMIN.value)
    signer = Signer.load(home, msp_id=peer.msp_id)
    return PeerQuestions(Endpoint.of(layout, peer), signer, TlsIdentity.load(home / "tls"))


def _wait(questions: PeerQuestions, watch: Callable[[], None]) -> None:
    """Wait for a peer, and look now and then whether it keeps dying instead."""
    end = time.monotonic() + _START_S
    while True:
        try:
            return questions.wait(1.0)
        except NotReady:
            watch()
            if time.monotonic() > end:
                raise


def _each(executor: Executor, action: Callable[[ChainSpec], None], chains: Iterable[ChainSpec]) -> None:
    _results([executor.submit(action, chain) for chain in chains])


def _results(pending: Sequence[Future[bool]] | Sequence[Future[None]]) -> list[bool | None]:
    """All results; waits for all, then raises the first failure."""
    for future in pending:
        future.exception()
    return [future.result() for future in pending]
