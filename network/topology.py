"""What to bring up: chains, their organisations, orderers and peers, and where each process listens.

A topology is one YAML file (``topologies/`` has two; docs/network.md lists the keys). It is read strictly and
says everything: names and ports of all processes follow from it, the same on every host.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

import yaml

from network.documents import Value, read_document
from network.errors import TopologyError

__all__ = [
    "MAIN",
    "SCHEMA",
    "Batch",
    "ChainSpec",
    "Node",
    "NodeKind",
    "Ordering",
    "Topology",
    "named_topology",
]

SCHEMA: Final = "edgeproof/topology/v1"
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

_CHAIN = r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?"
_HOST = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
# RFC 1123, section 2.1; a name whose last label is a number would be an address that is none.
_DNS_NAME = rf"(?=.{{1,253}}\Z)({_LABEL}\.)*(?![0-9]+\Z){_LABEL}"
# Processes are called <chain>.<kind>.<msp>, and that is a DNS name in their TLS certificates.
_MSP = rf"(?=.{{1,49}}\Z)({_LABEL}\.)*{_LABEL}"
_MSP_MEANING = "an MSP id of letters, digits and hyphens in words joined by dots (a DNS name), at most 49"
_DURATION = r"[1-9][0-9]{0,5}(ms|s|m)"
_DURATION_MEANING = "a duration such as 200ms or 2s"
_MAX_MESSAGES = 100_000
_MAX_PORT = 65535
_MAX_ORDERERS = 16
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

    @classmethod
    def load(cls, path: Path) -> Topology:
        """Read a topology file.

        Raises:
            TopologyError: naming file, line and field.
        """
        return _topology(read_document(path))

    def dump(self) -> str:
        """The topology as a file that ``load`` reads back to the same."""
        return yaml.safe_dump(
            {
                "schema": SCHEMA,
                "name": self.name,
                "first_port": self.first_port,
                "client_tls": "required" if self.client_tls else "none",
                "hosts": dict(self.hosts),
                "main": _document(self.main, named=False),
                "edges": [_document(edge, named=True) for edge in self.edges],
            },
            sort_keys=False,
        )

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
        if re.fullmatch(_CHAIN, chain) is None or chain in {known.chain for known in self.chains}:
            raise TopologyError(f"{chain!r} is a chain already, or cannot be one's name")

        def renamed(msp_id: str) -> str:
            if not msp_id.startswith(f"{last.chain}-"):
                raise TopologyError(
                    f"{msp_id!r} is not called after {last.chain}: write the new edge into the topology, "
                    "at the end"
                )
            found = chain + msp_id.removeprefix(last.chain)
            if re.fullmatch(_MSP, found) is None:
                raise TopologyError(
                    f"{found!r}: {_MSP_MEANING} is wanted; choose a shorter name than {chain}"
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
        if re.fullmatch(_DURATION, timeout) is None:
            raise TopologyError(f"timeout: {_DURATION_MEANING} is wanted, not {timeout!r}")
        if not 1 <= messages <= _MAX_MESSAGES:
            raise TopologyError(f"messages: a whole number from 1 to {_MAX_MESSAGES} is wanted")

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
        if last > _MAX_PORT:
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


def named_topology(name: str) -> Path:
    """The file of a topology that comes with the package: ``default`` or ``dev``."""
    return Path(__file__).parent / "topologies" / f"{name}.yaml"


def _document(chain: ChainSpec, *, named: bool) -> dict[str, Any]:
    return {
        **({"chain": chain.chain} if named else {}),
        "host": chain.host,
        "organisations": list(chain.organisations),
        "ordering": {"type": chain.ordering, "orderers": dict(chain.orderers)},
        "endorsements": chain.endorsements,
        "batch": asdict(chain.batch),
    }


def _processes(chain: ChainSpec) -> Iterator[tuple[str, NodeKind, str]]:
    for msp_id, count in chain.orderers.items():
        for number in range(1, count + 1):
            yield f"{chain.chain}.orderer.{msp_id}.{number}", "orderer", msp_id
    for msp_id in chain.organisations:
        yield f"{chain.chain}.peer.{msp_id}", "peer", msp_id
    for msp_id in chain.organisations:
        yield f"{chain.chain}.chaincode.{msp_id}", "chaincode", msp_id


def _topology(document: Value) -> Topology:
    fields = document.fields(
        {"schema", "name", "main", "edges"}, {"hosts", "first_port", "batch", "client_tls"}
    )
    fields["schema"].text(SCHEMA, SCHEMA)
    hosts = _hosts(fields["hosts"]) if "hosts" in fields else {"local": "127.0.0.1"}
    batch = _batch(fields["batch"], Batch()) if "batch" in fields else Batch()
    main = _chain(fields["main"], hosts, batch, MAIN)
    edges = []
    taken = {main.chain}
    # Its identities, signers' state and training peers go by the organisation's name alone.
    members = dict.fromkeys(main.organisations, main.chain)
    for value in fields["edges"].items(least=1):
        edge = _chain(value, hosts, batch, None)
        if edge.chain in taken:
            value.refuse(f"a second chain {edge.chain!r}")
        for msp_id in edge.organisations:
            if msp_id in members:
                value.refuse(
                    f"organisations: {msp_id} has its peer on {members[msp_id]}, and may have no other"
                )
            members[msp_id] = edge.chain
        taken.add(edge.chain)
        edges.append(edge)
    topology = Topology(
        name=fields["name"].text(_HOST, "a short name of lower-case letters, digits and hyphens"),
        main=main,
        edges=tuple(edges),
        hosts=MappingProxyType(hosts),
        first_port=fields["first_port"].number(1024, _MAX_PORT) if "first_port" in fields else 7050,
        client_tls="client_tls" in fields and fields["client_tls"].choice("required", "none") == "required",
    )
    topology.check_ports()
    return topology


def _hosts(value: Value) -> dict[str, str]:
    hosts: dict[str, str] = {}
    for name, entry in value.entries():
        if re.fullmatch(_HOST, name) is None:
            entry.refuse("a host's name is of lower-case letters, digits and hyphens, at most 63")
        hosts[name] = _address(entry)
    if not hosts:
        value.refuse("at least one host is wanted")
    return hosts


def _address(value: Value) -> str:
    text = value.text()
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return value.text(_DNS_NAME, "an IP address or a DNS name")
    if address.version != 4:
        value.refuse("IPv6 addresses are not supported: give a DNS name")
    if address.is_unspecified or address.is_multicast:
        value.refuse("an address is wanted at which the others reach this host")
    return text


def _batch(value: Value, default: Batch) -> Batch:
    fields = value.fields(set(), {"timeout", "messages", "preferred_bytes", "absolute_bytes"})
    batch = Batch(
        fields["timeout"].text(_DURATION, _DURATION_MEANING) if "timeout" in fields else default.timeout,
        fields["messages"].number(1, _MAX_MESSAGES) if "messages" in fields else default.messages,
        fields["preferred_bytes"].number(_KIB, 98 * 1024 * _KIB)
        if "preferred_bytes" in fields
        else default.preferred_bytes,
        fields["absolute_bytes"].number(1024 * _KIB, 98 * 1024 * _KIB)
        if "absolute_bytes" in fields
        else default.absolute_bytes,
    )
    if batch.preferred_bytes > batch.absolute_bytes:
        value.refuse("preferred_bytes must not exceed absolute_bytes")
    return batch


def _chain(value: Value, hosts: Mapping[str, str], batch: Batch, name: str | None) -> ChainSpec:
    required = {"organisations", "ordering"}
    fields = value.fields(required if name else required | {"chain"}, {"batch", "endorsements", "host"})
    chain = name or fields["chain"].text(_CHAIN, "a channel id: lower-case letters, digits, hyphens")
    organisations = tuple(_msp(item) for item in fields["organisations"].items(least=2))
    if len(set(organisations)) != len(organisations):
        fields["organisations"].refuse("an organisation stands here twice")
    endorsements = fields["endorsements"].number(1, len(organisations)) if "endorsements" in fields else 2
    host = next(iter(hosts))
    if "host" in fields:
        host = fields["host"].text(meaning="a host's name")
        if host not in hosts:
            fields["host"].refuse(f"no such host; hosts are {', '.join(hosts)}")
    ordering, orderers = _ordering(fields["ordering"])
    if "batch" in fields:
        batch = _batch(fields["batch"], batch)
    return ChainSpec(chain, organisations, ordering, MappingProxyType(orderers), batch, endorsements, host)


def _ordering(value: Value) -> tuple[Ordering, dict[str, int]]:
    fields = value.fields({"type", "orderers"})
    ordering: Ordering = "raft" if fields["type"].choice("raft", "smartbft") == "raft" else "smartbft"
    orderers: dict[str, int] = {}
    for msp_id, count in fields["orderers"].entries():
        _msp(count, msp_id)
        orderers[msp_id] = count.number(1, _MAX_ORDERERS)
    total = sum(orderers.values())
    if ordering == "smartbft" and total < 4:
        fields["orderers"].refuse("SmartBFT needs at least four orderers to bear a faulty one")
    if total < 1:
        fields["orderers"].refuse("at least one orderer is wanted")
    return ordering, orderers


def _msp(value: Value, text: str | None = None) -> str:
    if text is None:
        return value.text(_MSP, _MSP_MEANING)
    if re.fullmatch(_MSP, text) is None:
        value.refuse(f"{text!r}: {_MSP_MEANING} is wanted")
    return text
