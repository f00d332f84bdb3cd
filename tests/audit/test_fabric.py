"""Bundles and chain copies of real Fabric: SmartBFT and Raft, and all that an update of a channel changes.

One network of its own, since what is changed here cannot be changed back: main is ordered by four SmartBFT
orderers, edge-a by one Raft orderer. ``played`` lives through the updates once; the tests judge what it left.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fabric_network import fabric_bin, on_free_ports
from fabric_protos.common import common_pb2
from fabric_protos.gateway import gateway_pb2
from fabric_world import FabricWorld, fabric_world

from audit.blocks import TrustedChains
from audit.chain import check_chain
from audit.copies import audit_copies
from audit.errors import AuditError, Check
from audit.verifier import read_bundle, verify_bundle
from chaincode.api import EnrolDevice
from edgeproof.ready import probe
from identity import DevelopmentAuthority, KeyPair, Role, Signer, write_local_msp
from ledger.block_files import PeerBlockFiles
from ledger.fabric import Endpoint, Identity, no_hash
from ledger.fabric.sync import connect
from network import Network, down, up
from network.config_update import change_batch, change_consenters, change_msp
from network.control import Keeper
from network.topology import Batch
from network.topology_file import load_topology, named_topology
from network.updates import read_configuration, submit_envelope, update_channel
from protocol.blocks import last_configuration, validation_codes
from protocol.bundle import Bundle, serialise_bundle
from protocol.elements import CHAINCODE, views
from protocol.encodings import encode
from protocol.trust import TrustRoot

pytestmark = pytest.mark.fabric

EDGE, MAIN = "edge-a", "main"
ORDERER = "edge-a-orderer"
OWNER = "edge-a-owner"
MVCC_READ_CONFLICT = 11


@dataclass
class Played:
    """What was made before, between and after the updates."""

    network: Network
    world: FabricWorld
    before: TrustRoot
    after: TrustRoot
    records: list[bytes]
    """One before the updates, one after each."""
    padded: str
    """Id of a transaction whose envelope has a field that Fabric does not know."""
    conflicting: str
    """Id of one that lost against another."""

    def bundle(self, at: int, profile: str = "full") -> Bundle:
        return self.world.prover.record_bundle(EDGE, self.records[at], profile=profile)

    def blocks_of(self, chain: str, msp_id: str) -> Path:
        (peer,) = self.network.topology.select(chain=chain, kind="peer", msp_id=msp_id)
        ledgers = self.network.layout.node(peer.name) / "data" / "ledgersData"
        return ledgers / "chains" / "chains" / chain

    @property
    def copies(self) -> list[Path]:
        return [self.blocks_of(MAIN, "cloud-auditor"), self.blocks_of(EDGE, OWNER)]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("audited")
    dev = load_topology(named_topology("dev"))
    main = replace(dev.main, ordering="smartbft", orderers={"cloud-operator": 2, "cloud-auditor": 2})
    root = folder / "network"
    try:
        up(
            root,
            on_free_ports(dataclasses.replace(dev, name="audited", main=main)),
            probe,
            fabric_bin=fabric_bin(),
        )
        network = Network(root)
        with fabric_world(network, folder) as world:
            yield _play(network, world)
    finally:
        with contextlib.suppress(Exception):
            down(root)
        shutil.rmtree(root, ignore_errors=True)


def _play(network: Network, world: FabricWorld) -> Played:
    device = world.enrol(EDGE, "meter-1")
    records: list[bytes] = []

    def record() -> None:
        records.extend(world.submit_contents(device, [f'{{"value":{len(records)}}}'.encode()]))
        world.interlock()

    record()
    before = world.trust()
    padded, conflicting = _odd_transactions(network, world)
    for update in (_replace_edge_orderers_authority, _revoke_a_member, _replace_a_consenter, _batches):
        update(network)
        record()
    return Played(network, world, before, world.trust(), records, padded, conflicting)


# ---------------------------------------------------------------------- what is changed


def _replace_edge_orderers_authority(network: Network) -> None:
    """Both authorities are known, the orderer changes over, the old one is known no more."""
    layout = network.layout
    (node,) = network.topology.select(chain=EDGE, kind="orderer")
    now = datetime.now(UTC) - timedelta(minutes=1)
    old = DevelopmentAuthority.load(layout.authority(ORDERER)).root_certificate_pem
    new = DevelopmentAuthority.create(ORDERER, layout.organisation(ORDERER) / "second-authority", now=now)
    update_channel(network, EDGE, change_msp(ORDERER, roots=[old, new.root_certificate_pem]))
    home = layout.node(node.name)
    shutil.copytree(layout.msp(ORDERER), home / "new-msp")
    (home / "new-msp" / "cacerts" / "second.pem").write_bytes(new.root_certificate_pem)
    units = (home / "new-msp" / "config.yaml").read_text().splitlines()
    # Node classes count under either authority.
    (home / "new-msp" / "config.yaml").write_text(
        "\n".join(one for one in units if "Certificate:" not in one)
    )
    signer = new.issue(node.name, Role.ORDERER, now=now)
    shutil.rmtree(home / "msp")
    write_local_msp(home / "msp", home / "new-msp", signer)
    Keeper(network.root).restart([node.name])
    update_channel(network, EDGE, change_msp(ORDERER, roots=[new.root_certificate_pem]))
    shutil.rmtree(layout.identity(ORDERER, Role.ADMIN.value))
    new.issue("admin", Role.ADMIN, now=now).save(layout.identity(ORDERER, Role.ADMIN.value))


def _revoke_a_member(network: Network) -> None:
    authority = DevelopmentAuthority.load(network.layout.authority(OWNER))
    revoked = Signer.load(network.layout.identity(OWNER, Role.TRAINER.value), msp_id=OWNER)
    authority.revoke(revoked)
    assert authority.revocation_list_pem is not None
    update_channel(
        network,
        EDGE,
        change_msp(OWNER, revocation_lists=[authority.revocation_list_pem]),
    )


def _replace_a_consenter(network: Network) -> None:
    """One of main's four leaves (three then order, two of them a quorum) and comes back with another key."""
    layout = network.layout
    node = network.topology.select(chain=MAIN, kind="orderer")[-1]
    taken: list[Any] = []

    def leave(consenters: list[Any]) -> None:
        taken.append(next(one for one in consenters if one.port == node.ports["grpc"]))
        consenters.remove(taken[0])

    update_channel(network, MAIN, change_consenters(leave))
    update_channel(network, MAIN, change_batch(Batch(messages=11)))  # ordered by three
    now = datetime.now(UTC) - timedelta(minutes=1)
    signer = DevelopmentAuthority.load(layout.authority(node.msp_id)).issue(
        node.name[:64], Role.ORDERER, now=now
    )
    taken[0].identity = signer.certificate_pem
    home = layout.node(node.name)
    shutil.rmtree(home / "msp")
    write_local_msp(home / "msp", layout.msp(node.msp_id), signer)
    Keeper(network.root).restart([node.name])
    update_channel(network, MAIN, change_consenters(lambda consenters: consenters.append(taken[0])))


def _batches(network: Network) -> None:
    for chain in (MAIN, EDGE):
        update_channel(network, chain, change_batch(Batch(timeout="150ms", messages=7)))


def _odd_transactions(network: Network, world: FabricWorld) -> tuple[str, str]:
    """Two endorsed on one state, the first with a field that nobody knows: valid; the second: a conflict."""
    organisation = world.chains[EDGE].organisations[0]
    admin = world.chains[EDGE].signer(organisation, Role.ADMIN)
    peer = network.peer(EDGE, organisation)
    message = world.enrolment(EDGE, "meter-2", KeyPair.generate())
    identity = Identity(organisation, admin.certificate_pem)
    endpoint = Endpoint(peer.address, peer.tls_roots, peer.server_name)
    made = []
    with connect(endpoint, identity, sign=admin.sign, hash=no_hash) as gateway:
        contract = gateway.get_network(EDGE).get_contract(CHAINCODE)
        for _ in range(2):
            proposal = contract.new_proposal(message.FUNCTION, arguments=[encode(message)])
            prepared = gateway_pb2.PreparedTransaction.FromString(proposal.endorse().get_bytes())
            envelope = common_pb2.Envelope(payload=prepared.envelope.payload)
            envelope.signature = admin.sign(envelope.payload)
            made.append((prepared.transaction_id, envelope))
    (first, padded), (second, plain) = made
    padded.MergeFromString(b"\xa2\x06\x04more")
    for envelope in (padded, plain):
        submit_envelope(network, EDGE, envelope)
    ledger = world.ledgers[EDGE]
    height = ledger.information().height
    while ledger.find(second) is None:
        assert ledger.wait(height, 20)
        height += 1
    return first, second


# ---------------------------------------------------------------------- what is judged


def test_every_bundle_verifies_under_either_trust_root(played: Played) -> None:
    """Also those whose blocks were signed with keys that were retired since."""
    for at in range(len(played.records)):
        for profile in ("compact", "full"):
            bundle = read_bundle(serialise_bundle(played.bundle(at, profile)))
            for trust in (played.before, played.after):
                assert verify_bundle(bundle, trust).facts.record == played.records[at].hex()
    assert not played.bundle(0).configurations
    shown = {
        chain: [one.number for one in played.bundle(-1).configurations if one.chain == chain]
        for chain in (EDGE, MAIN)
    }
    assert [len(numbers) for numbers in shown.values()] == [4, 4]
    known = {one.chain: len(one.config_blocks) for one in played.after.chains}
    assert known == {EDGE: 5, MAIN: 5}


def test_configurations_are_needed(played: Played) -> None:
    bundle = played.bundle(-1)
    for left_out in bundle.configurations:
        kept = tuple(one for one in bundle.configurations if one != left_out)
        with pytest.raises(AuditError) as refusal:
            verify_bundle(replace(bundle, configurations=kept), played.before)
        assert refusal.value.check in (Check.CONFIGURATION, Check.BLOCK_SIGNATURE)
        # Whoever knows them need not be shown them.
        verify_bundle(replace(bundle, configurations=kept), played.after)
    verify_bundle(replace(bundle, configurations=()), played.after)


def test_blocks_carry_just_a_quorum_of_the_orderers_in_force(played: Played) -> None:
    history = None
    counts = set()
    for block in PeerBlockFiles(played.blocks_of(MAIN, "cloud-operator")).blocks(0):
        if not block.header.number:
            continue
        metadata = common_pb2.Metadata.FromString(block.metadata.metadata[0])
        counts.add(len(metadata.signatures))
        assert all(one.identifier_header and not one.signature_header for one in metadata.signatures)
        history = last_configuration(block)
    assert counts == {2, 3}
    assert history == read_configuration(played.network, MAIN).number


def test_copies_of_every_peer_hold(played: Played) -> None:
    outcome = audit_copies(played.copies, played.before)
    main, edge = outcome.fields["chains"]
    assert len(main["configurations"]) == len(edge["configurations"]) == 5
    assert (main["anchors_compared"], edge["anchors_compared"]) == (5, 5)
    for chain in played.network.topology.chains:
        for msp_id in chain.organisations:
            copied = PeerBlockFiles(played.blocks_of(chain.chain, msp_id))
            facts = check_chain(copied.blocks(0), TrustedChains(played.after), chain.chain)
            assert facts.statements == played.world.indexes[chain.chain].statements()


def test_a_rewritten_block_of_a_copy_is_named(played: Played, tmp_path: Path) -> None:
    copied = tmp_path / "copy"
    shutil.copytree(played.copies[1], copied)
    (file,) = copied.glob("blockfile_*")
    raw = file.read_bytes()
    file.write_bytes(raw.replace(b'{\\"value\\":2}', b'{\\"value\\":3}').replace(b"meter-1", b"meter-2"))
    assert file.read_bytes() != raw
    with pytest.raises(AuditError) as refusal:
        audit_copies([copied], played.before)
    assert refusal.value.check is Check.BLOCK_LINKAGE
    assert refusal.value.where.startswith("edge-a block ")


def test_an_orderer_s_own_files_have_no_codes(played: Played) -> None:
    (node,) = played.network.topology.select(chain=EDGE, kind="orderer")
    copied = PeerBlockFiles(played.network.layout.node(node.name) / "data" / "ledger" / "chains" / EDGE)
    with pytest.raises(AuditError, match="validation codes"):
        check_chain(copied.blocks(0), TrustedChains(played.before), EDGE)


def test_unknown_fields_and_conflicts_are_elements_like_any_other(played: Played) -> None:
    seen = {}
    for block in PeerBlockFiles(played.blocks_of(EDGE, OWNER)).blocks(0):
        assert len(validation_codes(block)) == len(block.data.data)
        for view in views(block):
            seen[view.transaction] = view
    assert seen[played.padded].envelope.endswith(b"\xa2\x06\x04more")
    assert (seen[played.padded].code, seen[played.padded].function) == (0, EnrolDevice.FUNCTION)
    assert seen[played.conflicting].code == MVCC_READ_CONFLICT
    index = played.world.indexes[EDGE]
    for identifier in (played.padded, played.conflicting):
        assert index.membership(index.number_of(identifier)).code == seen[identifier].code
    lifecycle = [view for view in seen.values() if view.chaincode == "_lifecycle"]
    assert len(lifecycle) == 3  # two organisations approve, one commits
    for view in lifecycle:
        assert index.membership(index.number_of(view.transaction)).code == 0


def test_what_the_revoked_member_signs_is_worth_nothing_afterwards(played: Played) -> None:
    """Under the configuration before it is; validity goes by height."""
    trainer = played.world.chains[EDGE].signer(OWNER, Role.TRAINER)
    histories = {
        name: TrustedChains(trust).find(EDGE).history
        for name, trust in (("before", played.before), ("after", played.after))
    }
    histories["before"].newest.msps.validate(trainer.serialized())
    with pytest.raises(Exception, match="revoked"):
        histories["after"].newest.msps.validate(trainer.serialized())
