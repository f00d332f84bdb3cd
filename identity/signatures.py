"""ECDSA P-256 with SHA-256 in one canonical form: strict DER, low S, deterministic.

An ECDSA signature (r, s) verifies as (r, n - s) too. Where a signature's bytes are hashed, compared or
stored, that second form is a different document with the same meaning; Fabric therefore refuses it
(bccsp/utils/ecdsa.go), and so do we, on both sides.
"""

from __future__ import annotations

from functools import lru_cache

from cryptography import exceptions as crypto_errors
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from identity.errors import InvalidSignature, UnsupportedKey

__all__ = [
    "ECDSA_P256_SHA256",
    "ED25519",
    "P256_ORDER",
    "low_s",
    "p256_public_key",
    "parse_public_key",
    "raw_to_der",
    "sign_der",
    "sign_raw",
    "spki_of",
    "verify_ecdsa",
]

ED25519 = "ed25519"
ECDSA_P256_SHA256 = "ecdsa-p256-sha256"
"""Algorithm names of RFC 9421, section 6.2.2."""

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Order n of the base point of P-256 (FIPS 186-4, D.1.2.3)."""

_HALF_ORDER = P256_ORDER // 2
_MAX_SPKI_BYTES = 256
_MAX_DER_SIGNATURE_BYTES = 72
_PARSED_KEYS = 4096

_ED25519_PRIME = 2**255 - 19
# y coordinates of the points of order 1, 2, 4 and 8. Under such a key one signature fits any message.
_ED25519_SMALL_ORDER_Y = frozenset(
    {
        0,
        1,
        _ED25519_PRIME - 1,
        0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
        0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
    }
)


def spki_of(key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey) -> bytes:
    """DER SubjectPublicKeyInfo of a public key (RFC 5280, section 4.1)."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


@lru_cache(maxsize=_PARSED_KEYS)
def _parse(spki: bytes) -> ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey:
    try:
        key = serialization.load_der_public_key(spki)
    except (ValueError, TypeError, crypto_errors.UnsupportedAlgorithm) as cause:
        raise UnsupportedKey("not a DER SubjectPublicKeyInfo of a known algorithm") from cause
    if isinstance(key, ed25519.Ed25519PublicKey):
        y = int.from_bytes(key.public_bytes_raw(), "little") & ((1 << 255) - 1)
        if y >= _ED25519_PRIME or y in _ED25519_SMALL_ORDER_Y:
            raise UnsupportedKey("Ed25519 key is not a canonical point of large order")
    elif not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise UnsupportedKey("key is neither Ed25519 nor ECDSA P-256")
    # One key, one encoding: refuses compressed points, explicit curve parameters and non-minimal lengths.
    if spki_of(key) != spki:
        raise UnsupportedKey("SubjectPublicKeyInfo is not in its one DER form")
    return key


def parse_public_key(spki: bytes) -> ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey:
    """Parse a DER SubjectPublicKeyInfo strictly: decode, encode again, compare.

    Parsed keys are kept in a bounded cache; failures are not, so garbage cannot push good keys out.

    Raises:
        UnsupportedKey: another algorithm or curve, a weak Ed25519 point, or not the one DER form.
    """
    if not isinstance(spki, bytes) or len(spki) > _MAX_SPKI_BYTES:
        raise UnsupportedKey(f"SubjectPublicKeyInfo must be at most {_MAX_SPKI_BYTES} bytes")
    return _parse(spki)


def p256_public_key(spki: bytes) -> ec.EllipticCurvePublicKey:
    """As `parse_public_key`, for ECDSA P-256 alone.

    Raises:
        UnsupportedKey: anything else.
    """
    key = parse_public_key(spki)
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise UnsupportedKey("key is not ECDSA P-256")
    return key


def _decode(signature: bytes) -> tuple[int, int]:
    """Strict DER to (r, s), both in 1..n-1 (FIPS 186-4, section 6.4.2 step 1)."""
    if not isinstance(signature, bytes) or len(signature) > _MAX_DER_SIGNATURE_BYTES:
        raise InvalidSignature(f"a DER signature is at most {_MAX_DER_SIGNATURE_BYTES} bytes")
    try:
        r, s = decode_dss_signature(signature)
        canonical = encode_dss_signature(r, s)
    except (ValueError, OverflowError) as cause:
        raise InvalidSignature("signature is not the DER of two integers") from cause
    if canonical != signature:
        raise InvalidSignature("signature is not in its one DER form")
    if not (1 <= r < P256_ORDER and 1 <= s < P256_ORDER):
        raise InvalidSignature("r and s must lie in 1..n-1")
    return r, s


def low_s(signature: bytes) -> bytes:
    """The low-S form of a DER ECDSA P-256 signature; a low-S one is returned unchanged.

    Raises:
        InvalidSignature: not strict DER, or r or s out of range.
    """
    r, s = _decode(signature)
    return signature if s <= _HALF_ORDER else encode_dss_signature(r, P256_ORDER - s)


def sign_der(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    """Sign SHA-256 of `message`: deterministic (RFC 6979), low S, DER (at most 71 bytes)."""
    return low_s(key.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)))


def sign_raw(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    """As `sign_der`, in RFC 9421's form: r then s, 32 bytes each, big-endian (section 3.3.4)."""
    r, s = decode_dss_signature(sign_der(key, message))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def raw_to_der(signature: bytes) -> bytes:
    """RFC 9421's 64 bytes r || s to DER.

    Raises:
        InvalidSignature: not 64 bytes.
    """
    if not isinstance(signature, bytes) or len(signature) != 64:
        raise InvalidSignature("an ecdsa-p256-sha256 signature is 64 bytes, r then s")
    return encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))


def verify_ecdsa(spki_or_key: bytes | ec.EllipticCurvePublicKey, message: bytes, signature: bytes) -> None:
    """Verify an ECDSA P-256 SHA-256 signature in strict DER with low S.

    Args:
        spki_or_key: DER SubjectPublicKeyInfo, or a parsed P-256 key.
        message: the signed bytes (hashed here).
        signature: DER, low S.

    Raises:
        InvalidSignature: it does not verify, is not strict DER, is out of range, or has a high S.
        UnsupportedKey: the key is not P-256 in its one DER form.
    """
    key = p256_public_key(spki_or_key) if isinstance(spki_or_key, bytes) else spki_or_key
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise UnsupportedKey("key is not ECDSA P-256")
    _, s = _decode(signature)
    if s > _HALF_ORDER:
        raise InvalidSignature("signature has a high S")
    try:
        key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
    except crypto_errors.InvalidSignature as cause:
        raise InvalidSignature("signature does not verify under this key") from cause
