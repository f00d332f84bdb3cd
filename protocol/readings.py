"""A reading, its signature inputs and its record on a chain (seed 003, section V.A).

A device signs one RFC 9421 signature base; the chain keeps every input of that base, so that the same
signature verifies alone, in a batch, and years later. The record id is the SHA-256 of the base.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RecordLeaf", "SignedReading"]


@dataclass(frozen=True)
class SignedReading:
    """Everything that the chain keeps of one reading; the bytes themselves lie in the store."""

    device: str
    """Name under which the device is enrolled."""
    keyid: str
    """``device`` when the device signed; ``device@gateway`` when a granted gateway signed for it."""
    algorithm: str
    """``ed25519`` or ``ecdsa-p256-sha256`` (RFC 9421 names)."""
    created: int
    """The signer's claim of the time, seconds since 1970 UTC."""
    nonce: str
    """1 to 64 characters of A-Z a-z 0-9 - _; never used twice by one device."""
    content_digest: bytes
    """SHA-256 of the reading's bytes, 32 bytes; also its address in the store."""
    content_type: str
    signature: bytes
    """64 bytes: Ed25519, or ECDSA P-256 as r then s."""


@dataclass(frozen=True)
class RecordLeaf:
    """What one leaf of a batch's RFC 6962 tree commits to: the reading and the key that verified it."""

    record: bytes
    """Record id: SHA-256 of the signature base, 32 bytes."""
    key: bytes
    """SHA-256 of the SubjectPublicKeyInfo that verified the signature, 32 bytes."""
    reading: SignedReading
