from __future__ import annotations

import shutil
import stat
import subprocess
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from fabric_protos.msp import msp_config_pb2

from identity import (
    DevelopmentAuthority,
    IdentityError,
    KeyStoreError,
    MalformedIdentity,
    Msp,
    RevokedCertificate,
    Role,
    UntrustedCertificate,
)
from identity.signatures import low_s

OPENSSL = shutil.which("openssl")
needs_openssl = pytest.mark.skipif(
    OPENSSL is None, reason="openssl is not on PATH: its verdict is not compared"
)


def _openssl(*arguments: str) -> subprocess.CompletedProcess[str]:
    assert OPENSSL is not None
    return subprocess.run([OPENSSL, *arguments], capture_output=True, text=True, check=False, timeout=20)


def test_create_makes_a_private_folder_that_load_opens(tmp_path: Path, now: datetime) -> None:
    folder = tmp_path / "ca"
    created = DevelopmentAuthority.create("Org1MSP", folder, now=now)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "key.pem").stat().st_mode) == 0o600
    loaded = DevelopmentAuthority.load(folder)
    assert loaded.root_certificate_pem == created.root_certificate_pem
    assert loaded.msp_id == "Org1MSP"
    assert loaded.fabric_msp_config() == created.fabric_msp_config()


def test_an_authority_is_never_overwritten(tmp_path: Path, now: datetime) -> None:
    DevelopmentAuthority.create("Org1MSP", tmp_path, now=now)
    key = (tmp_path / "key.pem").read_bytes()
    with pytest.raises(KeyStoreError, match="already holds"):
        DevelopmentAuthority.create("Org1MSP", tmp_path, now=now)
    (tmp_path / "cert.pem").unlink()  # as after a crash between key and certificate
    with pytest.raises(KeyStoreError):
        DevelopmentAuthority.create("Org1MSP", tmp_path, now=now)
    assert (tmp_path / "key.pem").read_bytes() == key


def test_load_refuses_another_authoritys_key(tmp_path: Path, now: datetime) -> None:
    for name in ("a", "b"):
        DevelopmentAuthority.create("Org1MSP", tmp_path / name, now=now)
    (tmp_path / "a" / "key.pem").write_bytes((tmp_path / "b" / "key.pem").read_bytes())
    with pytest.raises(KeyStoreError, match="not the key"):
        DevelopmentAuthority.load(tmp_path / "a")
    with pytest.raises(KeyStoreError):
        DevelopmentAuthority.load(tmp_path / "none")


@pytest.mark.parametrize("role", list(Role))
def test_every_role_is_a_member(role: Role, authority: DevelopmentAuthority, now: datetime) -> None:
    signer = authority.issue(f"{role.value}.org1", role, now=now)
    identity = Msp.from_config(authority.fabric_msp_config()).validate(signer.serialized(), at=now)
    assert (identity.role, identity.common_name, identity.spki) == (role, f"{role.value}.org1", signer.spki)


def test_a_leaf_never_outlives_its_root(authority: DevelopmentAuthority, now: datetime) -> None:
    signer = authority.issue("d", Role.DEVICE, now=now, lifetime=timedelta(days=365 * 50))
    leaf = x509.load_pem_x509_certificate(signer.certificate_pem)
    root = x509.load_pem_x509_certificate(authority.root_certificate_pem)
    assert leaf.not_valid_after_utc == root.not_valid_after_utc
    for start in (now - timedelta(seconds=1), root.not_valid_after_utc, now.replace(tzinfo=None)):
        with pytest.raises(MalformedIdentity):
            authority.issue("d", Role.DEVICE, now=start)


@pytest.mark.parametrize("name", ["", "a" * 65, "a\nb"])
def test_bad_names_are_refused(
    name: str, authority: DevelopmentAuthority, now: datetime, tmp_path: Path
) -> None:
    with pytest.raises(MalformedIdentity):
        authority.issue(name, Role.DEVICE, now=now)
    with pytest.raises(MalformedIdentity):
        DevelopmentAuthority.create(name, tmp_path / "new", now=now)
    assert not (tmp_path / "new").exists()


def test_revocation_takes_effect_with_the_next_configuration(
    authority: DevelopmentAuthority, now: datetime, tmp_path: Path
) -> None:
    one, two, three = (authority.issue(f"d{i}", Role.DEVICE, now=now) for i in range(3))
    before = authority.fabric_msp_config().SerializeToString()
    assert authority.revocation_list_pem is None
    crl = authority.revoke(one.certificate_pem, now=now)
    assert crl == authority.revocation_list_pem
    DevelopmentAuthority.load(tmp_path / "org1" / "ca").revoke(two, now=now)
    after = Msp.from_config(authority.fabric_msp_config().SerializeToString())
    for revoked in (one, two):
        assert Msp.from_config(before).validate(
            revoked.serialized()
        )  # that configuration's word still stands
        with pytest.raises(RevokedCertificate):
            after.validate(revoked.serialized())
    assert after.validate(three.serialized())
    listed = x509.load_pem_x509_crl(authority.revocation_list_pem or b"")
    assert len(listed) == 2
    assert low_s(listed.signature) == listed.signature
    assert listed.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 2


def test_revoking_twice_lists_once(authority: DevelopmentAuthority, now: datetime) -> None:
    signer = authority.issue("d", Role.DEVICE, now=now)
    authority.revoke(signer, now=now)
    again = x509.load_pem_x509_crl(authority.revoke(signer, now=now + timedelta(days=1)))
    assert [entry.revocation_date_utc for entry in again] == [now]


def test_revoking_at_once_loses_nothing(
    authority: DevelopmentAuthority, now: datetime, tmp_path: Path
) -> None:
    signers = [authority.issue(f"d{i}", Role.DEVICE, now=now) for i in range(8)]

    def revoke(index: int) -> None:
        DevelopmentAuthority.load(tmp_path / "org1" / "ca").revoke(signers[index], now=now)

    threads = [threading.Thread(target=revoke, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(x509.load_pem_x509_crl(authority.revocation_list_pem or b"")) == 8


def test_only_own_certificates_are_revoked(
    authority: DevelopmentAuthority, forge: Callable[..., Any], tmp_path: Path, now: datetime
) -> None:
    other = DevelopmentAuthority.create("Org1MSP", tmp_path / "other", now=now)
    for foreign in (other.issue("d", Role.DEVICE, now=now).certificate_pem, forge().pem):
        with pytest.raises(UntrustedCertificate):
            authority.revoke(foreign, now=now)
    with pytest.raises(MalformedIdentity):
        authority.revoke(b"garbage", now=now)
    assert authority.revocation_list_pem is None


def test_the_configuration_holds_no_secret(authority: DevelopmentAuthority) -> None:
    config = authority.fabric_msp_config()
    inner = msp_config_pb2.FabricMSPConfig.FromString(config.config)
    assert config.type == 0
    assert not inner.HasField("signing_identity")
    assert b"PRIVATE" not in config.SerializeToString()
    assert inner.fabric_node_ous.enable
    assert list(inner.root_certs) == [authority.root_certificate_pem]


@needs_openssl
def test_openssl_gives_the_same_verdicts(
    authority: DevelopmentAuthority, now: datetime, tmp_path: Path
) -> None:
    other = DevelopmentAuthority.create("Org1MSP", tmp_path / "other", now=now)
    good, gone = (authority.issue(name, Role.GATEWAY, now=now) for name in ("good", "gone"))
    foreign = other.issue("good", Role.GATEWAY, now=now)
    authority.revoke(gone, now=now)
    files = {
        "root": authority.root_certificate_pem,
        "good": good.certificate_pem,
        "gone": gone.certificate_pem,
        "foreign": foreign.certificate_pem,
        "crl": authority.revocation_list_pem or b"",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    msp = Msp.from_config(authority.fabric_msp_config())
    instants = {"now": now, "early": now - timedelta(days=1), "late": now + timedelta(days=400)}
    for label, at in instants.items():
        for name, signer in (("good", good), ("gone", gone), ("foreign", foreign)):
            result = _openssl(
                "verify",
                *("-x509_strict", "-check_ss_sig", "-crl_check", "-attime", str(int(at.timestamp()))),
                *("-CAfile", str(tmp_path / "root"), "-CRLfile", str(tmp_path / "crl"), str(tmp_path / name)),
            )
            try:
                msp.validate(signer.serialized(), at=at)
                ours = True
            except IdentityError:
                ours = False
            assert ours == (result.returncode == 0), (label, name, result.stdout, result.stderr)
            assert ours == (label == "now" and name == "good")


@needs_openssl
def test_openssl_verifies_our_signatures(
    authority: DevelopmentAuthority, now: datetime, tmp_path: Path
) -> None:
    signer = authority.issue("s", Role.PEER, now=now)
    (tmp_path / "cert").write_bytes(signer.certificate_pem)
    (tmp_path / "message").write_bytes(b"a message")
    (tmp_path / "signature").write_bytes(signer.sign(b"a message"))
    (tmp_path / "key").write_text(
        _openssl("x509", "-in", str(tmp_path / "cert"), "-noout", "-pubkey").stdout, encoding="ascii"
    )
    common = ("dgst", "-sha256", "-verify", str(tmp_path / "key"), "-signature", str(tmp_path / "signature"))
    assert _openssl(*common, str(tmp_path / "message")).returncode == 0
    (tmp_path / "message").write_bytes(b"b message")
    assert _openssl(*common, str(tmp_path / "message")).returncode != 0
