"""Absence proofs, version 1: one file that shows that a subject is not in an anchored range of a chain.

For an *element* (its exact digest) the universal accumulator gives a proof of constant size. A record, a
revocation or a model's digest is no element: an element binds number, block, code and hashes, so that any of
many unknown elements might carry the subject. Its absence is shown by all elements of the range, which the
signed tree head at the range's end fixes, in number, order and content, and by all leaves of their batches
where records are asked for. What is checked here is form; what it proves is the audit's to say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Final

from protocol import names
from protocol.anchors import SignedStatement
from protocol.constraints import ChainId, Choices, Count, Digest, Ordinal, check_fields
from protocol.elements import Element
from protocol.encodings import decode, encode, parse_canonical_json, sha256
from protocol.errors import MalformedJson
from protocol.readings import RecordLeaf

__all__ = [
    "ABSENCE_SCHEMA",
    "AbsenceProof",
    "RangeBatch",
    "RangeElement",
    "names_subject",
    "parse_absence",
    "recorded_by",
    "serialise_absence",
]

ABSENCE_SCHEMA: Final = "edgeproof/absence/v1"
KINDS: Final = ("element", "record", "revocation", "model")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class RangeElement:
    """One element of the range; its number follows from its place."""

    block: Count
    index: Count
    code: Count
    envelope_hash: Digest
    payload: bytes

    def __post_init__(self) -> None:
        check_fields(self)

    def element(self, chain: str, number: int) -> Element:
        """The element under its number."""
        return Element(
            chain, number, self.block, self.index, self.code, self.envelope_hash, sha256(self.payload)
        )


@dataclass(frozen=True)
class RangeBatch:
    """All leaves of the batch that an element recorded."""

    number: Ordinal
    leaves: tuple[RecordLeaf, ...]

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class AbsenceProof:
    """A subject is not among the elements between two anchors of a chain."""

    schema: str
    kind: Annotated[str, Choices(KINDS)]
    chain: ChainId
    genesis: Digest
    """Hash of the header of the chain's block 0. The maker's word: it proves nothing, but tells another
    deployment's proof, whose organisations may have the same names, from a forged one."""
    subject: str
    """An element's digest, a record's id, a device's name, or a model's digest."""
    statements: tuple[SignedStatement, ...]
    """The anchor whose range comes first and the one whose range comes last; one, where they are the same."""
    frontier: tuple[Digest, ...]
    """Roots of the perfect subtrees over all elements before, largest first; none for an element."""
    elements: tuple[RangeElement, ...]
    """Every element of the range in order; none for an element."""
    batches: tuple[RangeBatch, ...]
    """By number, every batch of the range; none but for a record."""
    non_membership: bytes
    """Of an element: the universal accumulator's proof; else empty."""
    append_only: bytes
    """Of an element: the range's append-only proof; else empty."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.schema != ABSENCE_SCHEMA:
            raise ValueError("another schema or version")
        grammar = re.compile(names.NAME) if self.kind == "revocation" else _DIGEST
        if grammar.fullmatch(self.subject) is None:
            raise ValueError(f"no subject of kind {self.kind}")
        if not 1 <= len(self.statements) <= 2:
            raise ValueError("one statement, or the first and the last")
        by_accumulator = self.kind == "element"
        if by_accumulator is not bool(self.non_membership) or by_accumulator is not bool(self.append_only):
            raise ValueError("accumulator proofs are an element's, and an element has both")
        if by_accumulator and (self.frontier or self.elements or len(self.statements) != 1):
            raise ValueError("an element's absence is shown for one anchor, without the range's elements")
        if self.batches and self.kind != "record":
            raise ValueError("batches are shown for a record alone")


def serialise_absence(proof: AbsenceProof) -> bytes:
    """The proof's one encoding."""
    return encode(proof)


def parse_absence(raw: bytes) -> AbsenceProof:
    """Read a proof, refusing everything but its one encoding.

    Raises:
        MalformedJson: not canonical JSON.
        SchemaMismatch: not a proof of this version, with the field at fault.
    """
    return decode(AbsenceProof, raw)


def recorded_by(element: RangeElement) -> tuple[str, Any]:
    """Name of the function that made a valid element's payload, and its result; empty for any other."""
    if element.code:
        return "", None
    try:
        wrapped = parse_canonical_json(element.payload)
    except MalformedJson:
        return "", None
    if not isinstance(wrapped, dict) or wrapped.keys() != {"result", "type"}:
        return "", None
    return str(wrapped["type"]), wrapped["result"]


def names_subject(element: RangeElement, kind: str, subject: str) -> bool:
    """Whether an element speaks of a revocation's device or a model's digest.

    Never narrower than what the contracts would take for one: a revocation is any change of the device's
    status to another than active; a model's digest counts wherever it stands in a valid element's payload.
    """
    if kind == "model":
        return not element.code and subject.encode() in element.payload
    function, result = recorded_by(element)
    if function != "devices:setStatus" or not isinstance(result, dict):
        return False
    return result.get("device") == subject and result.get("status") != "active"
