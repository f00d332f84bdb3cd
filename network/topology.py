"""What to bring up: chains, their organisations, orderers and peers, and where each process listens.

A topology is one YAML file (``topology_file``; ``topologies/`` has two). It is read strictly and
says everything: names and ports of all processes follow from it, the same on every host.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Final, Literal

from network.errors import TopologyError

__all__ = [
    "MAIN",
    "Batch",
    "ChainSpec",
    "Node",
    "NodeKind",
    "Ordering",
    "Topology",
]

MAIN: Final = "main"
"""The main chain's channel id; the contracts know it by this name."""

NodeKind = Literal["orderer", "peer", "chaincode"]
Ordering = Literal["raft", "smartbft"]

PORTS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "orderer": ("grpc", "admin", "operations"),
        "peer": ("grpc", "chaincode", "operations"),
        "chaincode": ("grpc", "next"),
    }
)
"""What each kind of process listens on, in the order in which ports are given out."""

_LOOPBACK = "127.0.0.1"
_FOR_ITSELF = ("chaincode", "operations")
"""What a process listens for on loopback: nobody else needs it, or it has no client authentication."""

CHAIN_NAME = r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?"
HOST_NAME = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
# RFC 1123, section 2.1; a name whose last label is a number would be an address that is none.
DNS_NAME = rf"(?=.{{1,253}}\Z)({_LABEL}\.)*(?![0-9]+\Z){_LABEL}"
# Processes are called <chain>.<kind>.<msp>, and that is a DNS name in their TLS certificates.
MSP_ID = rf"(?=.{{1,49}}\Z)({_LABEL}\.)*{_LABEL}"
MSP_ID_MEANING = "an MSP id of letters, digits and hyphens in words joined by dots (a DNS name), at most 49"
DURATION = r"[1-9][0-9]{0,5}(ms|s|m)"
DURATION_MEANING = "a duration such as 200ms or 2s"
MAX_MESSAGES = 100_000
MAX_PORT = 65535
MAX_ORDERERS = 16
_KIB = 1024


@dataclass(frozen=True)
class Batch:
    """When the orderers cut a block."""

    timeout: str = "50ms"
    messages: int = 10
    preferred_bytes: int = 2048 * _KIB
    """A transaction of 512 readings has up to 256 KiB of them, and its endorsements' read and write sets."""
    absolute_bytes: int = 10 * 1024 * _KIB


@dataclass(frozen=True)
class ChainSpec:
    """One chain: who stands behind it, who orders it, where it runs."""

    chain: str
    """Channel id."""
    organisations: tuple[str, ...]
    """MSP ids with one peer each; the first one operates the site."""
    ordering: Ordering
    orderers: Mapping[str, int]
    """How many orderers each MSP runs."""
    batch: Batch = field(default_factory=Batch)
    endorsements: int = 2
    """How many distinct organisations must endorse."""
    host: str = "local"

    @property
    def operator(self) -> str:
        """MSP id of the organisation that operates the site."""
        return self.organisations[0]

    @property
    def msp_ids(self) -> tuple[str, ...]:
        """Everybody: the peers' organisations, then those that only order."""
        return tuple(dict.fromkeys((*self.organisations, *self.orderers)))


@dataclass(frozen=True)
class Node:
    """One process."""

    name: str
    kind: NodeKind
    chain: str
    msp_id: str
    host: str
    address: str
    """IP address or DNS name at which others reach it."""
    ports: Mapping[str, int]

    @property
    def endpoint(self) -> str:
        """``address:port`` of its gRPC service."""
        return self.at("grpc")

    def at(self, port: str) -> str:
        """``address:port`` of one of its services."""
        return f"{self.address}:{self.ports[port]}"

    def listens_at(self, port: str) -> str:
        """The address that it binds for one of its services: loopback for what no other process needs, else
        its own, or every one where a DNS name is given."""
        if port in _FOR_ITSELF:
            return _LOOPBACK
        try:
            return str(ipaddress.ip_address(self.address))
        except ValueError:
            return "0.0.0.0"  # noqa: S104 - the name may stand for any of the host's addresses

    def bound(self, port: str) -> str:
        """``address:port`` as it binds one of its services."""
        return f"{self.listens_at(port)}:{self.ports[port]}"


@dataclass(frozen=True)
class Topology:
    """A whole deployment's networks."""

    name: str
    main: ChainSpec
    edges: tuple[ChainSpec, ...]
    hosts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({"local": "127.0.0.1"}))
    first_port: int = 7050
    client_tls: bool = False
    """Whether peers and orderers demand a TLS certificate of their clients."""

    @property
    def chains(self) -> tuple[ChainSpec, ...]:
        """Main first, then the edges."""
        return (self.main, *self.edges)

    def chain(self, name: str) -> ChainSpec:
        """One chain.

        Raises:
            KeyError: there is no such chain.
        """
        for spec in self.chains:
            if spec.chain == name:
                return spec
        raise KeyError(name)

    @property
    def msp_ids(self) -> tuple[str, ...]:
        """Every organisation, each once."""
        return tuple(dict.fromkeys(msp_id for chain in self.chains for msp_id in chain.msp_ids))

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """Every process, chain by chain: orderers, peers, chaincodes; ports given out in this order.

        A chain that is added at the end therefore moves nobody's port.
        """
        nodes = []
        port = self.first_port
        for chain in self.chains:
            for name, kind, msp_id in _processes(chain):
                wanted = PORTS[kind]
                ports = MappingProxyType({use: port + i for i, use in enumerate(wanted)})
                address = self.hosts[chain.host]
                nodes.append(Node(name, kind, chain.chain, msp_id, chain.host, address, ports))
                port += len(wanted)
        return tuple(nodes)

    def chaincode(self, peer: Node) -> Node:
        """The process that runs the chaincode for a peer."""
        (found,) = self.select(chain=peer.chain, kind="chaincode", msp_id=peer.msp_id)
        return found

    def with_edge(self, chain: str) -> Topology:
        """The same with one more edge, like the last one; nobody's name or port changes.

        Raises:
            TopologyError: there is such a chain, no chain can be called so, or an organisation of the last
                edge is not called after its chain, so that no new name follows; or that name is taken.
        """
        last = self.edges[-1]
        if re.fullmatch(CHAIN_NAME, chain) is None or chain in {known.chain for known in self.chains}:
            raise TopologyError(f"{chain!r} is a chain already, or cannot be one's name")

        def renamed(msp_id: str) -> str:
            if not msp_id.startswith(f"{last.chain}-"):
                raise TopologyError(
                    f"{msp_id!r} is not called after {last.chain}: write the new edge into the topology, "
                    "at the end"
                )
            found = chain + msp_id.removeprefix(last.chain)
            if re.fullmatch(MSP_ID, found) is None:
                raise TopologyError(
                    f"{found!r}: {MSP_ID_MEANING} is wanted; choose a shorter name than {chain}"
                )
            if any(found in known.organisations for known in self.chains):
                raise TopologyError(f"{found!r} has its peer on another chain, and may have no other")
            return found

        edge = dataclasses.replace(
            last,
            chain=chain,
            organisations=tuple(map(renamed, last.organisations)),
            orderers=MappingProxyType({renamed(name): count for name, count in last.orderers.items()}),
        )
        topology = dataclasses.replace(self, edges=(*self.edges, edge))
        topology.check_ports()
        return topology

    def with_batch(self, chain: str, *, timeout: str, messages: int) -> Topology:
        """The same with other batch settings of one chain.

        Raises:
            TopologyError: no such chain, no duration, or a number out of bounds.
        """
        if chain not in {known.chain for known in self.chains}:
            raise TopologyError(
                f"there is no chain {chain!r}; there are {', '.join(known.chain for known in self.chains)}"
            )
        if re.fullmatch(DURATION, timeout) is None:
            raise TopologyError(f"timeout: {DURATION_MEANING} is wanted, not {timeout!r}")
        if not 1 <= messages <= MAX_MESSAGES:
            raise TopologyError(f"messages: a whole number from 1 to {MAX_MESSAGES} is wanted")

        def changed(spec: ChainSpec) -> ChainSpec:
            if spec.chain != chain:
                return spec
            batch = dataclasses.replace(spec.batch, timeout=timeout, messages=messages)
            return dataclasses.replace(spec, batch=batch)

        edges = tuple(changed(edge) for edge in self.edges)
        return dataclasses.replace(self, main=changed(self.main), edges=edges)

    def check_ports(self) -> None:
        """Raise unless every port exists.

        Raises:
            TopologyError: the last process would need one beyond 65535.
        """
        last = max(port for node in self.nodes for port in node.ports.values())
        if last > MAX_PORT:
            raise TopologyError(f"the last process would listen on port {last}: choose a lower first_port")

    def select(
        self, *, chain: str | None = None, kind: NodeKind | None = None, msp_id: str | None = None
    ) -> tuple[Node, ...]:
        """The processes that fit all that is given."""
        return tuple(
            node
            for node in self.nodes
            if chain in (None, node.chain) and kind in (None, node.kind) and msp_id in (None, node.msp_id)
        )


def _processes(chain: ChainSpec) -> Iterator[tuple[str, NodeKind, str]]:
    for msp_id, count in chain.orderers.items():
        for number in range(1, count + 1):
            yield f"{chain.chain}.orderer.{msp_id}.{number}", "orderer", msp_id
    for msp_id in chain.organisations:
        yield f"{chain.chain}.peer.{msp_id}", "peer", msp_id
    for msp_id in chain.organisations:
        yield f"{chain.chain}.chaincode.{msp_id}", "chaincode", msp_id
