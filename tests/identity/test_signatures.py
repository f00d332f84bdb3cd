"""ECDSA and key parsing: published vectors, an independent curve, and malformed signatures.

The malformed signatures follow the case list of Project Wycheproof's ecdsa_secp256r1_sha256 tests, built here
over fresh signatures so that each is wrong in one respect only.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from identity import InvalidSignature, UnsupportedKey, low_s, verify_ecdsa
from identity.signatures import (
    P256_ORDER,
    p256_public_key,
    parse_public_key,
    raw_to_der,
    sign_der,
    sign_raw,
    spki_of,
)

N = P256_ORDER
KEY = ec.generate_private_key(ec.SECP256R1())
SPKI = spki_of(KEY.public_key())
MESSAGE = b"a reading"
GOOD = sign_der(KEY, MESSAGE)
R, S = decode_dss_signature(GOOD)

# RFC 6979, A.2.5: ECDSA, NIST P-256, SHA-256.
RFC6979_SECRET = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
RFC6979 = {
    b"sample": (
        0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716,
        0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8,
    ),
    b"test": (
        0xF1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367,
        0x019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083,
    ),
}


@pytest.mark.parametrize("message", list(RFC6979))
def test_signing_gives_the_low_s_form_of_rfc_6979(message: bytes) -> None:
    key = ec.derive_private_key(RFC6979_SECRET, ec.SECP256R1())
    r, s = RFC6979[message]
    expected = (r, min(s, N - s))
    assert decode_dss_signature(sign_der(key, message)) == expected
    raw = sign_raw(key, message)
    assert (int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")) == expected


def _add(p: tuple[int, int] | None, q: tuple[int, int] | None) -> tuple[int, int] | None:
    prime = 2**256 - 2**224 + 2**192 + 2**96 - 1
    if p is None or q is None:
        return p or q
    if p[0] == q[0] and (p[1] + q[1]) % prime == 0:
        return None
    if p == q:
        slope = (3 * p[0] ** 2 - 3) * pow(2 * p[1], -1, prime)
    else:
        slope = (q[1] - p[1]) * pow(q[0] - p[0], -1, prime)
    x = (slope**2 - p[0] - q[0]) % prime
    return x, (slope * (p[0] - x) - p[1]) % prime


def _times(k: int, p: tuple[int, int]) -> tuple[int, int] | None:
    total: tuple[int, int] | None = None
    step: tuple[int, int] | None = p
    while k:
        total = _add(total, step) if k & 1 else total
        step, k = _add(step, step), k >> 1
    return total


def test_signatures_agree_with_the_curve_in_plain_integers() -> None:
    base = (
        0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
        0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
    )
    assert _times(N, base) is None  # the order is the order
    numbers = KEY.public_key().public_numbers()
    inverse = pow(S, -1, N)
    digest = int.from_bytes(sha256(MESSAGE).digest(), "big")
    point = _add(_times(digest * inverse % N, base), _times(R * inverse % N, (numbers.x, numbers.y)))
    assert point is not None
    assert point[0] % N == R


def test_verification_accepts_key_and_spki() -> None:
    verify_ecdsa(SPKI, MESSAGE, GOOD)
    verify_ecdsa(KEY.public_key(), MESSAGE, GOOD)


@given(st.binary(max_size=200))
@settings(max_examples=50, deadline=None)
def test_signatures_are_low_s_deterministic_and_bound_to_the_message(message: bytes) -> None:
    signature = sign_der(KEY, message)
    assert signature == sign_der(KEY, message)
    assert decode_dss_signature(signature)[1] <= N // 2
    verify_ecdsa(SPKI, message, signature)
    with pytest.raises(InvalidSignature):
        verify_ecdsa(SPKI, message + b"\0", signature)


def test_high_s_verifies_in_principle_and_is_refused() -> None:
    twin = encode_dss_signature(R, N - S)
    KEY.public_key().verify(twin, MESSAGE, ec.ECDSA(hashes.SHA256()))  # the danger is real
    with pytest.raises(InvalidSignature, match="high S"):
        verify_ecdsa(SPKI, MESSAGE, twin)
    assert low_s(twin) == GOOD
    assert low_s(GOOD) == GOOD


def _integer(value: int, *, padding: bytes = b"") -> bytes:
    body = padding + value.to_bytes(max(1, value.bit_length() // 8 + 1), "big")
    return bytes((2, len(body))) + body


def _pair(r: bytes, s: bytes) -> bytes:
    return bytes((0x30, len(r) + len(s))) + r + s


WRONG: dict[str, Callable[[], bytes]] = {
    "r = 0": lambda: encode_dss_signature(0, S),
    "s = 0": lambda: encode_dss_signature(R, 0),
    "both 0": lambda: encode_dss_signature(0, 0),
    "r = n": lambda: encode_dss_signature(N, S),
    "s = n": lambda: encode_dss_signature(R, N),
    "r + n": lambda: encode_dss_signature(R + N, S),
    "s + n": lambda: encode_dss_signature(R, S + N),
    "r = 2^256": lambda: encode_dss_signature(2**256, S),
    "r = 1": lambda: encode_dss_signature(1, S),
    "r = n - 1": lambda: encode_dss_signature(N - 1, S),
    "r and s swapped": lambda: encode_dss_signature(S, R),
    "n - r": lambda: encode_dss_signature(N - R, S),
    "negative r": lambda: _pair(b"\x02\x01\xff", _integer(S)),
    "-r": lambda: _pair(b"\x02\x21" + (-R).to_bytes(33, "big", signed=True), _integer(S)),
    "trailing byte": lambda: GOOD + b"\0",
    "trailing byte inside": lambda: bytes((0x30, len(GOOD) - 1)) + GOOD[2:] + b"\0",
    "third integer": lambda: bytes((0x30, GOOD[1] + 3)) + GOOD[2:] + b"\x02\x01\x00",
    "length in two bytes": lambda: bytes((0x30, 0x81, GOOD[1])) + GOOD[2:],
    "indefinite length": lambda: b"\x30\x80" + GOOD[2:] + b"\0\0",
    "leading zero in r": lambda: _pair(_integer(R, padding=b"\0"), _integer(S)),
    "leading zero in s": lambda: _pair(_integer(R), _integer(S, padding=b"\0")),
    "wrong outer tag": lambda: b"\x31" + GOOD[1:],
    "wrong inner tag": lambda: GOOD[:2] + b"\x03" + GOOD[3:],
    "truncated": lambda: GOOD[:-1],
    "length too long": lambda: bytes((0x30, GOOD[1] + 1)) + GOOD[2:],
    "empty": lambda: b"",
    "null": lambda: b"\x05\x00",
    "empty sequence": lambda: b"\x30\x00",
    "r alone": lambda: bytes((0x30, len(_integer(R)))) + _integer(R),
    "empty integers": lambda: b"\x30\x04\x02\x00\x02\x00",
    "raw form": lambda: R.to_bytes(32, "big") + S.to_bytes(32, "big"),
    "enormous": lambda: b"\x30" * 100_000,
    "another key's": lambda: sign_der(ec.generate_private_key(ec.SECP256R1()), MESSAGE),
    "sha-384": lambda: low_s(KEY.sign(MESSAGE, ec.ECDSA(hashes.SHA384()))),
}


@pytest.mark.parametrize("case", list(WRONG))
def test_malformed_and_wrong_signatures_are_refused(case: str) -> None:
    with pytest.raises(InvalidSignature):
        verify_ecdsa(SPKI, MESSAGE, WRONG[case]())


@pytest.mark.parametrize(
    "case", ["r = 0", "s = n", "trailing byte", "leading zero in s", "empty", "negative r"]
)
def test_low_s_does_not_repair_malformed_signatures(case: str) -> None:
    with pytest.raises(InvalidSignature):
        low_s(WRONG[case]())


@given(
    st.binary(max_size=100)
    | st.builds(
        lambda i, b: GOOD[:i] + bytes((b,)) + GOOD[i + 1 :],
        st.integers(0, len(GOOD) - 1),
        st.integers(0, 255),
    )
)
@settings(max_examples=300, deadline=None)
def test_no_other_bytes_verify(signature: bytes) -> None:
    if signature == GOOD:
        return
    with pytest.raises(InvalidSignature):
        verify_ecdsa(SPKI, MESSAGE, signature)


def test_raw_form_must_be_64_bytes() -> None:
    assert raw_to_der(R.to_bytes(32, "big") + S.to_bytes(32, "big")) == GOOD
    for length in (0, 63, 65):
        with pytest.raises(InvalidSignature):
            raw_to_der(b"\1" * length)


def _der(key: object) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]


def _compressed() -> bytes:
    point = KEY.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint
    )
    algorithm = SPKI[2 : 2 + 21]
    bits = b"\x03" + bytes((len(point) + 1,)) + b"\0" + point
    return b"\x30" + bytes((len(algorithm + bits),)) + algorithm + bits


BAD_KEYS: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "garbage": lambda: b"\xff" * 91,
    "trailing byte": lambda: SPKI + b"\0",
    "truncated": lambda: SPKI[:-1],
    "long length": lambda: b"\x30\x81" + SPKI[1:],
    "compressed point": _compressed,
    "point off the curve": lambda: SPKI[:-1] + bytes((SPKI[-1] ^ 1,)),
    "point at infinity": lambda: b"\x30\x19" + SPKI[2:23] + b"\x03\x02\x00\x00",
    "P-384": lambda: _der(ec.generate_private_key(ec.SECP384R1()).public_key()),
    "secp256k1": lambda: _der(ec.generate_private_key(ec.SECP256K1()).public_key()),
    "RSA": lambda: _der(rsa.generate_private_key(65537, 1024).public_key()),
    "DSA": lambda: _der(dsa.generate_private_key(1024).public_key()),
    "enormous": lambda: SPKI * 1000,
}


@pytest.mark.parametrize("case", list(BAD_KEYS))
def test_other_keys_and_encodings_are_refused(case: str) -> None:
    with pytest.raises(UnsupportedKey):
        parse_public_key(BAD_KEYS[case]())
    with pytest.raises(UnsupportedKey):
        verify_ecdsa(BAD_KEYS[case](), MESSAGE, GOOD)


def test_an_ed25519_key_is_not_a_p256_key() -> None:
    spki = _der(ed25519.Ed25519PrivateKey.generate().public_key())
    with pytest.raises(UnsupportedKey):
        p256_public_key(spki)
    with pytest.raises(UnsupportedKey):
        verify_ecdsa(spki, MESSAGE, GOOD)
    with pytest.raises(UnsupportedKey):
        verify_ecdsa(ec.generate_private_key(ec.SECP384R1()).public_key(), MESSAGE, GOOD)


@given(st.binary(max_size=120))
@settings(max_examples=200, deadline=None)
def test_garbage_keys_are_refused_by_type(spki: bytes) -> None:
    with pytest.raises(UnsupportedKey):
        parse_public_key(spki)


# Ed25519's curve in plain integers, to find every point of small order independently of the constants in use.
P25519 = 2**255 - 19
D25519 = -121665 * pow(121666, -1, P25519) % P25519


def _edwards_add(p: tuple[int, int], q: tuple[int, int]) -> tuple[int, int]:
    product = D25519 * p[0] * q[0] * p[1] * q[1] % P25519
    x = (p[0] * q[1] + q[0] * p[1]) * pow(1 + product, -1, P25519)
    y = (p[1] * q[1] + p[0] * q[0]) * pow(1 - product, -1, P25519)
    return x % P25519, y % P25519


def _recover(y: int) -> tuple[int, int] | None:
    square = (y * y - 1) * pow(D25519 * y * y + 1, -1, P25519) % P25519
    x = pow(square, (P25519 + 3) // 8, P25519)
    if x * x % P25519 != square:
        x = x * pow(2, (P25519 - 1) // 4, P25519) % P25519
    return (x, y) if x * x % P25519 == square else None


def _small_order_points() -> set[tuple[int, int]]:
    """Multiples of l·P for points P until all eight are found; l is the prime order of the base point."""
    prime_order = 2**252 + 27742317777372353535851937790883648493
    for y in range(2, 100):
        total, step, k = (0, 1), _recover(y), prime_order
        if step is None:
            continue
        while k:
            total = _edwards_add(total, step) if k & 1 else total
            step, k = _edwards_add(step, step), k >> 1
        points, point = {total}, total
        while point != (0, 1):
            point = _edwards_add(point, total)
            points.add(point)
        if len(points) == 8:
            return points
    raise AssertionError("no generator of the torsion group found")


ED25519_PREFIX = bytes.fromhex("302a300506032b6570032100")


def test_every_ed25519_key_of_small_order_is_refused() -> None:
    encodings = {
        (y | sign << 255).to_bytes(32, "little") for _, y in _small_order_points() for sign in (0, 1)
    }
    # Non-canonical y, still below 2^255: the same points in other words.
    encodings |= {(y | sign << 255).to_bytes(32, "little") for y in range(P25519, 2**255) for sign in (0, 1)}
    for encoding in encodings:
        with pytest.raises(UnsupportedKey):
            parse_public_key(ED25519_PREFIX + encoding)


def test_a_small_order_key_would_let_one_signature_fit_any_message() -> None:
    weak = ed25519.Ed25519PublicKey.from_public_bytes((1).to_bytes(32, "little"))  # the neutral element
    signature = (1).to_bytes(32, "little") + bytes(32)
    weak.verify(signature, b"temperature 20")
    weak.verify(signature, b"temperature 90")
