from __future__ import annotations

import copy
import hashlib
import pickle
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given, settings
from hypothesis import strategies as st

from identity import (
    ECDSA_P256_SHA256,
    ED25519,
    InvalidSignature,
    KeyPair,
    KeyStoreError,
    UnsupportedKey,
    key_algorithm,
    verify_key,
)
from identity.keys import _remembering
from identity.signatures import P256_ORDER

ALGORITHMS = [ED25519, ECDSA_P256_SHA256]
PAIRS = {algorithm: KeyPair.generate(algorithm) for algorithm in ALGORITHMS}


def _key_material(key: object) -> list[bytes]:
    """Every text in which the secret could leak: raw bytes, hex in both cases, decimal, PEM body."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        number = key.private_numbers().private_value
        raw = number.to_bytes(32, "big")
    else:
        assert isinstance(key, ed25519.Ed25519PrivateKey)
        raw = key.private_bytes_raw()
        number = int.from_bytes(raw, "little")
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return [raw.hex().encode(), raw.hex().upper().encode(), str(number).encode(), *pem.splitlines()[1:-1]]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(message=st.binary(max_size=300))
@settings(max_examples=30, deadline=None)
def test_signatures_verify_and_bind_message_and_key(algorithm: str, message: bytes) -> None:
    pair = PAIRS[algorithm]
    signature = pair.sign(message)
    assert len(signature) == 64
    assert signature == pair.sign(message)
    verify_key(pair.spki, algorithm, message, signature)
    with pytest.raises(InvalidSignature):
        verify_key(pair.spki, algorithm, message + b".", signature)
    with pytest.raises(InvalidSignature):
        verify_key(KeyPair.generate(algorithm).spki, algorithm, message, signature)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(position=st.integers(0, 63), change=st.integers(1, 255))
@settings(max_examples=60, deadline=None)
def test_a_changed_byte_is_refused(algorithm: str, position: int, change: int) -> None:
    signature = bytearray(PAIRS[algorithm].sign(b"m"))
    signature[position] ^= change
    with pytest.raises(InvalidSignature):
        verify_key(PAIRS[algorithm].spki, algorithm, b"m", bytes(signature))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(signature=st.binary(max_size=80))
def test_garbage_signatures_are_refused(algorithm: str, signature: bytes) -> None:
    with pytest.raises(InvalidSignature):
        verify_key(PAIRS[algorithm].spki, algorithm, b"m", signature)


@pytest.mark.parametrize("algorithm", [ED25519, ECDSA_P256_SHA256])
def test_a_signature_that_was_found_valid_makes_no_other_one_valid(algorithm: str) -> None:
    key, other = KeyPair.generate(algorithm), KeyPair.generate(algorithm)
    message = b"a reading"
    signature = key.sign(message)
    forged = signature[:-1] + bytes([signature[-1] ^ 1])
    for _ in range(2):
        verify_key(key.spki, algorithm, message, signature)
        for spki, said, signed in (
            (other.spki, message, signature),
            (key.spki, b"another", signature),
            (key.spki, message, forged),
            (key.spki, message, other.sign(message)),
        ):
            with pytest.raises(InvalidSignature):
                verify_key(spki, algorithm, said, signed)


def test_a_valid_signature_is_computed_once_and_a_long_message_is_not_kept() -> None:
    key = KeyPair.generate()
    for size, again in ((2048, 1), (2049, 0)):
        message = bytes(size)
        signature = key.sign(message)
        before = _remembering.cache_info().hits
        verify_key(key.spki, ED25519, message, signature)
        verify_key(key.spki, ED25519, message, signature)
        assert _remembering.cache_info().hits - before == again


def test_raw_ecdsa_refuses_high_s_and_values_out_of_range() -> None:
    pair = PAIRS[ECDSA_P256_SHA256]
    signature = pair.sign(b"m")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    assert s <= P256_ORDER // 2
    for wrong in ((r, P256_ORDER - s), (0, s), (r, 0), (P256_ORDER, s), (r, P256_ORDER), (2**256 - 1, s)):
        raw = wrong[0].to_bytes(32, "big") + wrong[1].to_bytes(32, "big")
        with pytest.raises(InvalidSignature):
            verify_key(pair.spki, ECDSA_P256_SHA256, b"m", raw)


def test_ed25519_refuses_the_second_form_of_a_signature() -> None:
    pair = PAIRS[ED25519]
    signature = pair.sign(b"m")
    order = 2**252 + 27742317777372353535851937790883648493
    s = int.from_bytes(signature[32:], "little") + order  # RFC 8032, 5.1.7: S must be below the order
    with pytest.raises(InvalidSignature):
        verify_key(pair.spki, ED25519, b"m", signature[:32] + s.to_bytes(32, "little"))


def test_ed25519_refuses_a_signature_whose_point_is_of_small_order() -> None:
    """R the neutral point, S = k a: RFC 8032's equation holds; a signer who picks no random point made it."""
    seed = ed25519.Ed25519PrivateKey.generate()
    key = KeyPair(seed)
    message = b"m"
    secret = bytearray(hashlib.sha512(seed.private_bytes_raw()).digest()[:32])
    secret[0] &= 248
    secret[31] = secret[31] & 63 | 64
    order = 2**252 + 27742317777372353535851937790883648493
    point = (1).to_bytes(32, "little")
    challenge = hashlib.sha512(point + seed.public_key().public_bytes_raw() + message).digest()
    scalar = int.from_bytes(challenge, "little") * int.from_bytes(secret, "little") % order
    signature = point + scalar.to_bytes(32, "little")
    seed.public_key().verify(signature, message)  # it is what it claims to be: the laxer check lets it pass
    with pytest.raises(InvalidSignature):
        verify_key(key.spki, ED25519, message, signature)


def test_ed25519_published_vector() -> None:
    """RFC 8032, section 7.1, TEST 3."""
    secret = bytes.fromhex("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7")
    pair = KeyPair(ed25519.Ed25519PrivateKey.from_private_bytes(secret))
    assert pair.spki.endswith(
        bytes.fromhex("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025")
    )
    assert pair.sign(bytes.fromhex("af82")) == bytes.fromhex(
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
    )


def test_the_claimed_algorithm_must_be_the_keys() -> None:
    for mine, other in (ALGORITHMS, ALGORITHMS[::-1]):
        assert key_algorithm(PAIRS[mine].spki) == mine
        with pytest.raises(InvalidSignature, match="claims"):
            verify_key(PAIRS[mine].spki, other, b"m", PAIRS[mine].sign(b"m"))
    for unknown in ("", "ED25519", "rsa-pss-sha512", "hmac-sha256", "none"):
        with pytest.raises(UnsupportedKey):
            verify_key(PAIRS[ED25519].spki, unknown, b"m", PAIRS[ED25519].sign(b"m"))
    with pytest.raises(UnsupportedKey):
        KeyPair.generate("rsa")
    with pytest.raises(UnsupportedKey):
        KeyPair(ec.generate_private_key(ec.SECP384R1()))
    with pytest.raises(UnsupportedKey):
        key_algorithm(b"")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_saved_keys_come_back_and_are_private(algorithm: str, tmp_path: Path) -> None:
    pair = KeyPair.generate(algorithm)
    path = tmp_path / "device" / "key.pem"
    pair.save(path)
    again = KeyPair.load(path)
    assert (again.algorithm, again.spki, again.sign(b"m")) == (algorithm, pair.spki, pair.sign(b"m"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    with pytest.raises(KeyStoreError):
        KeyPair.generate(algorithm).save(path, replace=False)
    assert KeyPair.load(path).spki == pair.spki


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_no_secret_in_text_or_pickles(algorithm: str) -> None:
    pair = PAIRS[algorithm]
    secrets = _key_material(pair._key)
    for text in (repr(pair), str(pair), f"{pair}"):
        assert not any(secret in text.encode() for secret in secrets)
    with pytest.raises(TypeError) as caught:
        pickle.dumps(pair)
    assert not any(secret in str(caught.value).encode() for secret in secrets)
    with pytest.raises(TypeError):
        copy.deepcopy(pair)
