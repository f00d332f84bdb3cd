"""Messages: one canonical form, signed by their sender, each bound to session, epoch, history and place.

The signature covers a header of fixed length that holds the body's digest: header and signature alone (the
`proof`) show what a party said without saying it again.
"""

import hashlib
from dataclasses import dataclass
from enum import IntEnum

from accumulator.ceremony.errors import InvalidTranscript

__all__ = ["EVERYBODY", "Envelope", "Kind", "Slot", "join", "split"]

EVERYBODY = 0
"""The recipient of a broadcast."""

_MAGIC = b"EPC1"
_SIGNED_TAG = b"edgeproof/ceremony/message/v1\n"
_HEADER = 4 + 32 + 32 + 4 + 1 + 4 + 1 + 1 + 32 + 32
_MAX_SIGNATURE = 255


class Kind(IntEnum):
    """What a message is; the number is its wire form."""

    HELLO = 1  # the sender's history, and a nonce that makes the epoch new
    RECORD = 2  # private: a batch that the recipient has missed
    COMMIT = 3  # a commitment to every candidate's seed
    SIEVE = 4  # private: shares of a multiplication modulo M
    PRODUCT = 5  # private: shares of p_i, q_i and a mask modulo P
    POINTS = 6  # the points N_i
    PROMISE = 7  # a commitment to the powers that follow
    POWERS = 8  # the biprimality test's powers
    GCD = 9  # private: shares modulo N
    GCD_POINT = 10  # the point of r · (p + q - 1)
    OPEN = 11  # the seeds of every candidate that was not accepted
    VERDICT = 12  # nothing, or a message received whose content the openings belie
    RESULT = 13  # history and N: what the transcript's signatures end with
    DONE = 14  # every signature of the result has come
    DISPUTE = 15  # the proofs of the last broadcast as the sender saw them
    ACCUSE = 16  # a signed message that cannot be right


Slot = tuple[Kind, int]
"""A message's place in a batch: its kind, and the how-manieth of it."""


@dataclass(frozen=True)
class Envelope:
    """One message."""

    session: bytes
    """32 bytes: the ceremony."""
    epoch: bytes
    """32 bytes: the connection of all parties in which it was sent; zero in a HELLO."""
    number: int
    """The batch, from 0."""
    kind: Kind
    index: int
    """The how-manieth of its kind in its batch."""
    sender: int
    recipient: int
    """A party, or `EVERYBODY`."""
    seen: bytes
    """32 bytes: digest of every broadcast of the batch before it."""
    digest: bytes
    """SHA-256 of the body."""
    signature: bytes
    body: bytes | None
    """None where only the proof is at hand."""

    @property
    def slot(self) -> Slot:
        """Kind and index."""
        return self.kind, self.index

    def header(self) -> bytes:
        """The fixed-length part."""
        return b"".join(
            (
                _MAGIC,
                self.session,
                self.epoch,
                self.number.to_bytes(4, "big"),
                bytes((self.kind,)),
                self.index.to_bytes(4, "big"),
                bytes((self.sender, self.recipient)),
                self.seen,
                self.digest,
            )
        )

    def signed_bytes(self) -> bytes:
        """What the signature covers."""
        return _SIGNED_TAG + self.header()

    def proof(self) -> bytes:
        """Header and signature without the body."""
        return self.header() + bytes((len(self.signature),)) + self.signature

    def encode(self) -> bytes:
        """The whole message."""
        assert self.body is not None, "only a message with its body is sent"
        return self.proof() + self.body

    def hash(self) -> bytes:
        """SHA-256 of the proof, which binds the body too."""
        return hashlib.sha256(self.proof()).digest()

    @classmethod
    def decode(cls, raw: bytes) -> "Envelope":
        """Read a message with its body.

        Raises:
            InvalidTranscript: not the form of a message, or the body is not the header's.
        """
        envelope, rest = cls._read(raw)
        if hashlib.sha256(rest).digest() != envelope.digest:
            raise InvalidTranscript("a message's body is not the one that its header names")
        return Envelope(**{**envelope.__dict__, "body": rest})

    @classmethod
    def decode_proof(cls, raw: bytes) -> "Envelope":
        """Read a proof.

        Raises:
            InvalidTranscript: not the form of a proof.
        """
        envelope, rest = cls._read(raw)
        if rest:
            raise InvalidTranscript("bytes after a message's proof")
        return envelope

    @classmethod
    def _read(cls, raw: bytes) -> "tuple[Envelope, bytes]":
        if len(raw) <= _HEADER or raw[:4] != _MAGIC:
            raise InvalidTranscript("not a message of the ceremony")
        end = _HEADER + 1 + raw[_HEADER]
        if len(raw) < end:
            raise InvalidTranscript("a message that ends within its signature")
        try:
            kind = Kind(raw[72])
        except ValueError as cause:
            raise InvalidTranscript("a message of no known kind") from cause
        return (
            cls(
                session=raw[4:36],
                epoch=raw[36:68],
                number=int.from_bytes(raw[68:72], "big"),
                kind=kind,
                index=int.from_bytes(raw[73:77], "big"),
                sender=raw[77],
                recipient=raw[78],
                seen=raw[79:111],
                digest=raw[111:143],
                signature=raw[_HEADER + 1 : end],
                body=None,
            ),
            raw[end:],
        )


def join(parts: list[bytes]) -> bytes:
    """Byte strings one after the other, each after its length in four bytes."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def split(raw: bytes) -> list[bytes]:
    """The parts of `join`.

    Raises:
        InvalidTranscript: a length beyond the end.
    """
    parts = []
    at = 0
    while at < len(raw):
        end = at + 4 + int.from_bytes(raw[at : at + 4], "big")
        if at + 4 > len(raw) or end > len(raw):
            raise InvalidTranscript("a list of messages that ends too early")
        parts.append(raw[at + 4 : end])
        at = end
    return parts
