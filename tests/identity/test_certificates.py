from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from identity import IdentityError, MalformedIdentity, UnsupportedKey, UntrustedCertificate
from identity.certificates import (
    MAX_CERTIFICATE_BYTES,
    PARSE_ERRORS,
    _assemble,
    _sequence,
    build_certificate,
    canonical,
    common_name_of,
    key_usage_of,
    make_name,
    organisation_of,
    read_pem,
    spki_of_certificate,
    subject_units,
    to_pem,
)
from identity.signatures import low_s, sign_der, spki_of


def _build(now: datetime, **changes: Any) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = make_name("Org1MSP", ("client", "device"), "d1")
    wanted = {
        "subject": name,
        "public_key": key.public_key(),
        "issuer": None,
        "issuer_key": key,
        "now": now,
        "lifetime": timedelta(days=1),
        "authority": False,
    }
    return build_certificate(**{**wanted, **changes})


def test_built_certificates_are_canonical_and_low_s(now: datetime) -> None:
    for _ in range(12):  # the signer's nonce is random: half of the raw signatures are high
        certificate = _build(now)
        assert low_s(certificate.signature) == certificate.signature
        assert read_pem(to_pem(certificate)) == certificate
        assert certificate.serial_number.bit_length() <= 159


def test_subject_reads_back(now: datetime) -> None:
    certificate = _build(now)
    assert subject_units(certificate) == ["client", "device"]
    assert common_name_of(certificate) == "d1"
    assert organisation_of(certificate) == "Org1MSP"
    assert key_usage_of(certificate).digital_signature
    assert certificate.not_valid_before_utc == now


def test_high_s_certificates_come_out_as_their_low_s_twin(forge: Callable[..., Any]) -> None:
    low = canonical(forge().certificate)
    high = type(forge())(low, forge().key).high_s().certificate
    assert high.public_bytes(Encoding.DER) != low.public_bytes(Encoding.DER)
    assert canonical(high).public_bytes(Encoding.DER) == low.public_bytes(Encoding.DER)
    assert canonical(low) is low


@pytest.mark.parametrize(
    "change",
    [
        lambda pem: b"",
        lambda pem: b"\n" + pem,
        lambda pem: pem + b"\n",
        lambda pem: pem[:-1],
        lambda pem: pem + b"trailing",
        lambda pem: b"comment\n" + pem,
        lambda pem: pem + pem,
        lambda pem: pem.replace(b"\n", b"\r\n"),
        lambda pem: pem.replace(b"CERTIFICATE", b"X509 CERTIFICATE"),
        lambda pem: pem.replace(b"-----\nM", b"-----\nProc-Type: x\n\nM", 1),
        lambda pem: pem.replace(b"M", b" M", 1),
        lambda pem: pem[:100],
        lambda pem: pem + b" " * MAX_CERTIFICATE_BYTES,
        lambda pem: bytearray(pem),
        lambda pem: None,
    ],
)
def test_only_canonical_pem_names_an_identity(
    change: Callable[[bytes], Any], forge: Callable[..., Any]
) -> None:
    pem = to_pem(canonical(forge().certificate))
    assert read_pem(pem)
    with pytest.raises(MalformedIdentity):
        read_pem(change(pem))


def test_operators_files_may_hold_text_but_one_certificate_only(forge: Callable[..., Any]) -> None:
    pem = to_pem(canonical(forge().certificate))
    assert to_pem(read_pem(b"Subject: somebody\n" + pem.replace(b"\n", b"\r\n"), strict=False)) == pem
    with pytest.raises(MalformedIdentity, match="exactly one"):
        read_pem(pem + pem, strict=False)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"algorithm": hashes.SHA384()}, UntrustedCertificate),
        (
            {"extra": ((x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True),)},
            UntrustedCertificate,
        ),
    ],
)
def test_other_algorithms_and_critical_extensions_are_refused(
    changes: dict[str, Any], error: type[IdentityError], forge: Callable[..., Any]
) -> None:
    with pytest.raises(error):
        canonical(forge(**changes).certificate)


def test_a_subjects_key_on_another_curve_is_refused(forge: Callable[..., Any]) -> None:
    with pytest.raises(UnsupportedKey):
        canonical(forge(curve=ec.SECP384R1(), issuer=forge()).certificate)
    with pytest.raises(MalformedIdentity):  # signed by such a key: not a P-256 signature
        canonical(forge(curve=ec.SECP384R1()).certificate)


def test_an_unknown_extension_that_is_not_critical_is_accepted(forge: Callable[..., Any]) -> None:
    attributes = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5.6.7.8.1"), b'{"attrs":{}}')
    assert canonical(forge(extra=((attributes, False),)).certificate)


def test_no_byte_outside_the_signed_part_can_vary(forge: Callable[..., Any]) -> None:
    certificate = canonical(forge().certificate)
    der = certificate.public_bytes(Encoding.DER)
    start = der.index(certificate.tbs_certificate_bytes)
    tail = start + len(certificate.tbs_certificate_bytes)
    signature_start = len(der) - len(certificate.signature)
    for position in [*range(start), *range(tail, signature_start)]:
        for change in (1, 0x80, 0xFF):
            changed = bytearray(der)
            changed[position] ^= change
            try:
                other = x509.load_der_x509_certificate(bytes(changed))
            except PARSE_ERRORS:
                continue
            with pytest.raises(IdentityError):
                canonical(other)


def _resigned(forged: Any, old: bytes, new: bytes) -> bytes:
    """PEM of a certificate whose signed part was edited and signed again: wrong in that one respect only."""
    certificate = forged.certificate
    tbs = certificate.tbs_certificate_bytes
    header = 2 if tbs[1] < 0x80 else 2 + (tbs[1] & 0x7F)
    assert _sequence(0x30, tbs[header:]) == tbs
    assert tbs.count(old) == 1
    edited = _sequence(0x30, tbs[header:].replace(old, new))
    return _pem(_assemble(edited, sign_der(forged.key, edited)))


def _pem(der: bytes) -> bytes:
    text = base64.b64encode(der)
    lines = [text[i : i + 64] for i in range(0, len(text), 64)]
    return b"\n".join([b"-----BEGIN CERTIFICATE-----", *lines, b"-----END CERTIFICATE-----", b""])


def _integer(value: int) -> bytes:
    return _sequence(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def test_resigning_without_an_edit_is_accepted(forge: Callable[..., Any]) -> None:
    assert read_pem(_resigned(forge(), b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x02"))


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@pytest.mark.parametrize("serial", [0, -1, 1 << 160, 1 << 200])
def test_serials_out_of_range_are_refused(serial: int, forge: Callable[..., Any]) -> None:
    forged = forge()
    with pytest.raises(MalformedIdentity):
        read_pem(_resigned(forged, _integer(forged.certificate.serial_number), _integer(serial)))


@pytest.mark.parametrize("version", ["", "a003020100", "a003020101", "a003020103"])
def test_other_versions_are_refused(version: str, forge: Callable[..., Any]) -> None:
    with pytest.raises(MalformedIdentity):
        read_pem(_resigned(forge(), b"\xa0\x03\x02\x01\x02", bytes.fromhex(version)))


def test_a_compressed_key_is_refused(forge: Callable[..., Any]) -> None:
    forged = forge()
    key = forged.certificate.public_key()
    point = key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    spki = spki_of(key)
    algorithm = spki[2 : 2 + 21]
    compressed = _sequence(0x30, algorithm + _sequence(0x03, b"\0" + point))
    with pytest.raises(UnsupportedKey):
        read_pem(_resigned(forged, spki, compressed))


def test_a_repeated_extension_is_refused(forge: Callable[..., Any]) -> None:
    # A stand-in of the same length is renamed to a second key usage, so that no outer length changes.
    stand_in = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.99"), b"\x03\x02\x07\x80")
    old, new = (bytes.fromhex(f"300e0603551d{oid}0101ff040403020780") for oid in ("63", "0f"))
    pem = _resigned(forge(extra=((stand_in, True),)), old, new)
    with pytest.raises(MalformedIdentity):
        read_pem(pem)


def test_algorithm_parameters_outside_the_signed_part_are_refused(forge: Callable[..., Any]) -> None:
    """A NULL beside ecdsa-with-SHA256, which some parsers let pass (RFC 5758, 3.2 forbids it)."""
    certificate = canonical(forge().certificate)
    algorithm = bytes.fromhex("300c06082a8648ce3d0403020500")
    bits = _sequence(0x03, b"\0" + certificate.signature)
    der = _sequence(0x30, certificate.tbs_certificate_bytes + algorithm + bits)
    with pytest.raises(IdentityError):
        read_pem(_pem(der))


CERTIFICATE = _build(datetime.fromisoformat("2026-03-01T12:00:00+00:00"))
DER = CERTIFICATE.public_bytes(Encoding.DER)


@given(st.lists(st.tuples(st.integers(0, len(DER) - 1), st.integers(1, 255)), min_size=1, max_size=3))
@settings(max_examples=300, deadline=None)
def test_altered_certificates_give_typed_errors_or_other_bytes(changes: list[tuple[int, int]]) -> None:
    altered = bytearray(DER)
    for position, change in changes:
        altered[position] ^= change
    if bytes(altered) == DER:
        return
    try:
        certificate = x509.load_der_x509_certificate(bytes(altered))
    except PARSE_ERRORS:
        return
    try:
        result = canonical(certificate)
        common_name_of(result), subject_units(result), key_usage_of(result), spki_of_certificate(result)
    except IdentityError:
        return
    assert result.public_bytes(Encoding.DER) != DER


def test_keys_come_out_as_strict_spki(now: datetime) -> None:
    certificate = _build(now)
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert spki_of_certificate(certificate) == spki_of(key)


@pytest.mark.parametrize("value", ["", " ", "a" * 65, "line\nbreak", "nul\0", " padded", "padded "])
def test_bad_names_are_refused(value: str) -> None:
    with pytest.raises(MalformedIdentity):
        make_name("Org1MSP", (), value)
    with pytest.raises(MalformedIdentity):
        make_name(value, (), "name")


def test_bad_validities_are_refused(now: datetime) -> None:
    for changes in (
        {"now": now.replace(tzinfo=None)},
        {"lifetime": timedelta(0)},
        {"lifetime": timedelta(days=-1)},
        {"lifetime": timedelta(days=365 * 9000)},
    ):
        with pytest.raises(MalformedIdentity):
            _build(**{"now": now, **changes})


def test_subjects_without_exactly_one_common_name_are_refused(forge: Callable[..., Any]) -> None:
    for names in ([], ["a", "b"]):
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])
        with pytest.raises(MalformedIdentity):
            common_name_of(forge(name=subject).certificate)
        assert organisation_of(forge(name=subject).certificate) is None


def test_a_certificate_without_key_usage_is_refused(forge: Callable[..., Any]) -> None:
    with pytest.raises(UntrustedCertificate):
        key_usage_of(forge(key_usage=False).certificate)
