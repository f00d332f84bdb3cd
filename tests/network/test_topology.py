from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import pytest
import yaml

from identity.tls import tls_extensions
from network.errors import TopologyError
from network.topology import Topology
from network.topology_file import dump_topology, load_topology, named_topology

DEV = named_topology("dev").read_text()


def load(folder: Path, text: str) -> Topology:
    path = folder / "topology.yaml"
    path.write_text(text)
    return load_topology(path)


@pytest.mark.parametrize(("name", "processes"), [("dev", 10), ("default", 29)])
def test_topologies_that_come_along(name: str, processes: int) -> None:
    topology = load_topology(named_topology(name))
    assert len(topology.nodes) == processes
    assert Counter(node.name for node in topology.nodes).most_common(1)[0][1] == 1


def test_the_default_is_what_the_guide_says() -> None:
    topology = load_topology(named_topology("default"))
    assert topology.main.ordering == "smartbft"
    assert dict(topology.main.orderers) == {"cloud-operator": 2, "cloud-auditor": 2}
    assert [edge.chain for edge in topology.edges] == ["edge-a", "edge-b", "edge-c"]
    for edge in topology.edges:
        assert len(edge.organisations) == 3
        assert (edge.ordering, dict(edge.orderers)) == ("raft", {f"{edge.chain}-orderer": 1})
    assert {chain.endorsements for chain in topology.chains} == {2}


def test_ports_are_dense_and_nobodys_twice() -> None:
    topology = load_topology(named_topology("default"))
    ports = [port for node in topology.nodes for port in node.ports.values()]
    assert sorted(ports) == list(range(topology.first_port, topology.first_port + len(ports)))


@pytest.mark.parametrize("msp_id", ["Org1MSP", "org1.example.com", "a", "1", "o.1", "a" * 49])
def test_node_names_are_names_that_certificates_take(msp_id: str, tmp_path: Path) -> None:
    topology = load(tmp_path, DEV.replace("edge-a-owner", msp_id).replace("main-orderer", msp_id))
    names = [node.name for node in topology.nodes if node.msp_id == msp_id]
    assert len(names) == 3
    tls_extensions([*names, f"{'e' * 63}.chaincode.{msp_id}"])


def test_an_added_edge_moves_nobody() -> None:
    topology = load_topology(named_topology("dev"))
    more = topology.with_edge("edge-z")
    assert more.nodes[: len(topology.nodes)] == topology.nodes
    assert more.edges[-1].organisations == ("edge-z-operator", "edge-z-owner")
    assert dict(more.edges[-1].orderers) == {"edge-z-orderer": 1}


@pytest.mark.parametrize("name", ["edge-a", "main", "Edge", "", "a/b", "edge-", "e" * 45])
def test_an_edge_needs_a_name_of_its_own(name: str) -> None:
    with pytest.raises(TopologyError):
        load_topology(named_topology("dev")).with_edge(name)


def test_an_edge_cannot_be_followed_by_one_with_another_chains_organisation(tmp_path: Path) -> None:
    topology = load(tmp_path, DEV.replace("cloud-auditor", "edge-z-owner"))
    with pytest.raises(TopologyError, match="'edge-z-owner' has its peer on another chain"):
        topology.with_edge("edge-z")
    assert topology.with_edge("edge-y").edges[-1].chain == "edge-y"


def test_an_edge_whose_organisations_have_free_names_cannot_be_followed(tmp_path: Path) -> None:
    topology = load(tmp_path, DEV.replace("edge-a-owner", "acme"))
    with pytest.raises(TopologyError, match="acme"):
        topology.with_edge("edge-b")


@pytest.mark.parametrize("name", ["dev", "default"])
def test_what_is_dumped_is_read_back(name: str, tmp_path: Path) -> None:
    topology = dataclasses.replace(load_topology(named_topology(name)), client_tls=True, first_port=9000)
    assert load(tmp_path, dump_topology(topology)) == topology


def test_batches_are_inherited_and_overridden(tmp_path: Path) -> None:
    document = yaml.safe_load(DEV)
    document["batch"] = {"timeout": "2s", "messages": 50}
    document["edges"][0]["batch"] = {"messages": 500}
    topology = load(tmp_path, yaml.safe_dump(document))
    assert (topology.main.batch.timeout, topology.main.batch.messages) == ("2s", 50)
    assert (topology.edges[0].batch.timeout, topology.edges[0].batch.messages) == ("2s", 500)


def test_another_batch(tmp_path: Path) -> None:
    topology = load(tmp_path, DEV)
    changed = topology.with_batch("edge-a", timeout="1s", messages=7)
    assert (changed.edges[0].batch.timeout, changed.edges[0].batch.messages) == ("1s", 7)
    assert changed.main == topology.main
    assert load(tmp_path, dump_topology(changed)) == changed
    assert topology.with_batch("main", timeout="1s", messages=7).edges == topology.edges


@pytest.mark.parametrize(
    ("chain", "timeout", "messages", "said"),
    [
        ("mars", "1s", 7, "no chain 'mars'; there are main, edge-a"),
        ("main", "soon", 7, "timeout: a duration such as 200ms or 2s is wanted, not 'soon'"),
        ("main", "0s", 7, "timeout"),
        ("main", "1s", 0, "messages: a whole number from 1 to 100000"),
        ("main", "1s", 100_001, "messages"),
    ],
)
def test_no_batch(tmp_path: Path, chain: str, timeout: str, messages: int, said: str) -> None:
    with pytest.raises(TopologyError, match=said):
        load(tmp_path, DEV).with_batch(chain, timeout=timeout, messages=messages)


def test_several_hosts(tmp_path: Path) -> None:
    document = yaml.safe_load(DEV)
    document["hosts"] = {"cloud": "10.0.0.1", "edge": "edge.example"}
    document["edges"][0]["host"] = "edge"
    topology = load(tmp_path, yaml.safe_dump(document))
    addresses = {node.chain: (node.host, node.address, node.listens_at("grpc")) for node in topology.nodes}
    assert addresses["main"] == ("cloud", "10.0.0.1", "10.0.0.1")
    assert addresses["edge-a"] == ("edge", "edge.example", "0.0.0.0")


# (what is changed, the field and line that the error must name)
FAULTS = {
    "no schema": (("schema: edgeproof/topology/v1\n", ""), "'schema' is missing"),
    "another schema": (("topology/v1", "topology/v2"), ":2: schema"),
    "unknown key": (("name: dev", "name: dev\ncolour: red"), ":4: colour: unknown key"),
    "one organisation": (("[cloud-operator, cloud-auditor]", "[cloud-operator]"), ":7: main.organisations"),
    "twice the same": (("cloud-auditor", "cloud-operator"), "main.organisations: an organisation"),
    "no list": (("[cloud-operator, cloud-auditor]", "cloud-operator"), "main.organisations: a list"),
    "bad MSP id": (("cloud-auditor", "cloud/auditor"), "main.organisations[1]: an MSP id"),
    "quote in an MSP id": (("cloud-auditor", '"x\'y"'), "main.organisations[1]: an MSP id"),
    "an empty word in an MSP id": (("cloud-auditor", "a..b"), "main.organisations[1]: an MSP id"),
    "a hyphen before a dot": (("edge-a-owner", "a-.b"), "edges[0].organisations[1]: an MSP id"),
    "a hyphen after a dot": (
        ("{main-orderer: 1}", "{a.-b: 1}"),
        "main.ordering.orderers.a.-b: 'a.-b': an MSP",
    ),
    "a long MSP id": (("cloud-auditor", "a" * 50), "main.organisations[1]: an MSP id"),
    "a hyphen at a chain's end": (("chain: edge-a", "chain: edge-"), "edges[0].chain: a channel id"),
    "an organisation of two chains": (
        ("edge-a-owner", "cloud-auditor"),
        ":13: edges[0]: organisations: cloud-auditor has its peer on main",
    ),
    "bad orderer": (("{main-orderer: 1}", "{main orderer: 1}"), "main.ordering.orderers"),
    "no orderer": (("{main-orderer: 1}", "{}"), "main.ordering.orderers: at least one"),
    "zero orderers": (("{main-orderer: 1}", "{main-orderer: 0}"), "main.ordering.orderers.main-orderer"),
    "three for SmartBFT": (
        ("type: raft\n    orderers: {main-orderer: 1}", "type: smartbft\n    orderers: {main-orderer: 3}"),
        "at least four orderers",
    ),
    "another ordering": (("type: raft\n    orderers: {main", "type: solo\n    orderers: {main"), ":9: main"),
    "second chain": (("chain: edge-a", "chain: main"), "a second chain 'main'"),
    "bad channel id": (("chain: edge-a", "chain: Edge_A"), "edges[0].chain: a channel id"),
    "too many endorsements": (
        ("  - chain: edge-a", "  - endorsements: 3\n    chain: edge-a"),
        "endorsements",
    ),
    "no such host": (
        ("  - chain: edge-a", "  - host: moon\n    chain: edge-a"),
        "edges[0].host: no such host",
    ),
    "port too low": (("first_port: 7050", "first_port: 80"), ":4: first_port"),
    "port too high": (("first_port: 7050", "first_port: 65530"), "choose a lower first_port"),
    "bad duration": (("edges:", "batch: {timeout: soon}\nedges:"), "batch.timeout: a duration"),
    "batch upside down": (("edges:", "batch: {absolute_bytes: 1048576}\nedges:"), "must not exceed"),
    "no address": (("edges:", "hosts: {local: 300.1.1.1}\nedges:"), ":12: hosts.local: an IP address"),
    "half an address": (("edges:", "hosts: {local: 127.0.1}\nedges:"), "hosts.local: an IP address or a DNS"),
    "no DNS name": (("edges:", "hosts: {local: a..example}\nedges:"), "hosts.local: an IP address or a DNS"),
    "a hyphen's end": (("edges:", "hosts: {local: edge-.example}\nedges:"), "hosts.local: an IP address"),
    "any address": (("edges:", "hosts: {local: 0.0.0.0}\nedges:"), "hosts.local: an address is wanted at"),
    "a host's name": (("edges:", "hosts: {Site/A: 10.0.0.1}\nedges:"), "hosts.Site/A: a host's name is"),
    "IPv6": (("edges:", "hosts: {local: '::1'}\nedges:"), "hosts.local: IPv6"),
    "a key twice": (("name: dev", "name: dev\nname: dev"), "each once"),
    "not YAML": (("name: dev", "name: [dev"), "is no YAML document"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_by_field_and_line(fault: str, tmp_path: Path) -> None:
    (old, new), said = FAULTS[fault]
    assert old in DEV
    with pytest.raises(TopologyError) as caught:
        load(tmp_path, DEV.replace(old, new))
    assert said in str(caught.value)


def test_a_missing_file_and_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(TopologyError, match="cannot be read"):
        load_topology(tmp_path / "none.yaml")
    with pytest.raises(TopologyError, match="empty"):
        load(tmp_path, "# nothing\n")
