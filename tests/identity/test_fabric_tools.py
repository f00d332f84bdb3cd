"""Hyperledger Fabric's own programs as judges of what the authority makes.

They are looked for in FABRIC_BIN, then on PATH; where they are absent these tests are skipped and say so.
``peer`` is used offline: on start it sets up an MSP from a folder, which checks the authorities, the
certification path and the node class of each certificate below ``admincerts`` (Fabric's msp package), and
``peer channel signconfigtx`` signs without any network.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fabric_protos.common import common_pb2, configtx_pb2
from fabric_protos.msp import msp_config_pb2

from identity import (
    DevelopmentAuthority,
    IdentityError,
    Msp,
    RevokedCertificate,
    Role,
    Signer,
    serialize_identity,
    verify_ecdsa,
)
from identity.files import write_file, write_private_key

pytestmark = pytest.mark.fabric(own_network=True)


def _tool(name: str) -> str:
    folder = os.environ.get("FABRIC_BIN")
    path = shutil.which(name, path=folder) if folder else shutil.which(name)
    if path is None:
        pytest.skip(f"Hyperledger Fabric's {name} is neither in FABRIC_BIN nor on PATH")
    return path


def _run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(arguments, capture_output=True, check=False, timeout=30, **options)


@pytest.fixture
def today() -> datetime:
    """Fabric's programs read the real clock when they load a signing identity."""
    return datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)


@pytest.fixture
def organisation(tmp_path: Path, today: datetime) -> DevelopmentAuthority:
    return DevelopmentAuthority.create("Org1MSP", tmp_path / "ca", now=today)


class Judge:
    """Lets Fabric's ``peer`` set up an MSP folder and sign with it."""

    def __init__(self, folder: Path, authority: DevelopmentAuthority, signer: Signer) -> None:
        self._peer = _tool("peer")
        self._folder = folder
        self._authority = authority
        self._signer = signer
        (folder / "settings").mkdir(parents=True)
        (folder / "settings" / "core.yaml").write_text(
            "peer:\n  id: judge\n  address: 127.0.0.1:1\n  tls: {enabled: false}\n"
            "  BCCSP: {Default: SW, SW: {Hash: SHA2, Security: 256}}\n",
            encoding="ascii",
        )

    def sign(
        self, examined: bytes | None = None, intermediate: bytes | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Sign an empty configuration update; the signed envelope is left in `envelope`."""
        msp = self._folder / "msp"
        shutil.rmtree(msp, ignore_errors=True)
        files = {
            "cacerts/ca.pem": self._authority.root_certificate_pem,
            "signcerts/cert.pem": self._signer.certificate_pem,
            "admincerts/examined.pem": examined,
            "intermediatecerts/sub.pem": intermediate,
            "crls/crl.pem": self._authority.revocation_list_pem,
        }
        for name, content in files.items():
            if content is not None:
                (msp / name).parent.mkdir(parents=True, exist_ok=True)
                (msp / name).write_bytes(content)
        self._signer.save(self._folder / "signer")
        (msp / "keystore").mkdir()
        shutil.copy(self._folder / "signer" / "key.pem", msp / "keystore" / "priv_sk")
        units = "".join(
            f"  {name}OUIdentifier:\n    OrganizationalUnitIdentifier: {name.lower()}\n"
            for name in ("Client", "Peer", "Admin", "Orderer")
        )
        (msp / "config.yaml").write_text(f"NodeOUs:\n  Enable: true\n{units}", encoding="ascii")
        update = configtx_pb2.ConfigUpdate(channel_id="x").SerializeToString()
        header = common_pb2.ChannelHeader(type=common_pb2.CONFIG_UPDATE, channel_id="x").SerializeToString()
        payload = common_pb2.Payload(
            header=common_pb2.Header(channel_header=header),
            data=configtx_pb2.ConfigUpdateEnvelope(config_update=update).SerializeToString(),
        )
        envelope = common_pb2.Envelope(payload=payload.SerializeToString())
        self.envelope = self._folder / "update.pb"
        self.envelope.write_bytes(envelope.SerializeToString())
        environment = {
            "FABRIC_CFG_PATH": str(self._folder / "settings"),
            "CORE_PEER_MSPCONFIGPATH": str(msp),
            "CORE_PEER_LOCALMSPID": "Org1MSP",
            "HOME": str(self._folder),
        }
        return _run(self._peer, "channel", "signconfigtx", "-f", str(self.envelope), env=environment)


@pytest.fixture
def judge(tmp_path: Path, organisation: DevelopmentAuthority, today: datetime) -> Judge:
    return Judge(tmp_path / "judge", organisation, organisation.issue("admin", Role.ADMIN, now=today))


@pytest.mark.parametrize("message", ["msp.MSPConfig", "msp.FabricMSPConfig", "msp.SerializedIdentity"])
def test_configtxlator_reads_our_messages(
    message: str, organisation: DevelopmentAuthority, today: datetime
) -> None:
    configtxlator = _tool("configtxlator")
    signer = organisation.issue("d", Role.DEVICE, now=today)
    organisation.revoke(signer)
    config = organisation.fabric_msp_config()
    raw = {
        "msp.MSPConfig": config.SerializeToString(),
        "msp.FabricMSPConfig": config.config,
        "msp.SerializedIdentity": signer.serialized(),
    }[message]
    decoded = _run(configtxlator, "proto_decode", f"--type={message}", input=raw)
    assert decoded.returncode == 0, decoded.stderr
    fields = json.loads(decoded.stdout)
    if message == "msp.MSPConfig":
        assert fields["config"]["name"] == "Org1MSP"
        assert fields["config"]["fabric_node_ous"]["enable"] is True
        assert len(fields["config"]["revocation_list"]) == 1
    again = _run(configtxlator, "proto_encode", f"--type={message}", input=decoded.stdout)
    assert again.returncode == 0, again.stderr
    assert again.stdout == raw


def test_fabric_loads_our_msp_and_we_verify_its_signature(
    judge: Judge, organisation: DevelopmentAuthority, today: datetime
) -> None:
    result = judge.sign()
    assert result.returncode == 0, result.stderr
    envelope = common_pb2.Envelope.FromString(judge.envelope.read_bytes())
    payload = common_pb2.Payload.FromString(envelope.payload)
    update = configtx_pb2.ConfigUpdateEnvelope.FromString(payload.data)
    (signature,) = update.signatures
    header = common_pb2.SignatureHeader.FromString(signature.signature_header)
    assert header.creator == judge._signer.serialized()  # Fabric found nothing to rewrite: we issue low S
    identity = Msp.from_config(organisation.fabric_msp_config()).validate(header.creator, at=today)
    assert identity.role is Role.ADMIN
    verify_ecdsa(identity.spki, signature.signature_header + update.config_update, signature.signature)


def test_fabric_and_we_agree_on_members(
    judge: Judge,
    organisation: DevelopmentAuthority,
    tmp_path: Path,
    today: datetime,
    forge: Callable[..., Any],
) -> None:
    """Clients and administrators are examined, the classes for which Fabric's set-up gives a verdict."""
    stranger = DevelopmentAuthority.create("Org1MSP", tmp_path / "stranger", now=today)
    careless = type(forge())(forge().certificate, forge().key)
    careless.certificate, careless.key = organisation._certificate, organisation._key
    make = lambda **changes: forge(issuer=careless, **{"start": today, **changes}).pem  # noqa: E731
    candidates = {
        "device": (organisation.issue("d", Role.DEVICE, now=today).certificate_pem, True),
        "anchor signer": (organisation.issue("s", Role.ANCHOR_SIGNER, now=today).certificate_pem, True),
        "admin": (organisation.issue("a", Role.ADMIN, now=today).certificate_pem, True),
        "high S": (forge(issuer=careless, start=today).high_s().pem, True),
        "expired, no clock": (make(lifetime=timedelta(seconds=2)), True),
        "future, no clock": (make(start=today + timedelta(days=900)), True),
        "stranger's": (stranger.issue("d", Role.DEVICE, now=today).certificate_pem, False),
        "self-signed": (forge(start=today).pem, False),
        "no class": (make(units=("device",)), False),
        "no unit": (make(units=()), False),
        "the root": (organisation.root_certificate_pem, False),
        "a sub-authority": (make(ca=True, key_cert_sign=True), False),
        "begins before its root": (make(start=today - timedelta(days=2)), False),
        "begins after its root": (make(start=today + timedelta(days=5000)), False),
        "garbage": (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", False),
    }
    msp = Msp.from_config(organisation.fabric_msp_config())
    verdicts = {}
    for name, (pem, _) in candidates.items():
        try:
            msp.validate(serialize_identity("Org1MSP", pem))
            ours = True
        except IdentityError:
            ours = False
        verdicts[name] = (ours, judge.sign(examined=pem).returncode == 0)
    assert verdicts == {name: (good, good) for name, (_, good) in candidates.items()}


def test_fabric_honours_our_revocation_list(
    tmp_path: Path, today: datetime, forge_root: Callable[..., Any]
) -> None:
    """An intermediate authority is revoked: its set-up is where Fabric, offline, looks at the list."""
    root = forge_root(units=(), start=today)
    (tmp_path / "open").mkdir()
    write_file(tmp_path / "open" / "cert.pem", root.pem, mode=0o644)
    write_private_key(tmp_path / "open" / "key.pem", root.key)
    authority = DevelopmentAuthority.load(tmp_path / "open")
    sub, other = (forge_root(name, issuer=root, start=today) for name in ("sub", "other"))
    judge = Judge(tmp_path / "judge", authority, authority.issue("admin", Role.ADMIN, now=today))

    def config() -> bytes:
        outer = authority.fabric_msp_config()
        inner = msp_config_pb2.FabricMSPConfig.FromString(outer.config)
        inner.intermediate_certs.append(sub.pem)
        outer.config = inner.SerializeToString()
        return bytes(outer.SerializeToString())

    authority.revoke(other.pem)
    assert Msp.from_config(config())
    first = judge.sign(intermediate=sub.pem)
    assert b"revoked" not in first.stderr
    authority.revoke(sub.pem)
    with pytest.raises(RevokedCertificate):
        Msp.from_config(config())
    second = judge.sign(intermediate=sub.pem)
    assert second.returncode != 0
    assert b"has been revoked" in second.stderr


def test_we_accept_cryptogens_identities(tmp_path: Path) -> None:
    """Certificates of another maker, some with high S: read, validated, and able to sign."""
    cryptogen = _tool("cryptogen")
    (tmp_path / "crypto.yaml").write_text(
        "PeerOrgs:\n  - {Name: Org1, Domain: org1.example.com, EnableNodeOUs: true,"
        " Template: {Count: 2}, Users: {Count: 3}}\n",
        encoding="ascii",
    )
    made = _run(
        cryptogen, "generate", f"--config={tmp_path / 'crypto.yaml'}", f"--output={tmp_path / 'made'}"
    )
    assert made.returncode == 0, made.stderr
    organisation = tmp_path / "made" / "peerOrganizations" / "org1.example.com"
    (root,) = (organisation / "msp" / "cacerts").iterdir()
    units = (organisation / "msp" / "config.yaml").read_text(encoding="ascii")
    names = re.findall(r"OrganizationalUnitIdentifier: (\w+)", units)
    unit = msp_config_pb2.FabricOUIdentifier
    client, peer, admin, orderer = (
        unit(certificate=root.read_bytes(), organizational_unit_identifier=name) for name in names
    )
    inner = msp_config_pb2.FabricMSPConfig(
        name="Org1MSP",
        root_certs=[root.read_bytes()],
        fabric_node_ous=msp_config_pb2.FabricNodeOUs(
            enable=True,
            client_ou_identifier=client,
            peer_ou_identifier=peer,
            admin_ou_identifier=admin,
            orderer_ou_identifier=orderer,
        ),
    )
    msp = Msp.from_config(msp_config_pb2.MSPConfig(type=0, config=inner.SerializeToString()))
    roles = []
    for folder in sorted(organisation.glob("*/*/msp")):
        (certificate,) = (folder / "signcerts").iterdir()
        (key,) = (folder / "keystore").iterdir()
        home = tmp_path / "signers" / folder.parent.name
        home.mkdir(parents=True)
        shutil.copy(certificate, home / "cert.pem")
        shutil.copy(key, home / "key.pem")
        (home / "key.pem").chmod(0o600)
        signer = Signer.load(home, msp_id="Org1MSP")
        identity = msp.validate(signer.serialized(), at=datetime.now(UTC))
        assert identity == msp.validate(serialize_identity("Org1MSP", certificate.read_bytes()))
        verify_ecdsa(identity.spki, b"m", signer.sign(b"m"))
        roles.append(identity.role)
    assert sorted(roles) == [Role.ADMIN, *[Role.CLIENT] * 3, *[Role.PEER] * 2]
