from __future__ import annotations

import copy
import pickle
import stat
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fabric_protos.msp import identities_pb2

from identity import (
    DevelopmentAuthority,
    KeyPair,
    KeyStoreError,
    MalformedIdentity,
    Role,
    Signer,
    UnsupportedKey,
    UntrustedCertificate,
    verify_ecdsa,
)
from identity.certificates import canonical, to_pem


@pytest.fixture
def signer(authority: DevelopmentAuthority, now: datetime) -> Signer:
    return authority.issue("trainer.org1", Role.TRAINER, now=now)


def test_serialized_is_fabrics_message_and_constant(signer: Signer) -> None:
    message = identities_pb2.SerializedIdentity.FromString(signer.serialized())
    assert message.mspid == "Org1MSP"
    assert message.id_bytes == signer.certificate_pem
    assert signer.serialized() == signer.serialized()


def test_signatures_verify_under_the_signers_key(signer: Signer) -> None:
    signature = signer.sign(b"envelope")
    verify_ecdsa(signer.spki, b"envelope", signature)
    assert signature == signer.sign(b"envelope")


def test_saved_signers_come_back(signer: Signer, tmp_path: Path) -> None:
    folder = tmp_path / "trainer"
    signer.save(folder)
    signer.save(folder)  # again: the same files
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {
        "cert.pem": 0o644,
        "key.pem": 0o600,
    }
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    again = Signer.load(folder)
    assert again.serialized() == signer.serialized()
    assert again.sign(b"m") == signer.sign(b"m")
    assert (again.msp_id, again.role, again.common_name) == ("Org1MSP", Role.TRAINER, "trainer.org1")
    assert Signer.load(folder, msp_id="OtherMSP").msp_id == "OtherMSP"


def test_a_key_that_does_not_fit_its_certificate_is_refused(
    signer: Signer, authority: DevelopmentAuthority, now: datetime, tmp_path: Path
) -> None:
    signer.save(tmp_path / "a")
    authority.issue("other", Role.TRAINER, now=now).save(tmp_path / "b")
    (tmp_path / "a" / "key.pem").write_bytes((tmp_path / "b" / "key.pem").read_bytes())
    with pytest.raises(UnsupportedKey, match="not the certificate's"):
        Signer.load(tmp_path / "a")
    KeyPair.generate("ed25519").save(tmp_path / "a" / "key.pem")
    with pytest.raises(KeyStoreError):
        Signer.load(tmp_path / "a")
    (tmp_path / "a" / "cert.pem").unlink()
    with pytest.raises(KeyStoreError):
        Signer.load(tmp_path / "a")


def test_certificates_without_role_or_readable_text_are_refused(forge: Callable[..., Any]) -> None:
    forged = forge(units=("nobody",))
    with pytest.raises(UntrustedCertificate):
        Signer("Org1MSP", forged.pem, forged.key)
    with pytest.raises(MalformedIdentity):
        Signer("Org1MSP", b"garbage", forged.key)
    good = forge()
    with pytest.raises(MalformedIdentity):
        Signer("", good.pem, good.key)


def test_a_high_s_certificate_is_serialised_in_its_low_s_form(forge: Callable[..., Any]) -> None:
    forged = forge()
    low = to_pem(canonical(forged.certificate))
    high = type(forged)(canonical(forged.certificate), forged.key).high_s()
    assert Signer("Org1MSP", high.pem, forged.key).certificate_pem == low
    assert Signer("Org1MSP", low, forged.key).certificate_pem == low


def test_no_secret_in_text_or_pickles(signer: Signer, authority: DevelopmentAuthority) -> None:
    for holder in (signer, authority):
        key = holder._key
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        number = key.private_numbers().private_value
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        secrets = [f"{number:x}", f"{number:X}", str(number), *pem.splitlines()[1:-1]]
        for text in (repr(holder), str(holder), f"{holder}"):
            assert "Org1MSP" in text
            assert not any(secret in text for secret in secrets)
        with pytest.raises(TypeError) as caught:
            pickle.dumps(holder)
        assert not any(secret in str(caught.value) for secret in secrets)
        with pytest.raises(TypeError):
            copy.copy(holder)
