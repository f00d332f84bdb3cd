"""Who speaks to the peer, and how its messages are hashed and signed."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)
from fabric_protos.msp import identities_pb2

__all__ = ["Hash", "Identity", "Sign", "SigningIdentity", "no_hash", "private_key_sign", "sha256", "sha384"]

Sign: TypeAlias = Callable[[bytes], bytes | Awaitable[bytes]]
"""Signs a digest (what ``Hash`` made of a message). May be a coroutine function, for a remote key."""

Hash: TypeAlias = Callable[[bytes], bytes]
"""Makes the digest that is signed."""

_ORDERS: Final = {
    "secp256r1": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "secp384r1": int(
        "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
        16,
    ),
}
"""Orders of the base points (FIPS 186-4, D.1.2)."""


def sha256(message: bytes) -> bytes:
    """SHA-256: for ECDSA keys on P-256, Fabric's default."""
    return hashlib.sha256(message).digest()


def sha384(message: bytes) -> bytes:
    """SHA-384: for ECDSA keys on P-384."""
    return hashlib.sha384(message).digest()


def no_hash(message: bytes) -> bytes:
    """The message itself: for Ed25519, and for a ``Sign`` that hashes by itself."""
    return message


@dataclass(frozen=True)
class Identity:
    """A member of an organisation."""

    msp_id: str
    credentials: bytes
    """X.509 certificate, PEM."""


def private_key_sign(private_key_pem: bytes) -> Sign:
    """A ``Sign`` over a private key in PEM.

    ECDSA signatures come out with a low S: peers answer any other with "access denied"
    (bccsp/utils/ecdsa.go).

    Raises:
        ValueError: neither ECDSA on P-256 or P-384, nor Ed25519.
    """
    key = serialization.load_pem_private_key(private_key_pem, password=None)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in _ORDERS:
        raise ValueError("a Fabric identity's key is ECDSA on P-256 or P-384, or Ed25519")
    order = _ORDERS[key.curve.name]
    algorithms = {
        size: ec.ECDSA(Prehashed(kind)) for size, kind in ((32, hashes.SHA256()), (48, hashes.SHA384()))
    }

    def sign(digest: bytes) -> bytes:
        if len(digest) not in algorithms:
            raise ValueError(f"a digest of {len(digest)} bytes is neither SHA-256's nor SHA-384's")
        signature = key.sign(digest, algorithms[len(digest)])
        r, s = decode_dss_signature(signature)
        return signature if s <= order // 2 else encode_dss_signature(r, order - s)

    return sign


class SigningIdentity:
    """An identity with what signs for it; without ``sign`` every message must be signed elsewhere."""

    def __init__(self, identity: Identity, sign: Sign | None, hash_: Hash) -> None:
        self.identity = identity
        self.hash = hash_
        self._sign = sign
        self.creator: Final = bytes(
            identities_pb2.SerializedIdentity(
                mspid=identity.msp_id, id_bytes=identity.credentials
            ).SerializeToString(deterministic=True)
        )
        """``msp.SerializedIdentity``: the same bytes in every message, as the transaction id demands."""

    @property
    def can_sign(self) -> bool:
        """Whether messages can be signed here."""
        return self._sign is not None

    async def sign(self, message: bytes) -> bytes:
        """Hash and sign a message.

        Raises:
            ValueError: there is nothing to sign with: sign ``get_digest()`` elsewhere.
        """
        if self._sign is None:
            raise ValueError("this gateway has no sign: sign the digest elsewhere and use new_signed_…")
        signature = self._sign(self.hash(message))
        if inspect.isawaitable(signature):
            signature = await signature
        return signature
