"""Configurations: the embedded ledger's block 0, and those of Fabric's configtxgen, read by one code."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fabric_tools
import pytest
import yaml
from chains import TestChain, authorities_in, make_chain
from fabric_protos.common import common_pb2, configtx_pb2, policies_pb2
from fabric_protos.msp import msp_principal_pb2
from hypothesis import given, settings
from hypothesis import strategies as st
from scratch_contract import invoke

from identity.authority import DevelopmentAuthority
from identity.roles import Role
from identity.signers import Signer
from ledger.embedded import build_genesis
from protocol.blocks import block_signature_bytes, data_hash, header_hash
from protocol.configuration import Configuration, EndorsementPolicy
from protocol.errors import InvalidBlock, InvalidBlockSignature

ROLE = msp_principal_pb2.MSPRole.MSPRoleType


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestChain]:
    made = make_chain(
        tmp_path_factory.mktemp("configuration"),
        organisations=("Org1MSP", "Org2MSP", "Org3MSP"),
        invoke=invoke,
    )
    yield made
    made.close()


def changed(block: common_pb2.Block, change: Callable[[Any], None]) -> common_pb2.Block:
    """The block with another configuration."""
    copied = copy.deepcopy(block)
    envelope = common_pb2.Envelope.FromString(copied.data.data[0])
    payload = common_pb2.Payload.FromString(envelope.payload)
    config = configtx_pb2.ConfigEnvelope.FromString(payload.data)
    change(config.config)
    payload.data = config.SerializeToString()
    envelope.payload = payload.SerializeToString()
    copied.data.data[0] = envelope.SerializeToString()
    copied.header.data_hash = data_hash(copied.data.data)
    return copied


def test_embedded_genesis(chain: TestChain) -> None:
    configuration = Configuration.from_block(chain.genesis)
    assert configuration.chain == "main"
    assert (configuration.sequence, configuration.block) == (0, 0)
    assert configuration.header_hash == header_hash(chain.genesis.header)
    assert configuration.organisations == ("Org1MSP", "Org2MSP", "Org3MSP")
    assert configuration.orderer_organisations == ("OrdererMSP",)
    assert configuration.endorsement == EndorsementPolicy(2, frozenset(configuration.organisations))
    assert (configuration.consensus, configuration.consenters, configuration.orderer_quorum) == (
        "etcdraft",
        {},
        1,
    )
    assert configuration.msps.msp_ids == {"Org1MSP", "Org2MSP", "Org3MSP", "OrdererMSP"}
    assert configuration.msps.validate(chain.endorsers[2].serialized()).msp_id == "Org3MSP"


def test_genesis_needs_its_organisations(chain: TestChain) -> None:
    one = chain.authorities["Org1MSP"].fabric_msp_config()
    orderer = chain.authorities["OrdererMSP"].fabric_msp_config()
    now = datetime.now(UTC)
    with pytest.raises(ValueError, match="2 of 1"):
        build_genesis("main", [one], [orderer], now=now)
    with pytest.raises(ValueError, match="twice"):
        build_genesis("main", [one, one], [orderer], now=now)
    both = build_genesis("main", [one], [one], now=now, endorsements=1)
    assert Configuration.from_block(both).orderer_organisations == ("Org1MSP",)


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config.channel_group.groups["Application"].policies.pop("Endorsement"),
        lambda config: config.channel_group.groups.pop("Application"),
        lambda config: config.channel_group.groups.pop("Orderer"),
        lambda config: config.channel_group.groups["Orderer"].values.pop("ConsensusType"),
        lambda config: config.channel_group.groups["Orderer"].values.pop("BatchSize"),
        lambda config: config.channel_group.groups["Orderer"].groups.clear(),
        lambda config: config.channel_group.groups["Application"].groups["Org1MSP"].values.pop("MSP"),
        lambda config: setattr(
            config.channel_group.groups["Application"].groups["Org1MSP"].values["MSP"], "value", b"\xff"
        ),
    ],
)
def test_what_is_missing_is_refused(chain: TestChain, change: Callable[[Any], None]) -> None:
    with pytest.raises(InvalidBlock):
        Configuration.from_block(changed(chain.genesis, change))


def test_one_msp_under_two_names_is_refused(chain: TestChain) -> None:
    def twice(config: Any) -> None:
        groups = config.channel_group.groups["Application"].groups
        groups["Second"].CopyFrom(groups["Org1MSP"])

    with pytest.raises(InvalidBlock, match="twice"):
        Configuration.from_block(changed(chain.genesis, twice))


def test_a_transaction_s_block_is_no_configuration(chain: TestChain) -> None:
    with pytest.raises(InvalidBlock):
        Configuration.from_block(common_pb2.Block(data=common_pb2.BlockData(data=[b"", b""])))
    with pytest.raises(InvalidBlock):
        Configuration.from_block(common_pb2.Block(data=common_pb2.BlockData(data=[b""])))


def _rule(required: int, principals: list[tuple[str, int]], signed_by: list[int] | None = None) -> bytes:
    identities = [
        msp_principal_pb2.MSPPrincipal(
            principal=msp_principal_pb2.MSPRole(msp_identifier=name, role=role).SerializeToString()
        )
        for name, role in principals
    ]
    picks = range(len(principals)) if signed_by is None else signed_by
    rules = [policies_pb2.SignaturePolicy(signed_by=index) for index in picks]
    n_out_of = policies_pb2.SignaturePolicy.NOutOf(n=required, rules=rules)
    envelope = policies_pb2.SignaturePolicyEnvelope(
        rule=policies_pb2.SignaturePolicy(n_out_of=n_out_of), identities=identities
    )
    return bytes(envelope.SerializeToString())


def _with_policy(chain: TestChain, kind: int, value: bytes) -> common_pb2.Block:
    def change(config: Any) -> None:
        policy = config.channel_group.groups["Application"].policies["Endorsement"].policy
        policy.type, policy.value = kind, value

    return changed(chain.genesis, change)


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (_rule(2, [("Org1MSP", ROLE.PEER), ("Org1MSP", ROLE.MEMBER)]), "twice"),
        (_rule(2, [("Org1MSP", ROLE.PEER)], [0, 0]), "twice"),
        (_rule(0, [("Org1MSP", ROLE.PEER)]), "0 of 1"),
        (_rule(3, [("Org1MSP", ROLE.PEER), ("Org2MSP", ROLE.PEER)]), "3 of 2"),
        (_rule(1, [("Org1MSP", ROLE.PEER)], [4]), "principals"),
        (_rule(1, [("Org1MSP", ROLE.PEER)], [-1]), "principals"),
        (_rule(1, [("Org1MSP", ROLE.ADMIN)]), "peers or members"),
        (b"\xff", "cannot be read"),
        (b"", "0 of 0"),
    ],
)
def test_unsound_policies_are_refused(chain: TestChain, value: bytes, fault: str) -> None:
    with pytest.raises(InvalidBlock, match=fault):
        Configuration.from_block(_with_policy(chain, 1, value))


def test_member_policies_let_any_member_endorse(chain: TestChain) -> None:
    value = _rule(1, [("Org1MSP", ROLE.MEMBER), ("Org2MSP", ROLE.MEMBER)])
    found = Configuration.from_block(_with_policy(chain, 1, value)).endorsement
    assert found == EndorsementPolicy(1, frozenset({"Org1MSP", "Org2MSP"}), peers_only=False)


@pytest.mark.parametrize(("rule", "required"), [("ANY", 1), ("MAJORITY", 2), ("ALL", 3)])
def test_implicit_policies(chain: TestChain, rule: str, required: int) -> None:
    meta = policies_pb2.ImplicitMetaPolicy(
        sub_policy="Endorsement", rule=policies_pb2.ImplicitMetaPolicy.Rule.Value(rule)
    )
    found = Configuration.from_block(_with_policy(chain, 3, meta.SerializeToString())).endorsement
    assert found == EndorsementPolicy(required, frozenset({"Org1MSP", "Org2MSP", "Org3MSP"}))


def test_policies_of_other_kinds_are_refused(chain: TestChain) -> None:
    unknown = policies_pb2.ImplicitMetaPolicy(sub_policy="Endorsement")
    raw = unknown.SerializeToString() + b"\x10\x09"  # rule 9
    for kind, value in ((2, b""), (3, raw), (3, b"\x0a\x01x")):
        with pytest.raises(InvalidBlock):
            Configuration.from_block(_with_policy(chain, kind, value))


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_changed_byte_gives_a_configuration_or_a_typed_error(chain: TestChain, data: st.DataObject) -> None:
    raw = chain.genesis.data.data[0]
    position = data.draw(st.integers(0, len(raw) - 1))
    flipped = raw[:position] + bytes([raw[position] ^ data.draw(st.integers(1, 255))]) + raw[position + 1 :]
    block = common_pb2.Block(data=common_pb2.BlockData(data=[flipped]))
    with contextlib.suppress(InvalidBlock):
        assert Configuration.from_block(block).organisations


class TestSuccessor:
    """Each configuration is taken under the one before."""

    def block(self, chain: TestChain, sequence: int, signer: Signer, index: int = 5) -> common_pb2.Block:
        following = changed(chain.genesis, lambda config: setattr(config, "sequence", sequence))
        following.header.number = 5
        last = common_pb2.OrdererBlockMetadata(last_config=common_pb2.LastConfig(index=index))
        value = last.SerializeToString()
        header = common_pb2.SignatureHeader(creator=signer.serialized(), nonce=b"n").SerializeToString()
        signature = signer.sign(block_signature_bytes(value, header, following.header))
        metadata = common_pb2.Metadata(value=value)
        metadata.signatures.add(signature_header=header, signature=signature)
        following.metadata.metadata[0] = metadata.SerializeToString()
        return following

    def test_next(self, chain: TestChain) -> None:
        first = Configuration.from_block(chain.genesis)
        second = first.successor(self.block(chain, 1, chain.orderer))
        assert (second.sequence, second.block) == (1, 5)

    def test_gap_and_repeat(self, chain: TestChain) -> None:
        first = Configuration.from_block(chain.genesis)
        for sequence in (0, 2):
            with pytest.raises(InvalidBlock, match="does not follow"):
                first.successor(self.block(chain, sequence, chain.orderer))

    def test_unsigned_by_the_predecessor_s_orderers(self, chain: TestChain) -> None:
        first = Configuration.from_block(chain.genesis)
        with pytest.raises(InvalidBlockSignature):
            first.successor(self.block(chain, 1, chain.endorsers[0]))

    def test_names_itself(self, chain: TestChain) -> None:
        first = Configuration.from_block(chain.genesis)
        with pytest.raises(InvalidBlock, match="name itself"):
            first.successor(self.block(chain, 1, chain.orderer, index=4))


# ------------------------------------------------------------------ Fabric's own programs


def test_configtxgen_reads_the_embedded_genesis(chain: TestChain, tmp_path: Path) -> None:
    path = tmp_path / "genesis.block"
    path.write_bytes(chain.genesis.SerializeToString())
    seen = fabric_tools.inspect(path)
    group = seen["data"]["data"][0]["payload"]["data"]["config"]["channel_group"]["groups"]
    application = group["Application"]
    assert sorted(application["groups"]) == ["Org1MSP", "Org2MSP", "Org3MSP"]
    config = application["groups"]["Org2MSP"]["values"]["MSP"]["value"]["config"]
    assert config["name"] == "Org2MSP"
    assert config["fabric_node_ous"]["enable"] is True
    policy = application["policies"]["Endorsement"]["policy"]["value"]
    assert policy["rule"]["n_out_of"]["n"] == 2
    assert [entry["principal"] for entry in policy["identities"]] == [
        {"msp_identifier": f"Org{number}MSP", "role": "PEER"} for number in (1, 2, 3)
    ]
    assert group["Orderer"]["values"]["ConsensusType"]["value"]["type"] == "etcdraft"
    assert seen["data"]["data"][0]["payload"]["header"]["channel_header"]["channel_id"] == "main"


@pytest.fixture(scope="module")
def organisations(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DevelopmentAuthority]:
    return authorities_in(tmp_path_factory.mktemp("fabric"), ("Org1MSP", "Org2MSP", "OrdererMSP"))


def _msp_folder(authority: DevelopmentAuthority, home: Path) -> Path:
    """An organisation as configtxgen reads it."""
    (home / "cacerts").mkdir(parents=True)
    (home / "cacerts" / "ca.pem").write_bytes(authority.root_certificate_pem)
    (home / "tlscacerts").mkdir()
    (home / "tlscacerts" / "ca.pem").write_bytes(authority.root_certificate_pem)
    units: dict[str, Any] = {"Enable": True}
    for name in ("Client", "Peer", "Admin", "Orderer"):
        unit = {"Certificate": "cacerts/ca.pem", "OrganizationalUnitIdentifier": name.lower()}
        units[f"{name}OUIdentifier"] = unit
    (home / "config.yaml").write_text(yaml.safe_dump({"NodeOUs": units}))
    return home


def _policies(rules: dict[str, tuple[str, str]]) -> dict[str, Any]:
    return {name: {"Type": kind, "Rule": rule} for name, (kind, rule) in rules.items()}


def _configtx(folder: Path, authorities: dict[str, DevelopmentAuthority], consensus: dict[str, Any]) -> None:
    def organisation(name: str) -> dict[str, Any]:
        rules = {
            "Readers": ("Signature", f"OR('{name}.member')"),
            "Writers": ("Signature", f"OR('{name}.member')"),
            "Admins": ("Signature", f"OR('{name}.admin')"),
            "Endorsement": ("Signature", f"OR('{name}.peer')"),
        }
        return {
            "Name": name,
            "ID": name,
            "MSPDir": str(_msp_folder(authorities[name], folder / name)),
            "Policies": _policies(rules),
            "OrdererEndpoints": ["127.0.0.1:7050"],
        }

    meta = {
        "Readers": ("ImplicitMeta", "ANY Readers"),
        "Writers": ("ImplicitMeta", "ANY Writers"),
        "Admins": ("ImplicitMeta", "MAJORITY Admins"),
    }
    endorse = ("ImplicitMeta", "MAJORITY Endorsement")
    profile = {
        "Policies": _policies(meta),
        "Capabilities": {"V3_0": True},
        "Orderer": {
            **consensus,
            "BatchTimeout": "200ms",
            "BatchSize": {"MaxMessageCount": 10, "AbsoluteMaxBytes": "10 MB", "PreferredMaxBytes": "2 MB"},
            "Organizations": [organisation("OrdererMSP")],
            "Policies": _policies({**meta, "BlockValidation": ("ImplicitMeta", "ANY Writers")}),
            "Capabilities": {"V2_0": True},
        },
        "Application": {
            "Organizations": [organisation("Org1MSP"), organisation("Org2MSP")],
            "Policies": _policies({**meta, "Endorsement": endorse, "LifecycleEndorsement": endorse}),
            "Capabilities": {"V2_5": True},
        },
    }
    (folder / "configtx.yaml").write_text(yaml.safe_dump({"Profiles": {"Genesis": profile}}))


def test_fabric_s_raft_genesis(tmp_path: Path, organisations: dict[str, DevelopmentAuthority]) -> None:
    fabric_tools.tool("configtxgen")
    certificate = tmp_path / "tls.pem"
    certificate.write_bytes(_orderers(organisations)[0].certificate_pem)
    entry = {
        "Host": "127.0.0.1",
        "Port": 7050,
        "ClientTLSCert": str(certificate),
        "ServerTLSCert": str(certificate),
    }
    _configtx(tmp_path, organisations, {"OrdererType": "etcdraft", "EtcdRaft": {"Consenters": [entry]}})
    block = common_pb2.Block.FromString(fabric_tools.generate(tmp_path, "Genesis"))
    found = Configuration.from_block(block)
    assert (found.chain, found.consensus, found.consenters) == ("fabric", "etcdraft", {})
    assert found.organisations == ("Org1MSP", "Org2MSP")
    assert found.orderer_organisations == ("OrdererMSP",)
    assert found.endorsement == EndorsementPolicy(2, frozenset({"Org1MSP", "Org2MSP"}))
    assert found.max_block_bytes == 10 * 1024 * 1024
    assert bytes(block.header.data_hash) == data_hash(block.data.data)
    peer = organisations["Org1MSP"].issue("peer0", Role.PEER, now=datetime.now(UTC))
    assert found.msps.validate(peer.serialized()).node_class == "peer"


def test_fabric_s_bft_genesis(tmp_path: Path, organisations: dict[str, DevelopmentAuthority]) -> None:
    fabric_tools.tool("configtxgen")
    orderers = _orderers(organisations)
    mapping = []
    for number, orderer in enumerate(orderers, start=1):
        certificate = tmp_path / f"orderer{number}.pem"
        certificate.write_bytes(orderer.certificate_pem)
        names = ("Identity", "ClientTLSCert", "ServerTLSCert")
        mapping.append(
            {"ID": number, "Host": "127.0.0.1", "Port": 7050 + number, "MSPID": "OrdererMSP"}
            | dict.fromkeys(names, str(certificate))
        )
    timing = {"RequestBatchMaxCount": 10, "RequestBatchMaxBytes": 10485760}
    _configtx(
        tmp_path, organisations, {"OrdererType": "BFT", "ConsenterMapping": mapping, "SmartBFT": timing}
    )
    block = common_pb2.Block.FromString(fabric_tools.generate(tmp_path, "Genesis"))
    found = Configuration.from_block(block)
    assert (found.consensus, sorted(found.consenters), found.orderer_quorum) == ("BFT", [1, 2, 3, 4], 3)
    for number, orderer in enumerate(orderers, start=1):
        assert found.consenter_key(found.consenters[number]) == orderer.spki
        assert found.consenters[number].msp_id == "OrdererMSP"


def _orderers(organisations: dict[str, DevelopmentAuthority]) -> list[Signer]:
    now = datetime.now(UTC) - timedelta(minutes=1)
    return [organisations["OrdererMSP"].issue(f"o{number}", Role.ORDERER, now=now) for number in range(4)]
