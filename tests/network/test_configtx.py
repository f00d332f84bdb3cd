"""What our ``configtx.yaml`` becomes, judged by configtxgen and by our own reader of configurations."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from fabric_network import fabric_bin
from fabric_protos.common import common_pb2
from fabric_tools import inspect
from prepared_network import prepared

from network.configtx import configtx, make_genesis
from network.layout import Layout
from network.programs import find_programs
from network.topology import Batch, ChainSpec, Topology
from protocol.configuration import Configuration

pytestmark = pytest.mark.fabric(own_network=True)

Prepared = tuple[Layout, Topology]


@pytest.fixture(scope="module", params=["dev", "default"])
def network(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    layout, topology = prepared(tmp_path_factory.mktemp("configtx"), request.param)
    for chain in topology.chains:
        make_genesis(layout, topology, chain, find_programs(fabric_bin()))
    return layout, topology


def read(network: Prepared, chain: ChainSpec) -> Configuration:
    return Configuration.from_block(common_pb2.Block.FromString(network[0].genesis(chain.chain).read_bytes()))


def test_the_audit_reads_organisations_and_policy(network: Prepared) -> None:
    for chain in network[1].chains:
        found = read(network, chain)
        assert found.chain == chain.chain
        assert found.organisations == tuple(sorted(chain.organisations))
        assert found.orderer_organisations == tuple(sorted(chain.orderers))
        assert found.endorsement.required == 2
        assert found.endorsement.organisations == frozenset(chain.organisations)
        assert found.endorsement.peers_only
        assert found.max_block_bytes == chain.batch.absolute_bytes


def test_the_orderers_are_those_of_the_topology(network: Prepared) -> None:
    layout, topology = network
    for chain in topology.chains:
        found = read(network, chain)
        nodes = topology.select(chain=chain.chain, kind="orderer")
        if chain.ordering == "raft":
            assert (found.consensus, found.consenters, found.orderer_quorum) == ("etcdraft", {}, 1)
            continue
        assert (found.consensus, found.orderer_quorum) == ("BFT", 3)
        assert [found.consenters[number].msp_id for number in (1, 2, 3, 4)] == [node.msp_id for node in nodes]
        for number, node in enumerate(nodes, start=1):
            own = (layout.node(node.name) / "identity" / "cert.pem").read_bytes()
            assert found.consenters[number].certificate_pem == own


def groups(network: Prepared, chain: ChainSpec) -> Any:
    block = inspect(network[0].genesis(chain.chain))
    return block["data"]["data"][0]["payload"]["data"]["config"]["channel_group"]["groups"]


def test_only_orderers_sign_blocks_and_only_peers_endorse(network: Prepared) -> None:
    for chain in network[1].chains:
        found = groups(network, chain)
        policies = found["Orderer"]["policies"]
        assert roles(policies["BlockValidation"]) == ({"ORDERER"} if chain.ordering == "raft" else set())
        for name in ("Endorsement", "LifecycleEndorsement"):
            policy = found["Application"]["policies"][name]["policy"]["value"]
            assert roles(found["Application"]["policies"][name]) == {"PEER"}
            assert policy["rule"]["n_out_of"]["n"] == 2
            assert len(policy["identities"]) == len(chain.organisations)
        for msp_id in chain.organisations:
            own = found["Application"]["groups"][msp_id]["policies"]
            assert roles(own["Endorsement"]) == {"PEER"}
            assert roles(own["Admins"]) == {"ADMIN"}


def roles(policy: Any) -> set[str]:
    value = policy["policy"]["value"]
    return {
        entry["principal"]["role"]
        for entry in value["identities"]
        if entry["principal_classification"] == "ROLE"
    }


def test_capabilities_batch_and_endpoints(network: Prepared) -> None:
    layout, topology = network
    for chain in topology.chains:
        block = inspect(layout.genesis(chain.chain))
        channel = block["data"]["data"][0]["payload"]["data"]["config"]["channel_group"]
        orderer, application = channel["groups"]["Orderer"], channel["groups"]["Application"]
        assert list(channel["values"]["Capabilities"]["value"]["capabilities"]) == ["V3_0"]
        assert list(orderer["values"]["Capabilities"]["value"]["capabilities"]) == ["V2_0"]
        assert list(application["values"]["Capabilities"]["value"]["capabilities"]) == ["V2_5"]
        assert orderer["values"]["BatchTimeout"]["value"]["timeout"] == "50ms"
        if chain.ordering == "smartbft":
            options = orderer["values"]["ConsensusType"]["value"]["metadata"]
            assert options["request_batch_max_interval"] == "50ms"  # SmartBFT's own; it ignores BatchTimeout
        assert orderer["values"]["BatchSize"]["value"] == {
            "absolute_max_bytes": 10 << 20,
            "max_message_count": 10,
            "preferred_max_bytes": 2 << 20,
        }
        for msp_id in chain.orderers:
            addresses = orderer["groups"][msp_id]["values"]["Endpoints"]["value"]["addresses"]
            nodes = topology.select(chain=chain.chain, kind="orderer", msp_id=msp_id)
            assert addresses == [node.endpoint for node in nodes]
        for msp_id in chain.organisations:
            (peer,) = topology.select(chain=chain.chain, kind="peer", msp_id=msp_id)
            anchors = application["groups"][msp_id]["values"]["AnchorPeers"]["value"]["anchor_peers"]
            assert anchors == [{"host": peer.address, "port": peer.ports["grpc"]}]


def test_sizes_are_kept_to_the_byte(tmp_path: Path) -> None:
    layout, topology = prepared(tmp_path / "network", "dev")
    batch = Batch(preferred_bytes=1_500, absolute_bytes=2_000_001)
    chain = dataclasses.replace(topology.main, batch=batch)
    make_genesis(layout, topology, chain, find_programs(fabric_bin()))
    channel = inspect(layout.genesis("main"))["data"]["data"][0]["payload"]["data"]["config"]["channel_group"]
    size = channel["groups"]["Orderer"]["values"]["BatchSize"]["value"]
    assert (size["preferred_max_bytes"], size["absolute_max_bytes"]) == (1_500, 2_000_001)


def test_no_key_goes_into_a_block(network: Prepared) -> None:
    layout, topology = network
    for chain in topology.chains:
        assert b"PRIVATE" not in layout.genesis(chain.chain).read_bytes()
        assert "PRIVATE" not in json.dumps(configtx(layout, topology, chain))


def test_block_0_is_never_made_anew(network: Prepared) -> None:
    layout, topology = network
    before = layout.genesis("main").read_bytes()
    make_genesis(layout, topology, topology.main, find_programs(fabric_bin()))
    assert layout.genesis("main").read_bytes() == before


def test_the_document_is_plain_yaml_with_absolute_paths(network: Prepared) -> None:
    layout, topology = network
    text = (layout.channel("main") / "configtx.yaml").read_text()
    assert yaml.safe_load(text) == configtx(layout, topology, topology.main)
    for line in text.splitlines():
        if "MSPDir" in line or "TLSCert" in line:
            assert Path(line.split(": ")[1]).is_absolute()
