"""Errors of the protocol room.

ProtocolError
├── EncodingError            bytes or text that are not the canonical form of anything
│   ├── MalformedJson        not JSON, duplicate keys, floats, not canonical
│   └── SchemaMismatch       a field is missing, unknown or of another type
├── MerkleError              an inclusion or consistency proof that does not hold
├── InvalidBlock             a block, envelope or transaction that cannot be read or does not hold together
│   ├── InvalidBlockSignature
│   ├── UnknownConfiguration a block names a configuration block that is not known here
│   ├── StaleConfiguration   a block names an older configuration than the one in force
│   └── InvalidEnvelope      with the code that Fabric's validation gives to the fault
├── InvalidStatement         an anchor statement that contradicts itself or its predecessor
├── UntrustedSignature       a signature by a key that no roster or configuration names
├── QuorumNotReached         fewer (or more) valid signatures than the policy asks for
└── InvalidSignatureBase     the covered fields of a reading cannot be brought into the signature base
    ├── MalformedHeaders     an HTTP field is missing, appears twice, or is not in the one accepted form
    ├── ContentDigestMismatch  the digest is not that of the bytes that came with it
    └── WrongChain           signed for another chain
"""

from __future__ import annotations

__all__ = [
    "ContentDigestMismatch",
    "EncodingError",
    "InvalidBlock",
    "InvalidBlockSignature",
    "InvalidEnvelope",
    "InvalidSignatureBase",
    "InvalidStatement",
    "MalformedHeaders",
    "MalformedJson",
    "MerkleError",
    "ProtocolError",
    "QuorumNotReached",
    "SchemaMismatch",
    "StaleConfiguration",
    "UnknownConfiguration",
    "UntrustedSignature",
    "WrongChain",
]


class ProtocolError(Exception):
    """Root of this room's errors."""


class EncodingError(ProtocolError):
    """Bytes or text that are not the canonical form of anything."""


class MalformedJson(EncodingError):
    """Not JSON, or JSON that is not in the canonical form."""


class SchemaMismatch(EncodingError):
    """A field is missing, unknown, or of another type than the message asks for."""


class MerkleError(ProtocolError):
    """An inclusion or consistency proof that does not hold."""


class InvalidBlock(ProtocolError):
    """A block, envelope or transaction that cannot be read or does not hold together."""


class InvalidBlockSignature(InvalidBlock):
    """The orderers' signatures on a block do not satisfy the configuration."""


class UnknownConfiguration(InvalidBlock):
    """A block names a configuration block that is not known here."""


class StaleConfiguration(InvalidBlock):
    """A block names an older configuration than the one that is in force at its height."""


class InvalidEnvelope(InvalidBlock):
    """A transaction that does not hold; ``code`` is Fabric's ``TxValidationCode`` for such a fault."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class InvalidStatement(ProtocolError):
    """An anchor statement that contradicts itself or its predecessor."""


class UntrustedSignature(ProtocolError):
    """A signature by a key that no roster or configuration names."""


class QuorumNotReached(ProtocolError):
    """Fewer or more valid signatures than the policy asks for."""


class InvalidSignatureBase(ProtocolError):
    """The covered fields of a reading cannot be brought into the signature base.

    Attributes:
        field: the field or HTTP header at fault; empty when it is none alone.
    """

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class MalformedHeaders(InvalidSignatureBase):
    """An HTTP field is missing, appears twice, or is not in the one accepted form."""


class ContentDigestMismatch(InvalidSignatureBase):
    """The digest is not that of the bytes that came with it."""


class WrongChain(InvalidSignatureBase):
    """Signed for another chain."""
