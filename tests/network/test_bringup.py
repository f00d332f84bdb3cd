"""Bringing networks up, on real Fabric: again, after an end, after a kill, with changes."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

import pytest
from fabric_network import fabric_bin, on_free_ports
from fabric_protos.orderer.configuration_pb2 import BatchSize

from chaincode.api import Device, EnrolDevice, GetDevice, GetOrganisation, OwnerAuthorisation
from edgeproof.deployment import Deployment, Plan
from edgeproof.ready import probe
from edgeproof.wiring import Parts
from identity import DevelopmentAuthority, KeyPair, Role, Signer, TlsIdentity
from ledger.errors import Unavailable
from ledger.fabric_ledger import FabricLedger
from ledger.port import Ledger, call, evaluate_typed
from network import Network, Topology, add_edge, down, renew, up, upgrade
from network.channel_changes import set_batch
from network.errors import IdentityProblem, NetworkError, PortTaken, TopologyError
from network.files import write_text
from network.identities import make_guest, tls_names
from network.layout import Layout
from network.records import Records
from network.renewal import identities
from network.status import status
from network.topology_file import dump_topology, load_topology, named_topology
from network.updates import read_configuration
from protocol.commitments import authorisation_bytes

pytestmark = pytest.mark.fabric(own_network=True)


def dev() -> Topology:
    return on_free_ports(load_topology(named_topology("dev")))


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A network that these tests may end, change and break. It wants its clients' certificates, so that all
    of this is also done with mutual TLS."""
    root = tmp_path_factory.mktemp("own") / "network"
    try:
        up(root, dataclasses.replace(dev(), client_tls=True), probe, fabric_bin=fabric_bin())
        yield root
    finally:
        down(root)


def pids(root: Path) -> dict[str, int]:
    return {record.name: record.process.pid for record in Records(root / "run").living("node")}


@contextlib.contextmanager
def administered(root: Path, chain: str) -> Iterator[tuple[Deployment, str, Ledger]]:
    """A chain as its operator's administrator sees it."""
    network = Network(root)
    operator = network.chain(chain).operator
    deployment = Deployment.adopt(root, Plan.of_network(network.topology))
    with Parts(deployment, "test", caches=root / "test-caches") as parts:
        yield deployment, operator, parts.ledger(chain, operator, Role.ADMIN)


def height(root: Path, chain: str) -> int:
    """Blocks of a chain, after reading what the first bring-up wrote: without any new transaction."""
    with administered(root, chain) as (_, operator, ledger):
        assert evaluate_typed(ledger, GetOrganisation(operator)).msp_id == operator
        return ledger.information().height


def enrol(root: Path, chain: str, name: str) -> Device:
    """Write something that no bring-up writes."""
    with administered(root, chain) as (deployment, operator, ledger):
        key, owner = KeyPair.generate(), deployment.owner_key(operator)
        nobody = OwnerAuthorisation(owner.algorithm, b"")
        unsigned = EnrolDevice(name, operator, key.algorithm, key.spki, b"", nobody)
        signed = authorisation_bytes(chain, unsigned)
        authorisation = OwnerAuthorisation(owner.algorithm, owner.sign(signed))
        message = dataclasses.replace(unsigned, possession=key.sign(signed), authorisation=authorisation)
        device: Device = call(ledger, message)
        return device


def read(root: Path, chain: str, name: str) -> Device:
    with administered(root, chain) as (_, _, ledger):
        device: Device = evaluate_typed(ledger, GetDevice(name))
        return device


def killed_at(root: Path, words: str, call: str) -> None:
    """Run ``call`` in a process of its own and SIGKILL that when it says ``words``."""
    script = (
        "import sys; from pathlib import Path; from network import *; from edgeproof.ready import probe\n"
        f"root = Path({str(root)!r}); say = lambda line: print(line, flush=True)\n"
        f"{call}\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if words in line:
            break
    else:
        pytest.fail(f"it never said {words!r}: {said}")
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.fabric
def test_every_chain_has_taken_a_transaction(fabric_network: Network) -> None:
    for chain in fabric_network.topology.chains:
        probe(fabric_network, chain.chain)


def test_up_of_a_running_network_changes_nothing(own: Path) -> None:
    before = pids(own)
    said: list[str] = []
    up(own, None, lambda *_: None, fabric_bin=fabric_bin(), progress=said.append)
    assert pids(own) == before
    assert not [line for line in said if "joined" in line or "committed" in line]


def test_clients_without_a_certificate_are_turned_away(own: Path) -> None:
    network = Network(own)
    assert enrol(own, "edge-a", "by-mutual-tls") == read(own, "edge-a", "by-mutual-tls")
    operator = network.chain("edge-a").operator
    admin = Signer.load(network.layout.identity(operator, "admin"), msp_id=operator)
    bare = FabricLedger(network.peer("edge-a", operator), "edge-a", submitter=admin)
    try:
        with pytest.raises(Unavailable):
            evaluate_typed(bare, GetDevice("by-mutual-tls"))
    finally:
        bare.close()
    # Another host's clients show what was issued for that host.
    guest = TlsIdentity.load(make_guest(network.layout, operator, "elsewhere"))
    let_in = FabricLedger(
        network.peer("edge-a", operator),
        "edge-a",
        submitter=admin,
        client_certificate=guest.certificate_pem,
        client_key=guest.key_pem,
    )
    assert evaluate_typed(let_in, GetDevice("by-mutual-tls")).device == "by-mutual-tls"
    let_in.close()
    for endpoint in (network.peer("edge-a", operator), *network.orderers("edge-a")):
        host, port = endpoint.address.split(":")
        context = ssl.create_default_context(cadata=endpoint.tls_roots.decode())
        with (
            pytest.raises(ssl.SSLError, match="certificate required"),
            socket.create_connection((host, int(port)), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            secured.recv(1)  # with TLS 1.3 the refusal comes after the handshake


def test_what_is_outdated_is_restarted(own: Path) -> None:
    """Another certificate, as after a renewal that was ended half-way: just its process."""
    network = Network(own)
    (peer,) = network.topology.select(chain="edge-a", kind="peer", msp_id="edge-a-owner")
    folder = network.layout.node(peer.name) / "tls"
    authority = DevelopmentAuthority.load(network.layout.tls_authority(peer.msp_id))
    issued = authority.issue_tls(
        peer.name, tls_names(peer), now=datetime.now(UTC), lifetime=timedelta(days=300)
    )
    issued.save(folder)
    before = pids(own)
    said: list[str] = []
    up(own, None, probe, fabric_bin=fabric_bin(), progress=said.append)
    assert {name for name, pid in pids(own).items() if pid != before[name]} == {peer.name}
    assert [line for line in said if line.startswith("Restarting")] == [
        f"Restarting {peer.name}, whose configuration or certificates have changed"
    ]


def test_down_and_up_keep_all_state(own: Path) -> None:
    before = {chain: height(own, chain) for chain in ("main", "edge-a")}
    assert down(own) == 11
    assert pids(own) == {}
    up(own, None, probe, fabric_bin=fabric_bin())
    for chain, blocks in before.items():
        assert height(own, chain) > blocks


def test_an_upgrade_keeps_the_state_and_a_killed_one_is_finished(own: Path) -> None:
    before = height(own, "main")
    written = enrol(own, "edge-a", "older-than-the-contracts")
    killed_at(own, "is committed", "upgrade(root, probe, progress=say)")
    up(own, None, probe, fabric_bin=fabric_bin())
    assert height(own, "main") > before
    names = {name for name in pids(own) if ".chaincode." in name}
    assert len(names) == 4
    assert all(name.endswith(".2") for name in names)
    # What the topology says should run is what runs, and whatever follows starts from there.
    assert all(process.healthy for process in status(own))
    assert read(own, "edge-a", written.device) == written
    upgrade(own, probe, fabric_bin=fabric_bin())
    assert read(own, "edge-a", written.device) == written
    assert {name.rpartition(".")[2] for name in pids(own) if ".chaincode." in name} == {"3"}


def test_an_added_edge_disturbs_nobody(own: Path) -> None:
    before = pids(own)
    network = add_edge(own, "edge-b", probe, fabric_bin=fabric_bin())
    assert [chain.chain for chain in network.topology.chains] == ["main", "edge-a", "edge-b"]
    after = pids(own)
    assert {name: after[name] for name in before} == before
    assert height(own, "edge-b") > 1
    # The topology as it was given at first still means this network.
    given = dataclasses.replace(network.topology, edges=network.topology.edges[:1])
    up(own, given, lambda *_: None, fabric_bin=fabric_bin())


def test_a_changed_batch_is_in_the_chain_and_in_the_topology(own: Path) -> None:
    given = Network(own).topology
    with pytest.raises(TopologyError, match="timeout: a duration"):
        set_batch(own, "edge-a", timeout="soon", messages=20)
    before = read_configuration(Network(own), "edge-a")
    number = set_batch(own, "edge-a", timeout="100ms", messages=20)
    found = read_configuration(Network(own), "edge-a")
    assert (found.number, found.config.sequence) == (number, before.config.sequence + 1)
    size = BatchSize.FromString(found.config.channel_group.groups["Orderer"].values["BatchSize"].value)
    batch = Network(own).topology.chain("edge-a").batch
    assert (batch.timeout, batch.messages) == ("100ms", 20)
    assert (size.max_message_count, size.preferred_max_bytes) == (20, batch.preferred_bytes)
    # Done already, it is just written down; and the topology as it was first given still means this network.
    (own / "topology.yaml").write_text(dump_topology(given))
    assert set_batch(own, "edge-a", timeout="100ms", messages=20) == number
    assert Network(own).topology.chain("edge-a").batch == batch
    up(own, given, lambda *_: None, fabric_bin=fabric_bin())
    assert Network(own).topology.chain("edge-a").batch == batch


def test_identities_are_renewed_while_the_network_runs(own: Path) -> None:
    known = identities(own)
    chosen = [
        found.name
        for found in known
        if found.issuer == "ours" and (found.node.startswith("edge-a.") or found.msp_id == "edge-a-owner")
    ]
    assert len(chosen) > 10
    before = {found.name: found.valid_until for found in known}
    for found in renew(own, chosen):
        assert found.valid_until > before[found.name]
        assert found.days_left() in (364, 365)
    probe(Network(own), "edge-a")


def test_new_keys_are_for_all_but_orderers(own: Path) -> None:
    names = [found.name for found in identities(own) if "edge-b-owner" in found.node]
    keys = {name: (own / name / "key.pem").read_bytes() for name in names}
    renew(own, names, new_keys=True)
    assert all((own / name / "key.pem").read_bytes() != key for name, key in keys.items())
    probe(Network(own), "edge-b")
    with pytest.raises(IdentityProblem, match="the only orderer of a Raft chain keeps its TLS key"):
        renew(own, ["nodes/edge-b.orderer.edge-b-orderer.1/tls"], new_keys=True)


@pytest.mark.faults
def test_an_up_that_was_killed_anywhere_is_repaired(tmp_path: Path) -> None:
    topology = dev()
    file = tmp_path / "topology.yaml"
    file.write_text(dump_topology(topology))
    call = f"up(root, load_topology(Path({str(file)!r})), probe, progress=say)"
    root = tmp_path / "network"
    try:
        for words in ("Identities", "Starting", "have joined", "is committed"):
            killed_at(root, words, call)
        up(root, topology, probe, fabric_bin=fabric_bin())
        assert height(root, "edge-a") > 1
        assert all(process.healthy for process in status(root))
    finally:
        down(root)


def test_another_topology_is_refused(own: Path) -> None:
    topology = Network(own).topology
    with pytest.raises(TopologyError, match="another topology"):
        up(own, dataclasses.replace(topology, first_port=1200), probe, fabric_bin=fabric_bin())


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    topology = dev()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", topology.first_port))
        taken.listen()
        with pytest.raises(PortTaken, match=rf"{topology.first_port} is taken by .*main\.orderer") as refused:
            up(tmp_path / "network", topology, probe, fabric_bin=fabric_bin())
    assert f"copy {named_topology('dev')}, change `first_port` in the topology" in str(refused.value)
    assert "--topology FILE" in str(refused.value)
    # Nothing is there that another first_port would not be the same as.
    assert not (tmp_path / "network").exists()


def test_a_deployment_on_another_ledger_is_not_taken_over(tmp_path: Path) -> None:
    plan = Deployment.prepare(tmp_path, Plan.standard(2))
    for finished in (False, True):
        if finished:
            plan.finish()
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(NetworkError, match="already holds a deployment on the embedded ledger"):
            up(tmp_path, dev(), probe, fabric_bin=fabric_bin())
        assert sorted(tmp_path.rglob("*")) == before


def test_there_must_be_something_to_bring_up(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="no topology is given"):
        up(tmp_path / "network", None, probe, fabric_bin=fabric_bin())


def test_several_hosts_need_to_be_told_which_this_is(tmp_path: Path) -> None:
    topology = dataclasses.replace(dev(), hosts={"local": "127.0.0.1", "other": "127.0.0.2"})
    for host in (None, "third"):
        with pytest.raises(TopologyError, match="other"):
            up(tmp_path / "network", topology, probe, host=host, fabric_bin=fabric_bin())


def test_an_edge_that_cannot_come_is_not_written_down(tmp_path: Path) -> None:
    layout, topology = Layout.of(tmp_path / "network"), dev()
    write_text(layout.topology, dump_topology(topology))
    before = layout.topology.read_bytes()
    (peer, *_) = topology.with_edge("edge-b").select(chain="edge-b", kind="peer")
    with socket.create_server(("127.0.0.1", peer.ports["grpc"])), pytest.raises(PortTaken):
        add_edge(layout.root, "edge-b", probe, fabric_bin=fabric_bin())
    assert layout.topology.read_bytes() == before
    apart = dataclasses.replace(
        topology,
        main=dataclasses.replace(topology.main, host="cloud"),
        edges=tuple(dataclasses.replace(edge, host="site") for edge in topology.edges),
        hosts=MappingProxyType({"cloud": "127.0.0.1", "site": "127.0.0.2"}),
    )
    write_text(layout.topology, dump_topology(apart))
    before = layout.topology.read_bytes()
    for host in (None, "cloud", "site"):
        with pytest.raises(TopologyError, match="several hosts"):
            add_edge(layout.root, "edge-b", probe, host=host, fabric_bin=fabric_bin())
    assert layout.topology.read_bytes() == before
