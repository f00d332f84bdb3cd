"""A topology as a file: YAML, read strictly (docs/network.md lists the keys)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import yaml

from network.documents import Value, read_document
from network.topology import (
    CHAIN_NAME,
    DNS_NAME,
    DURATION,
    DURATION_MEANING,
    HOST_NAME,
    MAIN,
    MAX_MESSAGES,
    MAX_ORDERERS,
    MAX_PORT,
    MSP_ID,
    MSP_ID_MEANING,
    Batch,
    ChainSpec,
    Ordering,
    Topology,
)

__all__ = ["dump_topology", "load_topology", "named_topology"]

SCHEMA: Final = "edgeproof/topology/v1"
_KIB: Final = 1024


def named_topology(name: str) -> Path:
    """The file of a topology that comes with the package: ``default`` or ``dev``."""
    return Path(__file__).parent / "topologies" / f"{name}.yaml"


def load_topology(path: Path) -> Topology:
    """Read a topology file.

    Raises:
        TopologyError: naming file, line and field.
    """
    return _topology(read_document(path))


def dump_topology(topology: Topology) -> str:
    """The topology as a file that ``load_topology`` reads back to the same."""
    return yaml.safe_dump(
        {
            "schema": SCHEMA,
            "name": topology.name,
            "first_port": topology.first_port,
            "client_tls": "required" if topology.client_tls else "none",
            "hosts": dict(topology.hosts),
            "main": _document(topology.main, named=False),
            "edges": [_document(edge, named=True) for edge in topology.edges],
        },
        sort_keys=False,
    )


def _document(chain: ChainSpec, *, named: bool) -> dict[str, Any]:
    return {
        **({"chain": chain.chain} if named else {}),
        "host": chain.host,
        "organisations": list(chain.organisations),
        "ordering": {"type": chain.ordering, "orderers": dict(chain.orderers)},
        "endorsements": chain.endorsements,
        "batch": asdict(chain.batch),
    }


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
        name=fields["name"].text(HOST_NAME, "a short name of lower-case letters, digits and hyphens"),
        main=main,
        edges=tuple(edges),
        hosts=MappingProxyType(hosts),
        first_port=fields["first_port"].number(1024, MAX_PORT) if "first_port" in fields else 7050,
        client_tls="client_tls" in fields and fields["client_tls"].choice("required", "none") == "required",
    )
    topology.check_ports()
    return topology


def _hosts(value: Value) -> dict[str, str]:
    hosts: dict[str, str] = {}
    for name, entry in value.entries():
        if re.fullmatch(HOST_NAME, name) is None:
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
        return value.text(DNS_NAME, "an IP address or a DNS name")
    if address.version != 4:
        value.refuse("IPv6 addresses are not supported: give a DNS name")
    if address.is_unspecified or address.is_multicast:
        value.refuse("an address is wanted at which the others reach this host")
    return text


def _batch(value: Value, default: Batch) -> Batch:
    fields = value.fields(set(), {"timeout", "messages", "preferred_bytes", "absolute_bytes"})
    batch = Batch(
        fields["timeout"].text(DURATION, DURATION_MEANING) if "timeout" in fields else default.timeout,
        fields["messages"].number(1, MAX_MESSAGES) if "messages" in fields else default.messages,
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
    chain = name or fields["chain"].text(CHAIN_NAME, "a channel id: lower-case letters, digits, hyphens")
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
        orderers[msp_id] = count.number(1, MAX_ORDERERS)
    total = sum(orderers.values())
    if ordering == "smartbft" and total < 4:
        fields["orderers"].refuse("SmartBFT needs at least four orderers to bear a faulty one")
    if total < 1:
        fields["orderers"].refuse("at least one orderer is wanted")
    return ordering, orderers


def _msp(value: Value, text: str | None = None) -> str:
    if text is None:
        return value.text(MSP_ID, MSP_ID_MEANING)
    if re.fullmatch(MSP_ID, text) is None:
        value.refuse(f"{text!r}: {MSP_ID_MEANING} is wanted")
    return text
