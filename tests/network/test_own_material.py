"""Organisations that bring their own identities: any authority's, then cryptogen's on real Fabric."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fabric_network import fabric_bin, on_free_ports
from fabric_tools import tool
from prepared_network import prepared

from identity import DevelopmentAuthority, Role
from network import down, up
from network.bringup import prepare
from network.errors import IdentityProblem
from network.layout import Layout
from network.own_material import brings_its_own
from network.renewal import identities, renew
from network.topology import Node
from network.topology_file import load_topology, named_topology

MSP = "cloud-auditor"


class Site:
    """A dev network's folder in which one organisation's authority is elsewhere."""

    def __init__(self, folder: Path) -> None:
        self.layout, self.topology = prepared(folder / "network", "dev")
        for name, path in (("ca", self.layout.authority(MSP)), ("tlsca", self.layout.tls_authority(MSP))):
            shutil.move(path, folder / name)
        self.authority = DevelopmentAuthority.load(folder / "ca")
        self.tls = DevelopmentAuthority.load(folder / "tlsca")
        (self.peer,) = self.topology.select(kind="peer", msp_id=MSP)
        self.admin = self.layout.identity(MSP, "admin")

    def check(self) -> None:
        prepare(self.layout, self.topology, self.topology.chains, self.topology.nodes)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_what_fits_is_taken_as_it_is(site: Site) -> None:
    assert brings_its_own(site.layout, MSP)
    assert not brings_its_own(site.layout, "cloud-operator")
    before = (site.admin / "cert.pem").read_bytes()
    site.check()
    assert (site.admin / "cert.pem").read_bytes() == before
    assert not site.layout.authority(MSP).exists()


def now() -> datetime:
    return datetime.now(UTC)


def _missing_admin(site: Site) -> None:
    (site.admin / "cert.pem").unlink()


def _open_key(site: Site) -> None:
    (site.admin / "key.pem").chmod(0o640)


def _wrong_role(site: Site) -> None:
    site.authority.issue("x", Role.CLIENT, now=now()).save(site.admin)


def _stranger(site: Site) -> None:
    folder = site.layout.root.parent / "stranger"
    authority = DevelopmentAuthority.create(MSP, folder, now=now())
    authority.issue("x", Role.ADMIN, now=now()).save(site.admin)


def _expired(site: Site) -> None:
    start = site.authority.valid_from
    site.authority.issue("x", Role.ADMIN, now=start, lifetime=timedelta(seconds=1)).save(site.admin)


def _no_address(site: Site) -> None:
    folder = site.layout.node(site.peer.name) / "tls"
    site.tls.issue_tls("x", [site.peer.name], now=now()).save(folder)


def _other_tls(site: Site) -> None:
    folder = site.layout.node(site.peer.name) / "tls"
    site.authority.issue_tls("x", [site.peer.name, "127.0.0.1"], now=now()).save(folder)


def _expired_tls(site: Site) -> None:
    identity = site.tls.issue_tls("x", [], now=site.tls.valid_from, lifetime=timedelta(seconds=1))
    identity.save(site.layout.client_tls_folder(MSP))


def _no_node_units(site: Site) -> None:
    (site.layout.msp(MSP) / "config.yaml").write_text("NodeOUs: {Enable: false}\n")


def _no_root(site: Site) -> None:
    shutil.rmtree(site.layout.msp(MSP) / "cacerts")


def _no_tls_root(site: Site) -> None:
    shutil.rmtree(site.layout.msp(MSP) / "tlscacerts")


def _expired_next(site: Site) -> None:
    (orderer,) = site.topology.select(kind="orderer", chain="main")
    shutil.move(site.layout.authority(orderer.msp_id), site.layout.root.parent / "orderers-ca")
    authority = DevelopmentAuthority.load(site.layout.tls_authority(orderer.msp_id))
    names = [orderer.name, orderer.address]
    old = authority.issue_tls("x", names, now=authority.valid_from, lifetime=timedelta(seconds=1))
    old.save(site.layout.next_folder(orderer.name) / "tls")


FAULTS: dict[str, tuple[Callable[[Site], None], str]] = {
    "no administrator": (_missing_admin, r"admin.*cannot read"),
    "a key others can read": (_open_key, r"admin.*make it 0600"),
    "another role": (_wrong_role, "is for client, not for admin"),
    "another authority": (_stranger, "issued by no authority of this organisation"),
    "expired": (_expired, r"admin.*not valid after"),
    "no address": (_no_address, r"alternative names lack 127\.0\.0\.1"),
    "another TLS authority": (_other_tls, "none of the authorities in the organisation's msp/tlscacerts"),
    "expired for TLS": (_expired_tls, "client-tls.*not in force"),
    "expired, and next": (_expired_next, "next/tls.*not in force"),
    "NodeOUs off": (_no_node_units, "NodeOUs must be enabled"),
    "no root": (_no_root, "cacerts"),
    "no TLS root": (_no_tls_root, "tlscacerts"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_does_not_fit_is_named(site: Site, fault: str) -> None:
    spoil, said = FAULTS[fault]
    spoil(site)
    with pytest.raises(IdentityProblem, match=said):
        site.check()


def test_everything_that_does_not_fit_is_named_at_once(site: Site) -> None:
    _open_key(site)
    _expired_tls(site)
    with pytest.raises(IdentityProblem, match=r"(?s)0600.*not in force"):
        site.check()


def test_it_is_not_ours_to_renew(site: Site) -> None:
    name = f"identities/{MSP}/admin"
    assert [found.issuer for found in identities(site.layout.root) if found.name == name] == ["own"]
    with pytest.raises(IdentityProblem, match="brings its own"):
        renew(site.layout.root, [name])


# ------------------------------------------------------------- cryptogen's, as docs/network.md lays them out


def take(made: Path, folder: Path, certificate: str, key: str) -> None:
    folder.mkdir(parents=True)
    shutil.copy(next(made.glob(certificate)), folder / "cert.pem")
    shutil.copy(next(made.glob(key)), folder / "key.pem")
    (folder / "key.pem").chmod(0o600)


def bring_along(layout: Layout, msp_id: str, made: Path, members: Path, nodes: tuple[Node, ...]) -> None:
    """Lay an organisation's folder of cryptogen's out as the network wants it."""
    organisation = layout.organisation(msp_id)
    shutil.copytree(made / "msp", organisation / "msp")
    admin = made / "users" / f"Admin@{msp_id}"
    take(admin, organisation / "admin", "msp/signcerts/*", "msp/keystore/*")
    take(admin, organisation / "client-tls", "tls/client.crt", "tls/client.key")
    for node in nodes:
        take(members / node.name, layout.node(node.name) / "tls", "tls/server.crt", "tls/server.key")
        if node.kind != "chaincode":
            take(
                members / node.name, layout.node(node.name) / "identity", "msp/signcerts/*", "msp/keystore/*"
            )


@pytest.mark.fabric(own_network=True)
def test_a_network_with_cryptogens_identities(tmp_path: Path) -> None:
    from edgeproof.ready import probe

    topology = on_free_ports(load_topology(named_topology("dev")))
    layout = Layout.of(tmp_path / "network")
    lines = []
    own = {"PeerOrgs": MSP, "OrdererOrgs": "main-orderer"}
    for kind, msp_id in own.items():
        nodes = topology.select(msp_id=msp_id)
        hosts = ", ".join(
            f"{{Hostname: h{number}, CommonName: {node.name}, SANS: [127.0.0.1]}}"
            for number, node in enumerate(nodes)
        )
        lines.append(f"{kind}:\n  - {{Name: x, Domain: {msp_id}, EnableNodeOUs: true, Specs: [{hosts}]}}\n")
    (tmp_path / "crypto.yaml").write_text("".join(lines))
    out = tmp_path / "made"
    command = [tool("cryptogen"), "generate", f"--config={tmp_path / 'crypto.yaml'}", f"--output={out}"]
    subprocess.run(command, check=True, capture_output=True)
    for folder, kind, msp_id in (
        ("peerOrganizations", "peers", MSP),
        ("ordererOrganizations", "orderers", "main-orderer"),
    ):
        made = out / folder / msp_id
        bring_along(layout, msp_id, made, made / kind, topology.select(msp_id=msp_id))
    # cryptogen knows no roles beside Fabric's classes; the organisation's own authority certifies them.
    take(out / "peerOrganizations" / MSP / "ca", tmp_path / "ca", "*.pem", "priv_sk")
    authority = DevelopmentAuthority.load(tmp_path / "ca")
    signer = authority.issue("anchors", Role.ANCHOR_SIGNER, now=now())
    with pytest.raises(IdentityProblem, match="anchor-signer"):
        up(layout.root, topology, probe, fabric_bin=fabric_bin())
    signer.save(layout.identity(MSP, "anchor-signer"))
    try:
        up(layout.root, topology, probe, fabric_bin=fabric_bin())
    finally:
        down(layout.root)
    for msp_id in own.values():
        assert not layout.authority(msp_id).exists()
