"""Which orderers' certificates a channel has to be told anew; ``test_membership`` has what it does then."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fabric_protos.common import common_pb2, configtx_pb2, configuration_pb2
from fabric_protos.orderer import configuration_pb2 as orderer_pb2
from fabric_protos.orderer.etcdraft import configuration_pb2 as raft_pb2
from prepared_network import prepared

from identity import DevelopmentAuthority
from network import Network
from network.consenters import settle_orderers
from network.errors import IdentityProblem
from network.topology import Node
from network.updates import ConfigBlock


class Site:
    """A prepared ``default`` network whose channels name what ``namer`` says of each orderer."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.layout, self.topology = prepared(folder / "network", "default")
        self.network = Network(folder / "network")
        self.naming: Callable[[bytes], bytes] = lambda pem: pem
        self.absent: set[str] = set()
        self.said: list[str] = []
        self.updated: list[str] = []
        self.named = {node.name: self._read(node) for node in self.topology.nodes if node.kind == "orderer"}
        monkeypatch.setattr("network.consenters.read_configuration", self._configuration)
        monkeypatch.setattr("network.consenters.update_channel", self._update)

    def settle(self, chain: str) -> bool:
        return settle_orderers(
            self.network, chain, lambda node: self.said.append(node.name), self.said.append
        )

    def orderers(self, chain: str) -> tuple[Node, ...]:
        return self.topology.select(chain=chain, kind="orderer")

    def renew(self, node: Node, place: Path) -> bytes:
        authority = DevelopmentAuthority.load(self.layout.tls_authority(node.msp_id))
        issued = authority.issue_tls(node.name[:64], [node.address, node.name], now=datetime.now(UTC))
        issued.save(place)
        return issued.certificate_pem

    def _read(self, node: Node) -> tuple[bytes, bytes]:
        home = self.layout.node(node.name)
        return (home / "tls" / "cert.pem").read_bytes(), (home / "identity" / "cert.pem").read_bytes()

    def _configuration(self, _: Network, chain: str) -> ConfigBlock:
        group = configtx_pb2.ConfigGroup()
        values = group.groups["Orderer"].values
        consenters: list[Any] = []
        raft = self.topology.chain(chain).ordering == "raft"
        for node in self.orderers(chain):
            if node.name in self.absent:
                continue
            tls, identity = (self.naming(pem) for pem in self.named[node.name])
            where = {"host": node.address, "port": node.ports["grpc"]}
            certificates = {"client_tls_cert": tls, "server_tls_cert": tls}
            consenters.append(
                raft_pb2.Consenter(**where, **certificates)
                if raft
                else configuration_pb2.Consenter(**where, **certificates, identity=identity)
            )
        metadata = raft_pb2.ConfigMetadata(consenters=consenters).SerializeToString() if raft else b""
        consensus = orderer_pb2.ConsensusType(type="etcdraft" if raft else "BFT", metadata=metadata)
        values["ConsensusType"].value = consensus.SerializeToString()
        mapping = configuration_pb2.Orderers(consenter_mapping=[] if raft else consenters)
        values["Orderers"].value = mapping.SerializeToString()
        config = configtx_pb2.ConfigEnvelope(config=configtx_pb2.Config(channel_group=group))
        payload = common_pb2.Payload(data=config.SerializeToString())
        envelope = common_pb2.Envelope(payload=payload.SerializeToString())
        block = common_pb2.Block()
        block.data.data.append(envelope.SerializeToString())
        return ConfigBlock(block)

    def _update(self, _: Network, chain: str, change: Any) -> None:
        group = self._configuration(self.network, chain).config.channel_group
        before = group.SerializeToString(deterministic=True)
        change(group)
        assert group.SerializeToString(deterministic=True) != before
        self.updated.append(chain)
        for node in self.orderers(chain):
            place = self.layout.next_folder(node.name) / "tls" / "cert.pem"
            if place.is_file():
                self.named[node.name] = (place.read_bytes(), self.named[node.name][1])


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch)


def test_what_is_named_already_is_left_alone(site: Site) -> None:
    for chain in site.topology.chains:
        assert not site.settle(chain.chain)
    # The same certificate, as another program writes it.
    site.naming = lambda pem: pem.replace(b"\n", b"\r\n")
    assert not site.settle("main")
    assert (site.said, site.updated) == ([], [])


def test_a_new_key_is_named_before_it_is_used(site: Site) -> None:
    node = site.orderers("main")[2]
    fresh = site.renew(node, site.layout.next_folder(node.name) / "tls")
    home = site.layout.node(node.name) / "tls" / "cert.pem"
    assert home.read_bytes() != fresh
    assert site.settle("main")
    assert site.updated == ["main"]
    assert home.read_bytes() == fresh
    assert site.said[-1] == node.name  # restarted
    assert not site.settle("main")


def test_the_only_raft_orderer_keeps_its_key(site: Site) -> None:
    (node,) = site.orderers("edge-a")
    home = site.layout.node(node.name)
    site.renew(node, site.layout.next_folder(node.name) / "tls")
    with pytest.raises(IdentityProblem, match="keeps its TLS key"):
        site.settle("edge-a")
    assert (home / "tls" / "cert.pem").read_bytes() == site.named[node.name][0]
    assert site.updated == []


def test_an_orderer_that_left_is_left_alone(site: Site) -> None:
    node = site.orderers("main")[0]
    site.absent.add(node.name)
    assert not site.settle("main")
    assert site.said == [f"main: {node.name} ({node.endpoint}) is not among the channel's orderers"]
