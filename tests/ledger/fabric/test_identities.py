"""Signing: digests, low S, curves."""

from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature

from ledger.fabric import no_hash, private_key_sign, sha256, sha384

PRIVATE = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def test_signatures_have_a_low_s_and_verify() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    sign = private_key_sign(key.private_bytes(*PRIVATE))
    for index in range(64):  # each would have a high S with probability one half
        digest = sha256(bytes([index]))
        signature = sign(digest)
        assert isinstance(signature, bytes)
        assert decode_dss_signature(signature)[1] <= P256 // 2
        key.public_key().verify(signature, digest, ec.ECDSA(Prehashed(hashes.SHA256())))


def test_p384() -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    sign = private_key_sign(key.private_bytes(*PRIVATE))
    signature = sign(sha384(b"m"))
    assert isinstance(signature, bytes)
    key.public_key().verify(signature, b"m", ec.ECDSA(hashes.SHA384()))
    with pytest.raises(InvalidSignature):
        key.public_key().verify(signature, b"n", ec.ECDSA(hashes.SHA384()))


def test_ed25519_signs_the_message() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    signature = private_key_sign(key.private_bytes(*PRIVATE))(no_hash(b"m"))
    assert isinstance(signature, bytes)
    key.public_key().verify(signature, b"m")


def test_other_keys_and_digests_are_refused() -> None:
    for key in (rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256K1())):
        with pytest.raises(ValueError, match="P-256"):
            private_key_sign(key.private_bytes(*PRIVATE))
    sign = private_key_sign(ec.generate_private_key(ec.SECP256R1()).private_bytes(*PRIVATE))
    with pytest.raises(ValueError, match="digest of 5"):
        sign(b"short")
