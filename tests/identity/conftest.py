"""Organisations to test against, and a forge that makes certificates an honest authority would not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.x509.oid import NameOID

from identity import DevelopmentAuthority, serialize_identity
from identity.certificates import _assemble, to_pem
from identity.files import read_private_key
from identity.signatures import P256_ORDER

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
YEAR = timedelta(days=365)


@dataclass
class Forged:
    """A certificate with its key, made to order."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return to_pem(self.certificate)

    def serialized(self, msp_id: str = "Org1MSP") -> bytes:
        return serialize_identity(msp_id, self.pem)

    def high_s(self) -> Forged:
        """The same certificate with the other of the two valid ECDSA signatures."""
        r, s = decode_dss_signature(self.certificate.signature)
        twin = encode_dss_signature(r, P256_ORDER - s if s <= P256_ORDER // 2 else s)
        der = _assemble(self.certificate.tbs_certificate_bytes, twin)
        return Forged(x509.load_der_x509_certificate(der), self.key)


def forge(
    *,
    units: tuple[str, ...] = ("client",),
    common_name: str = "forged",
    issuer: Forged | None = None,
    ca: bool | None = False,
    path_length: int | None = None,
    digital_signature: bool = True,
    key_cert_sign: bool = False,
    crl_sign: bool | None = None,
    key_usage: bool = True,
    subject_key_identifier: bool = True,
    start: datetime = NOW,
    lifetime: timedelta = YEAR,
    algorithm: hashes.HashAlgorithm | None = None,
    curve: ec.EllipticCurve | None = None,
    extra: tuple[tuple[x509.ExtensionType, bool], ...] = (),
    name: x509.Name | None = None,
    key: ec.EllipticCurvePrivateKey | None = None,
    named_authority: ec.EllipticCurvePrivateKey | None = None,
) -> Forged:
    """A certificate with any fault wanted; self-signed without `issuer`."""
    key = key or ec.generate_private_key(curve or ec.SECP256R1())
    subject = (
        name
        if name is not None
        else x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Org1MSP"),
                *(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit) for unit in units),
                x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            ]
        )
    )
    signing_key = issuer.key if issuer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + lifetime)
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=path_length), critical=True)
    if key_usage:
        usage = x509.KeyUsage(
            digital_signature=digital_signature,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=key_cert_sign,
            crl_sign=key_cert_sign if crl_sign is None else crl_sign,
            encipher_only=False,
            decipher_only=False,
        )
        builder = builder.add_extension(usage, critical=True)
    if subject_key_identifier:
        builder = builder.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        )
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key((named_authority or signing_key).public_key()),
        critical=False,
    )
    for extension, critical in extra:
        builder = builder.add_extension(extension, critical=critical)
    return Forged(builder.sign(signing_key, algorithm or hashes.SHA256()), key)


def forge_root(common_name: str = "root", **changes: object) -> Forged:
    """A sound root, unless changed."""
    wanted: dict[str, object] = {
        "units": (),
        "common_name": common_name,
        "ca": True,
        "key_cert_sign": True,
        "digital_signature": False,
        "start": NOW - YEAR,
        "lifetime": 10 * YEAR,
    }
    return forge(**{**wanted, **changes})  # type: ignore[arg-type]


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture(name="forge")
def _forge() -> Callable[..., Forged]:
    return forge


@pytest.fixture(name="forge_root")
def _forge_root() -> Callable[..., Forged]:
    return forge_root


@pytest.fixture
def authority(tmp_path: Path) -> DevelopmentAuthority:
    """A fresh authority of Org1MSP."""
    return DevelopmentAuthority.create("Org1MSP", tmp_path / "org1" / "ca", now=NOW)


@pytest.fixture
def authority_as_issuer(authority: DevelopmentAuthority, tmp_path: Path) -> Forged:
    """The authority's own certificate and key in the forge's hands: an authority that turned careless."""
    key = read_private_key(tmp_path / "org1" / "ca" / "key.pem")
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return Forged(x509.load_pem_x509_certificate(authority.root_certificate_pem), key)
