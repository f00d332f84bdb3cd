"""Anchor statements: what one chain tells another about itself (Type-II up, Type-III down; seed 003, IV.A).

A chain *fixes a cut* by a transaction of its own: cut number k in block b covers every block before b. The
statement of anchor k is then a function of the chain alone, so that every organisation that reads its own
peer's blocks computes, and signs, the same bytes, and nobody ever signs two statements with one number.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.encodings import encode, sha256, tagged_hash

__all__ = ["AnchorSignature", "AnchorStatement", "LatestAnchor", "Roster", "SignedStatement"]


@dataclass(frozen=True)
class LatestAnchor:
    """The newest Type-II of one edge that main holds at a cut."""

    chain: str
    number: int
    statement: bytes
    """Digest of that statement, 32 bytes."""


@dataclass(frozen=True)
class AnchorStatement:
    """A chain's state at a cut."""

    chain: str
    number: int
    """Anchor number k, dense from 1."""
    first: int
    """Number of the first element in the range of this anchor."""
    last: int
    """Number of the last element in the range: also the count of all elements so far."""
    news: int
    """How many elements of the range are news (anything but interlocking); 0 anchors nothing new."""
    height: int
    """Blocks covered: 0 to height - 1."""
    header_hash: bytes
    """Hash of the header of block height - 1, 32 bytes."""
    parameters: bytes
    """Digest of the accumulator parameters, 32 bytes."""
    value_before: bytes
    """Accumulator value before the range, fixed width big-endian."""
    value_after: bytes
    """Accumulator value after the range."""
    tree_root: bytes
    """RFC 6962 root over all element digests 1 to last, 32 bytes."""
    latest: tuple[LatestAnchor, ...]
    """On main: the newest Type-II of each edge at the cut, sorted by chain; empty elsewhere."""

    def digest(self) -> bytes:
        """The statement's digest, 32 bytes: what chains record and what conflicts are found by."""
        return tagged_hash("edgeproof/anchor/v1", encode(self))

    def signing_bytes(self) -> bytes:
        """What an anchor signer signs."""
        return b"edgeproof/anchor-signature/v1\x00" + self.digest()


@dataclass(frozen=True)
class AnchorSignature:
    """One organisation's signature over a statement."""

    msp_id: str
    signature: bytes
    """ECDSA P-256 SHA-256, low-S DER, over ``AnchorStatement.signing_bytes``."""


@dataclass(frozen=True)
class SignedStatement:
    """A statement with exactly as many signatures as the roster's threshold, sorted by organisation."""

    statement: AnchorStatement
    signatures: tuple[AnchorSignature, ...]


@dataclass(frozen=True)
class Roster:
    """Who signs for a chain: one key an organisation, and how many distinct organisations it takes."""

    chain: str
    version: int
    """Dense from 1; a new roster is signed by the quorum of the one before."""
    threshold: int
    keys: dict[str, bytes]
    """Organisation (MSP id) to DER SubjectPublicKeyInfo of its anchor signer."""

    def digest(self) -> bytes:
        """32 bytes; what the predecessor's quorum signs when a roster is replaced."""
        return tagged_hash("edgeproof/roster/v1", encode(self))

    def fingerprint(self, msp_id: str) -> bytes:
        """SHA-256 of one organisation's key, 32 bytes."""
        return sha256(self.keys[msp_id])
