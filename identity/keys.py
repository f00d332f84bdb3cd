"""Raw keys of devices and their owners: Ed25519 or ECDSA P-256, without certificates.

Algorithm names and signature forms are those of HTTP Message Signatures (RFC 9421, sections 3.3.4 and 3.3.6).
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NoReturn

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

from identity.errors import InvalidSignature, UnsupportedKey
from identity.files import PrivateKey, make_private_folder, read_private_key, write_private_key
from identity.signatures import (
    ECDSA_P256_SHA256,
    ED25519,
    parse_public_key,
    raw_to_der,
    sign_raw,
    spki_of,
    verify_ecdsa,
)

_REMEMBERED = 8192  # signatures found valid; some 700 bytes each
_REMEMBERED_BYTES = 2048  # of a message; a longer one is verified every time

__all__ = ["ECDSA_P256_SHA256", "ED25519", "KeyPair", "key_algorithm", "verify_key"]


def key_algorithm(spki: bytes) -> str:
    """RFC 9421's algorithm name of a DER public key: ``ed25519`` or ``ecdsa-p256-sha256``.

    Raises:
        UnsupportedKey: any other kind, or not its one DER form.
    """
    return ED25519 if isinstance(parse_public_key(spki), ed25519.Ed25519PublicKey) else ECDSA_P256_SHA256


def verify_key(spki: bytes, algorithm: str, message: bytes, signature: bytes) -> None:
    """Verify a raw key's signature.

    What was found valid lately is remembered by its whole content, so that a process in which several parties
    look at the same bytes (a gateway, and the embedded ledger's endorsers) computes once. A refusal is not.

    Args:
        spki: DER SubjectPublicKeyInfo.
        algorithm: the algorithm that the signer claims; it must be the key's own.
        message: the signed bytes.
        signature: 64 bytes; for ``ecdsa-p256-sha256`` r then s, big-endian, low S.

    Raises:
        InvalidSignature: it does not verify, is not canonical, or claims the other algorithm.
        UnsupportedKey: the key or the algorithm's name is not accepted.
    """
    if algorithm not in (ED25519, ECDSA_P256_SHA256):
        raise UnsupportedKey("algorithm must be ed25519 or ecdsa-p256-sha256")
    if not isinstance(signature, bytes) or len(signature) != 64:
        raise InvalidSignature(f"an {algorithm} signature is 64 bytes")
    verify = _verify if len(message) > _REMEMBERED_BYTES else _remembering
    verify(spki, algorithm, message, signature)


def _verify(spki: bytes, algorithm: str, message: bytes, signature: bytes) -> None:
    key = parse_public_key(spki)
    if algorithm != (ED25519 if isinstance(key, ed25519.Ed25519PublicKey) else ECDSA_P256_SHA256):
        raise InvalidSignature(f"signature claims {algorithm}, which is not the key's algorithm")
    if not isinstance(key, ed25519.Ed25519PublicKey):
        verify_ecdsa(key, message, raw_to_der(signature))
        return
    try:
        # libsodium takes half of OpenSSL's time. docs/decisions/0014 says what it refuses beyond RFC 8032.
        crypto_sign_open(signature + message, key.public_bytes_raw())
    except BadSignatureError as cause:
        raise InvalidSignature("signature does not verify under this key") from cause


_remembering = lru_cache(maxsize=_REMEMBERED)(_verify)


class KeyPair:
    """A raw key pair. It never shows its private half: not in ``repr``, not in errors, not by pickling.

    Attributes:
        algorithm: ``ed25519`` or ``ecdsa-p256-sha256``.
        spki: DER SubjectPublicKeyInfo of the public key.
    """

    __slots__ = ("_key", "algorithm", "spki")

    algorithm: str
    spki: bytes

    def __init__(self, key: PrivateKey) -> None:
        """Wrap a private key.

        Raises:
            UnsupportedKey: neither Ed25519 nor ECDSA P-256.
        """
        if not isinstance(key, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
            raise UnsupportedKey("key is neither Ed25519 nor ECDSA P-256")
        self._key = key
        self.spki = spki_of(key.public_key())
        self.algorithm = key_algorithm(self.spki)

    @classmethod
    def generate(cls, algorithm: str = ED25519) -> KeyPair:
        """A fresh key pair from the system's randomness.

        Raises:
            UnsupportedKey: unknown algorithm.
        """
        if algorithm == ED25519:
            return cls(ed25519.Ed25519PrivateKey.generate())
        if algorithm == ECDSA_P256_SHA256:
            return cls(ec.generate_private_key(ec.SECP256R1()))
        raise UnsupportedKey("algorithm must be ed25519 or ecdsa-p256-sha256")

    def sign(self, message: bytes) -> bytes:
        """Sign; 64 bytes, the same for the same message (RFC 8032; RFC 6979 with low S)."""
        if isinstance(self._key, ed25519.Ed25519PrivateKey):
            return self._key.sign(message)
        return sign_raw(self._key, message)

    def save(self, path: Path, *, replace: bool = True) -> None:
        """Write the private key as PEM to the file `path` (0600, atomically; a missing folder is made 0700).

        Raises:
            KeyStoreError: the disk refuses, or the file exists and `replace` is False.
        """
        if not path.parent.exists():
            make_private_folder(path.parent)
        write_private_key(path, self._key, replace=replace)

    @classmethod
    def load(cls, path: Path) -> KeyPair:
        """Read back what `save` wrote.

        Raises:
            KeyStoreError: missing, open to others, or not such a key.
        """
        return cls(read_private_key(path))

    def __repr__(self) -> str:
        return f"KeyPair(algorithm={self.algorithm!r}, spki={self.spki.hex()!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key pair is not pickled: save it to a file")
