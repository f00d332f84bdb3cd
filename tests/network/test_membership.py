"""Orderers' keys, authorities and revocation lists of running chains, changed under load.

One network of its own, since others would not expect this: main is ordered by four SmartBFT orderers, edge-a
by three Raft orderers.
"""

from __future__ import annotations

import dataclasses
import shutil
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fabric_network import fabric_bin, on_free_ports
from prepared_network import prepared

from audit.blocks import TrustedChains
from audit.chain import check_chain
from chaincode.api import GetOrganisation, Organisation, RegisterOrganisation
from edgeproof.deployment import Deployment, Plan
from edgeproof.ready import probe
from edgeproof.trust import export_trust
from edgeproof.wiring import Parts
from identity import DevelopmentAuthority, Role, Signer
from ledger.block_files import PeerBlockFiles
from ledger.errors import IdentityRefused, LedgerError
from ledger.fabric_ledger import FabricLedger
from ledger.port import call, evaluate_typed
from network import Network, down, renew, up
from network.consenters import settle_orderers
from network.doctor import doctor
from network.errors import IdentityProblem, NetworkError, NotReady
from network.membership import finish_revocations, publish_msp, revoke
from network.records import working_alone
from network.renewal import identities
from network.topology_file import load_topology, named_topology
from network.updates import read_configuration

pytestmark = pytest.mark.fabric(own_network=True)

EDGE, MAIN, OWNER = "edge-a", "main", "edge-a-owner"
ORDERERS = {MAIN: {"cloud-operator": 2, "cloud-auditor": 2}, EDGE: {"edge-a-orderer": 3}}


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    root = tmp_path_factory.mktemp("members") / "network"
    dev = load_topology(named_topology("dev"))
    main = dataclasses.replace(dev.main, ordering="smartbft", orderers=ORDERERS[MAIN])
    edge = dataclasses.replace(dev.edges[0], orderers=ORDERERS[EDGE])
    try:
        up(
            root,
            on_free_ports(dataclasses.replace(dev, main=main, edges=(edge,))),
            probe,
            fabric_bin=fabric_bin(),
        )
        yield Network(root)
    finally:
        down(root)


class Writer(threading.Thread):
    """Renames an organisation again and again; each acknowledged write is the chain's last word."""

    def __init__(self, network: Network, chain: str) -> None:
        super().__init__()
        self.chain, self.operator = chain, network.chain(chain).operator
        self.deployment = Deployment.adopt(network.root, Plan.of_network(network.topology))
        self.caches = network.root / f"writer-{chain}"
        self.written = 0
        self.longest = 0.0
        self.lost: list[str] = []
        self._ended = threading.Event()

    def run(self) -> None:
        with Parts(self.deployment, "writer", caches=self.caches) as parts:
            ledger = parts.ledger(self.chain, self.operator, Role.ADMIN)
            spki = self.deployment.owner_key(self.operator).spki
            last = time.monotonic()
            while not self._ended.is_set():
                wanted = Organisation(self.operator, f"name {self.written}", spki)
                try:
                    call(ledger, RegisterOrganisation(wanted), timeout=10)
                    found = evaluate_typed(ledger, GetOrganisation(self.operator))
                except LedgerError:
                    continue
                if found != wanted:
                    self.lost.append(wanted.name)
                self.written += 1
                self.longest, last = max(self.longest, time.monotonic() - last), time.monotonic()

    def __enter__(self) -> Writer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()


def named(network: Network, chain: str) -> bytes:
    return read_configuration(network, chain).config.channel_group.SerializeToString()


def test_orderers_get_new_keys_while_the_chains_go_on(network: Network) -> None:
    nodes = [node for chain in ORDERERS for node in network.topology.select(chain=chain, kind="orderer")]
    chosen = [f"nodes/{nodes[at].name}/{part}" for at in (0, 4) for part in ("tls", "identity")]
    former = {name: (network.root / name / "cert.pem").read_bytes() for name in chosen}
    with Writer(network, MAIN) as main, Writer(network, EDGE) as edge:
        renew(network.root, chosen, new_keys=True)
    for name, certificate in former.items():
        fresh = (network.root / name / "cert.pem").read_bytes()
        assert fresh != certificate
        # SmartBFT's channels name what blocks are signed with, too.
        if name.endswith("/tls") or f"{MAIN}." in name:
            chain = MAIN if f"{MAIN}." in name else EDGE
            assert fresh in named(network, chain)
            assert certificate not in named(network, chain)
    for writer in (main, edge):
        assert writer.lost == []
        assert writer.written > 3
        probe(network, writer.chain)
    print(f"longest pause: main {main.longest:.1f} s, edge-a {edge.longest:.1f} s")


def test_a_renewed_certificate_of_the_same_key_is_named_too(network: Network) -> None:
    node = network.topology.select(chain=MAIN, kind="orderer")[1]
    chosen = [f"nodes/{node.name}/{part}" for part in ("tls", "identity")]
    former = {name: (network.root / name / "key.pem").read_bytes() for name in chosen}
    renew(network.root, chosen, lifetime=timedelta(days=200))
    for name, key in former.items():
        assert (network.root / name / "key.pem").read_bytes() == key
        assert (network.root / name / "cert.pem").read_bytes() in named(network, MAIN)
    probe(network, MAIN)


def test_a_renewal_that_was_ended_half_way_is_finished_by_up(network: Network) -> None:
    """The channel knows the new key, its orderer does not use it yet."""
    (node, *_) = network.topology.select(chain=EDGE, kind="orderer")

    class Ended(Exception):
        pass

    folder = network.layout.node(node.name) / "tls"
    authority = DevelopmentAuthority.load(network.layout.tls_authority(node.msp_id))
    waits = authority.issue_tls(node.name, [node.address, node.name], now=datetime.now(UTC))
    waits.save(network.layout.next_folder(node.name) / "tls")

    def end(*_: object) -> None:
        raise Ended

    with pytest.raises(Ended):
        settle_orderers(network, EDGE, end, lambda line: None)
    waits.save(network.layout.next_folder(node.name) / "tls")
    up(network.root, None, probe, fabric_bin=fabric_bin())
    assert (folder / "cert.pem").read_bytes() == waits.certificate_pem
    assert waits.certificate_pem in named(network, EDGE)
    assert not network.layout.next_folder(node.name).exists()


def reader(network: Network, signer: Signer) -> FabricLedger:
    return FabricLedger(network.peer(EDGE, OWNER), EDGE, submitter=signer)


def refused(network: Network, signer: Signer) -> bool:
    ledger = reader(network, signer)
    try:
        evaluate_typed(ledger, GetOrganisation(network.chain(EDGE).operator))
    except IdentityRefused:
        return True
    finally:
        ledger.close()
    return False


def test_a_revoked_member_is_turned_away_and_its_successor_let_in(network: Network) -> None:
    names = [f"identities/{OWNER}/{role}" for role in ("auditor", "admin")]
    former = [Signer.load(network.root / name, msp_id=OWNER) for name in names]
    assert not any(refused(network, signer) for signer in former)
    revoke(network.root, names)
    deadline = time.monotonic() + 20  # the peer takes the block a moment after the orderers wrote it
    while not all(refused(network, signer) for signer in former):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert not any(refused(network, Signer.load(network.root / name, msp_id=OWNER)) for name in names)
    assert publish_msp(network.root, OWNER) == []  # all is known
    probe(network, EDGE)


def test_a_revocation_that_was_ended_half_way_is_finished(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"identities/{OWNER}/trainer"
    former = Signer.load(network.root / name, msp_id=OWNER)
    assert finish_revocations(network.root) == []

    def ended(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("network.membership.publish_msp", ended)
    with pytest.raises(KeyboardInterrupt):
        revoke(network.root, [name])
    monkeypatch.undo()
    assert not refused(network, former)
    found = [one for one in doctor(network.root, network.topology) if "revocation" in one.text]
    assert [(one.level, one.subject) for one in found] == [("problem", f"identities/{OWNER}")]
    assert [one.name for one in finish_revocations(network.root, host="local")] == [name]
    deadline = time.monotonic() + 20
    while not refused(network, former):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert not refused(network, Signer.load(network.root / name, msp_id=OWNER))
    assert finish_revocations(network.root) == []


def test_nothing_is_revoked_where_the_chains_cannot_be_told(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(*_: object) -> None:
        raise NotReady("no orderer answers")

    monkeypatch.setattr("network.membership.read_configuration", nobody)
    folder = network.layout.organisation(OWNER)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(NotReady, match=r"nothing is revoked.*no orderer answers"):
        revoke(network.root, [f"identities/{OWNER}/trainer"])
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_nothing_is_revoked_while_another_command_is_at_work(tmp_path: Path) -> None:
    layout, _ = prepared(tmp_path / "network", "dev")
    authority = layout.authority(OWNER)
    before = {path: path.read_bytes() for path in authority.rglob("*") if path.is_file()}
    with working_alone(layout.run), pytest.raises(NetworkError, match="another command is changing"):
        revoke(layout.root, [f"identities/{OWNER}/auditor"])
    assert {path: path.read_bytes() for path in authority.rglob("*") if path.is_file()} == before


def test_members_of_a_second_authority_are_let_in(network: Network, tmp_path: Path) -> None:
    now = datetime.now(UTC) - timedelta(minutes=1)
    second = DevelopmentAuthority.create(OWNER, tmp_path / "second", now=now, common_name="second")
    member = second.issue("newcomer", Role.AUDITOR, now=now)
    assert refused(network, member)
    folder = network.layout.msp(OWNER)
    (folder / "cacerts" / "second.pem").write_bytes(second.root_certificate_pem)
    assert publish_msp(network.root, OWNER) == [EDGE]
    deadline = time.monotonic() + 20
    while refused(network, member):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert not refused(network, Signer.load(network.layout.identity(OWNER, "auditor"), msp_id=OWNER))
    probe(network, EDGE)


def test_an_audit_follows_all_of_it_from_the_genesis_block(network: Network, tmp_path: Path) -> None:
    deployment = Deployment.adopt(network.root, Plan.of_network(network.topology))
    with Parts(deployment, "auditor", caches=tmp_path / "caches") as parts:
        trust = export_trust(parts)
    told = {chain.chain: len(chain.config_blocks) for chain in trust.chains}
    # Orderers: one of main's with a new key, one with the same; edge-a's twice. Then the list, twice, and the
    # second authority.
    assert told == {MAIN: 3, EDGE: 6}
    first = [dataclasses.replace(chain, config_blocks=chain.config_blocks[:1]) for chain in trust.chains]
    early = dataclasses.replace(trust, chains=tuple(first))
    for chain in network.topology.chains:
        (peer,) = network.topology.select(chain=chain.chain, kind="peer", msp_id=chain.operator)
        data = network.layout.node(peer.name) / "data" / "ledgersData" / "chains" / "chains"
        shutil.copytree(data / chain.chain, tmp_path / chain.chain)
        for known in (early, trust):
            blocks = PeerBlockFiles(tmp_path / chain.chain).blocks(0)
            check_chain(blocks, TrustedChains(known), chain.chain)


def test_what_cannot_be_revoked_or_published_is_named(network: Network) -> None:
    for name, said in (
        ("identities/nobody/admin", "no identity"),
        (f"identities/{OWNER}/client-tls", "in TLS"),
        (f"identities/{OWNER}/anchor-signer", "an anchor signer keeps its key"),
        (f"identities/{OWNER}/authority", "its own authority"),
    ):
        with pytest.raises(IdentityProblem, match=said):
            revoke(network.root, [name])
    with pytest.raises(NetworkError, match="no organisation 'mars'"):
        publish_msp(network.root, "mars")
    assert {found.name for found in identities(network.root)} >= {f"identities/{OWNER}/auditor"}
