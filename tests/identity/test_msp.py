from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from fabric_protos.msp import identities_pb2, msp_config_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from identity import (
    DevelopmentAuthority,
    ExpiredCertificate,
    Identity,
    IdentityError,
    MalformedIdentity,
    Msp,
    MspManager,
    RevokedCertificate,
    Role,
    Signer,
    UnknownMsp,
    UntrustedCertificate,
    parse_serialized_identity,
    serialize_identity,
    verify_ecdsa,
)
from identity.msp import MAX_IDENTITY_BYTES

# Altered certificates may show a negative serial number, at which cryptography warns before it refuses.
pytestmark = pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")

YEAR = timedelta(days=365)


@pytest.fixture
def msp(authority: DevelopmentAuthority) -> Msp:
    return Msp.from_config(authority.fabric_msp_config())


@pytest.fixture
def device(authority: DevelopmentAuthority, now: datetime) -> Signer:
    return authority.issue("d1", Role.DEVICE, now=now)


def _edited(authority: DevelopmentAuthority, edit: Callable[[Any], None]) -> bytes:
    """The authority's configuration with one thing changed."""
    outer = authority.fabric_msp_config()
    inner = msp_config_pb2.FabricMSPConfig.FromString(outer.config)
    edit(inner)
    outer.config = inner.SerializeToString()
    return outer.SerializeToString()


def test_a_member_is_validated(msp: Msp, device: Signer, now: datetime) -> None:
    identity = msp.validate(device.serialized(), at=now)
    certificate = x509.load_der_x509_certificate(identity.certificate_der)
    assert identity == Identity("Org1MSP", Role.DEVICE, "client", "d1", identity.certificate_der, device.spki)
    assert certificate == x509.load_pem_x509_certificate(device.certificate_pem)
    verify_ecdsa(identity.spki, b"m", device.sign(b"m"))


def test_a_foreign_authority_is_refused(msp: Msp, tmp_path: Path, now: datetime) -> None:
    """Same MSP identifier, same names, another key."""
    impostor = DevelopmentAuthority.create("Org1MSP", tmp_path / "impostor", now=now)
    with pytest.raises(UntrustedCertificate):
        msp.validate(impostor.issue("d1", Role.DEVICE, now=now).serialized())


def test_expiry_counts_only_at_a_named_instant(msp: Msp, device: Signer, now: datetime) -> None:
    assert msp.validate(device.serialized(), at=None)
    for good in (now, now + YEAR):
        assert msp.validate(device.serialized(), at=good)
    for bad in (now - timedelta(seconds=1), now + YEAR + timedelta(seconds=1)):
        with pytest.raises(ExpiredCertificate):
            msp.validate(device.serialized(), at=bad)
    with pytest.raises(ExpiredCertificate, match="time zone"):
        msp.validate(device.serialized(), at=now.replace(tzinfo=None))
    assert msp.validate(device.serialized(), at=None)  # the failures left nothing behind


def test_the_clock_is_never_read(authority: DevelopmentAuthority, tmp_path: Path) -> None:
    """Certificates that lie wholly in the past and wholly in the future are members all the same."""
    for year in (1990, 2100):
        start = datetime(year, 1, 1, tzinfo=UTC)
        old = DevelopmentAuthority.create("OldMSP", tmp_path / str(year), now=start, lifetime=YEAR)
        signer = old.issue("d", Role.DEVICE, now=start, lifetime=timedelta(days=1))
        msp = Msp.from_config(old.fabric_msp_config())
        assert msp.validate(signer.serialized())
        with pytest.raises(ExpiredCertificate):
            msp.validate(signer.serialized(), at=datetime(2026, 3, 1, tzinfo=UTC))


def test_an_expired_authority_expires_its_members(
    authority_as_issuer: Any, forge: Callable[..., Any], msp: Msp, now: datetime
) -> None:
    forged = forge(issuer=authority_as_issuer, lifetime=100 * YEAR)  # a careless authority's long leaf
    assert msp.validate(forged.serialized(), at=now + 5 * YEAR)
    with pytest.raises(ExpiredCertificate):
        msp.validate(forged.serialized(), at=now + 11 * YEAR)


def test_a_revoked_member_is_refused(authority: DevelopmentAuthority, device: Signer, now: datetime) -> None:
    authority.revoke(device, now=now + YEAR)  # whatever date the list gives
    with pytest.raises(RevokedCertificate):
        Msp.from_config(authority.fabric_msp_config()).validate(device.serialized(), at=now)


@pytest.mark.parametrize(
    "units", [(), ("client", "peer"), ("client", "client"), ("device",), ("peer", "device"), ("client", "x")]
)
def test_exactly_one_class_and_a_known_role(
    units: tuple[str, ...], forge: Callable[..., Any], authority_as_issuer: Any, msp: Msp
) -> None:
    with pytest.raises(UntrustedCertificate):
        msp.validate(forge(units=units, issuer=authority_as_issuer).serialized())


def test_units_in_one_set_are_read(forge: Callable[..., Any], authority_as_issuer: Any, msp: Msp) -> None:
    """As Fabric CA writes them: one multi-valued RDN, sorted by DER."""
    name = x509.Name(
        [
            x509.RelativeDistinguishedName(
                [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit) for unit in ("client", "relay")]
            ),
            x509.RelativeDistinguishedName([x509.NameAttribute(NameOID.COMMON_NAME, "r")]),
        ]
    )
    assert msp.validate(forge(name=name, issuer=authority_as_issuer).serialized()).role is Role.RELAY


def test_both_twins_of_a_certificate_are_one_identity(
    forge: Callable[..., Any], authority_as_issuer: Any, msp: Msp
) -> None:
    forged = forge(issuer=authority_as_issuer)
    twins = {msp.validate(forged.serialized()), msp.validate(forged.high_s().serialized())}
    assert len(twins) == 1


def test_the_authority_itself_is_no_member(authority: DevelopmentAuthority, msp: Msp) -> None:
    with pytest.raises(UntrustedCertificate):
        msp.validate(serialize_identity("Org1MSP", authority.root_certificate_pem))


def test_encodings_are_strict(device: Signer, msp: Msp) -> None:
    good = device.serialized()
    message = identities_pb2.SerializedIdentity.FromString(good)
    msp_field, pem_field = good[: 2 + len(message.mspid)], good[2 + len(message.mspid) :]
    wrong = {
        "empty": b"",
        "trailing unknown field": good + b"\x18\x01",
        "fields swapped": pem_field + msp_field,
        "field repeated": msp_field + good,
        "long varint": b"\x0a\x87\x00" + good[2:],
        "truncated": good[:-1],
        "without msp": pem_field,
        "without certificate": msp_field,
        "enormous": serialize_identity("Org1MSP", b"x" * MAX_IDENTITY_BYTES),
        "DER instead of PEM": serialize_identity("Org1MSP", msp.validate(good).certificate_der),
        "endless MSP identifier": serialize_identity("O" * 129, device.certificate_pem),
        "text before": serialize_identity("Org1MSP", b"x\n" + device.certificate_pem),
        "two certificates": serialize_identity("Org1MSP", device.certificate_pem * 2),
    }
    for name, serialized in wrong.items():
        with pytest.raises(MalformedIdentity):
            pytest.fail(f"{name}: {msp.validate(serialized)}")
    for not_bytes in (None, "text", bytearray(good), memoryview(good), 5):
        with pytest.raises(MalformedIdentity):
            msp.validate(not_bytes)  # type: ignore[arg-type]
        with pytest.raises(MalformedIdentity):
            parse_serialized_identity(not_bytes)  # type: ignore[arg-type]


def test_another_msps_identity_is_unknown(msp: Msp, device: Signer) -> None:
    with pytest.raises(UnknownMsp):
        msp.validate(serialize_identity("Org2MSP", device.certificate_pem))


@given(serialized=st.binary(max_size=400))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_garbage_gives_typed_errors(serialized: bytes, msp: Msp) -> None:
    manager = MspManager()
    manager.add(msp)
    for validate in (msp.validate, manager.validate):
        with pytest.raises(IdentityError):
            validate(serialized)


@given(msp_id=st.just("Org1MSP") | st.text(max_size=20), body=st.binary(max_size=400), pem=st.booleans())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_wellformed_wrapping_of_garbage_gives_typed_errors(
    msp_id: str, body: bytes, pem: bool, msp: Msp
) -> None:
    if pem:
        text = base64.encodebytes(body)
        body = b"-----BEGIN CERTIFICATE-----\n" + text + b"-----END CERTIFICATE-----\n"
    try:
        serialized = serialize_identity(msp_id, body)
    except (UnicodeEncodeError, ValueError):
        return
    with pytest.raises(IdentityError):
        msp.validate(serialized)


@given(changes=st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 255)), min_size=1, max_size=4))
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_altered_identity_passes(changes: list[tuple[int, int]], msp: Msp, device: Signer) -> None:
    altered = bytearray(device.serialized())
    for position, change in changes:
        altered[position % len(altered)] ^= change
    if bytes(altered) == device.serialized():
        return
    with pytest.raises(IdentityError):
        msp.validate(bytes(altered))


@given(position=st.integers(0, 2000), change=st.integers(1, 255))
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_altered_certificate_passes(position: int, change: int, msp: Msp, device: Signer) -> None:
    """The DER altered and wrapped correctly again, so that the outer layers are passed."""
    der = bytearray(msp.validate(device.serialized()).certificate_der)
    der[position % len(der)] ^= change
    lines = base64.encodebytes(der).replace(b"\n", b"")
    body = b"\n".join(lines[i : i + 64] for i in range(0, len(lines), 64))
    pem = b"-----BEGIN CERTIFICATE-----\n" + body + b"\n-----END CERTIFICATE-----\n"
    with pytest.raises(IdentityError):
        msp.validate(serialize_identity("Org1MSP", pem))


def test_validations_are_cached_within_bounds(
    authority: DevelopmentAuthority, msp: Msp, device: Signer, now: datetime
) -> None:
    first = msp.validate(device.serialized())
    assert msp.validate(bytes(bytearray(device.serialized()))) is first
    for i in range(50):
        with pytest.raises(IdentityError):
            msp.validate(b"garbage %d" % i)
    information = msp._check.cache_info()
    assert (information.currsize, information.hits) == (1, 1)  # garbage takes no room
    assert information.maxsize is not None


def test_a_new_configuration_starts_with_an_empty_cache(
    authority: DevelopmentAuthority, msp: Msp, device: Signer, now: datetime
) -> None:
    assert msp.validate(device.serialized())
    authority.revoke(device, now=now)
    with pytest.raises(RevokedCertificate):
        Msp.from_config(authority.fabric_msp_config()).validate(device.serialized())


def _set(field: str, value: Any) -> Callable[[Any], None]:
    def edit(inner: Any) -> None:
        getattr(inner, field)[:] = value

    return edit


def _rename(inner: Any) -> None:
    inner.fabric_node_ous.admin_ou_identifier.organizational_unit_identifier = "boss"


@pytest.mark.parametrize(
    "edit",
    [
        lambda inner: inner.ClearField("name"),
        lambda inner: inner.ClearField("root_certs"),
        lambda inner: inner.ClearField("fabric_node_ous"),
        lambda inner: setattr(inner.fabric_node_ous, "enable", False),
        lambda inner: inner.fabric_node_ous.ClearField("orderer_ou_identifier"),
        _rename,
        lambda inner: setattr(inner.crypto_config, "identity_identifier_hash_function", "SHA3_256"),
        lambda inner: setattr(inner.crypto_config, "signature_hash_family", "SHA3"),
        lambda inner: inner.signing_identity.private_signer.SetInParent(),
        lambda inner: inner.organizational_unit_identifiers.add(organizational_unit_identifier="x"),
        _set("root_certs", [b"garbage"]),
        _set("revocation_list", [b"garbage"]),
        _set("revocation_list", [b"-----BEGIN X509 CRL-----\n\n-----END X509 CRL-----\n"]),
        _set("intermediate_certs", [b""]),
        lambda inner: setattr(inner.fabric_node_ous.peer_ou_identifier, "certificate", b"garbage"),
    ],
)
def test_configurations_that_would_not_be_enforced_are_refused(
    edit: Callable[[Any], None], authority: DevelopmentAuthority
) -> None:
    with pytest.raises(MalformedIdentity):
        Msp.from_config(_edited(authority, edit))


def test_other_messages_are_no_configurations(authority: DevelopmentAuthority) -> None:
    for config in (b"", b"garbage", b"\xff" * 20):
        with pytest.raises(MalformedIdentity):
            Msp.from_config(config)
    idemix = authority.fabric_msp_config()
    idemix.type = 1
    with pytest.raises(MalformedIdentity):
        Msp.from_config(idemix)
    with pytest.raises(MalformedIdentity):
        Msp.from_config("text")


@given(config=st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_garbage_configurations_give_typed_errors(config: bytes) -> None:
    wrapped = msp_config_pb2.MSPConfig(type=0, config=config).SerializeToString()
    for candidate in (config, wrapped):
        with pytest.raises(IdentityError):
            Msp.from_config(candidate)


def test_a_class_counts_only_under_its_certifier(
    authority: DevelopmentAuthority, forge: Callable[..., Any], forge_root: Callable[..., Any], device: Signer
) -> None:
    second = forge_root("second")
    config = _edited(authority, lambda inner: inner.root_certs.append(second.pem))
    msp = Msp.from_config(config)
    assert msp.validate(device.serialized())
    with pytest.raises(UntrustedCertificate, match="certifies"):
        msp.validate(forge(issuer=second).serialized())

    def open_clients(inner: Any) -> None:
        inner.root_certs.append(second.pem)
        inner.fabric_node_ous.client_ou_identifier.ClearField("certificate")

    msp = Msp.from_config(_edited(authority, open_clients))
    assert msp.validate(forge(issuer=second).serialized())
    with pytest.raises(UntrustedCertificate, match="certifies"):
        msp.validate(forge(issuer=second, units=("admin",)).serialized())

    def stray(inner: Any) -> None:
        inner.fabric_node_ous.peer_ou_identifier.certificate = second.pem

    with pytest.raises(UntrustedCertificate, match="no authority here"):
        Msp.from_config(_edited(authority, stray))


def test_the_manager_asks_the_organisation_that_is_named(tmp_path: Path, now: datetime) -> None:
    manager, signers = MspManager(), []
    for name in ("Org1MSP", "Org2MSP"):
        authority = DevelopmentAuthority.create(name, tmp_path / name, now=now)
        manager.add(Msp.from_config(authority.fabric_msp_config()))
        signers.append(authority.issue("p", Role.PEER, now=now))
    assert manager.msp_ids == {"Org1MSP", "Org2MSP"}
    for signer in signers:
        assert manager.validate(signer.serialized(), now).msp_id == signer.msp_id
        with pytest.raises(ExpiredCertificate):
            manager.validate(signer.serialized(), now - YEAR)
    # One organisation's certificate under the other's name.
    with pytest.raises(UntrustedCertificate):
        manager.validate(serialize_identity("Org2MSP", signers[0].certificate_pem))
    with pytest.raises(UnknownMsp):
        manager.validate(serialize_identity("Org3MSP", signers[0].certificate_pem))
    with pytest.raises(MalformedIdentity, match="twice"):
        manager.add(Msp.from_config(authority.fabric_msp_config()))
