"""What makes an absence believed: the range's elements are all there, and none carries the subject.

The statements are believed by the chain's own quorum alone. That no other statement of the same number was
given to others is for ``audit anchors`` and for the memory (``--state``), as with every statement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import accumulator
from accumulator.errors import AccumulatorError
from audit.blocks import TrustedChains
from audit.errors import Check, Invalid, Untrusted, failing
from audit.kinds import ABSENCE, check_kind
from audit.statements import check_statements
from chaincode.api import BatchRecorded, Message, SubmitBatch, SubmitReading
from chaincode.payloads import decode_result
from protocol.absence import AbsenceProof, RangeElement, names_subject, parse_absence, recorded_by
from protocol.anchors import AnchorStatement, SignedStatement
from protocol.encodings import encode
from protocol.errors import EncodingError, MalformedJson, ProtocolError
from protocol.merkle import Frontier, tree_root
from protocol.signature_base import record_id
from protocol.trust import TrustRoot

__all__ = ["AbsenceFacts", "read_absence", "verify_absence"]

_RECORDING: Final[dict[str, type[Message]]] = {kind.FUNCTION: kind for kind in (SubmitReading, SubmitBatch)}


@dataclass(frozen=True)
class AbsenceFacts:
    """What an absence proof shows."""

    kind: str
    chain: str
    subject: str
    anchors: tuple[int, int]
    """Number of the first and of the last anchor whose ranges were asked."""
    elements: tuple[int, int]
    """Number of the first and of the last element in them."""
    records: int
    """Records looked at; 0 but for a record."""
    statements: tuple[SignedStatement, ...]
    """For the caller's memory."""


def read_absence(raw: bytes) -> AbsenceProof:
    """The bytes are the one encoding of an absence proof.

    Raises:
        Unusable: they are no absence proof at all.
        Invalid: checks ``canonical`` and ``schema``.
    """
    try:
        return parse_absence(raw)
    except (EncodingError, RecursionError) as error:
        check_kind(raw, ABSENCE)
        check = Check.CANONICAL if isinstance(error, MalformedJson) else Check.SCHEMA
        raise Invalid(check, str(error)) from error


def verify_absence(proof: AbsenceProof, trust: TrustRoot) -> AbsenceFacts:
    """Check an absence proof.

    Raises:
        AuditError: the first check that refused.
    """
    chains = TrustedChains(trust)
    # 1. The statements: quorum, parameters, checkpoint, order; of this chain.
    first, last = proof.statements[0].statement, proof.statements[-1].statement
    if len(proof.statements) == 2 and first.number >= last.number:
        raise Invalid(Check.ANCHOR_LINKAGE, "the anchors are not in order", proof.chain)
    for signed in proof.statements:
        if signed.statement.chain != proof.chain:
            raise Invalid(Check.SUBJECT, "a statement of another chain than is asked", signed.statement.chain)
    # Signatures bear a name and no key: the genesis tells another deployment's from forged ones.
    if proof.genesis != chains.find(proof.chain).trust.genesis_hash:
        why = "is not the genesis block that the trust root names"
        raise Untrusted(Check.TRUST, why, f"{proof.chain} block 0")
    check_statements(proof.statements, chains)
    # 2. The range: by the universal accumulator for an element, else by all elements that the tree fixes.
    records = 0
    if proof.kind == "element":
        _check_element(proof, chains)
    else:
        _check_complete(proof, first, last)
        # 3. None of them carries the subject.
        if proof.kind == "record":
            records = _check_records(proof, first.first)
        else:
            for number, element in enumerate(proof.elements, first.first):
                if names_subject(element, proof.kind, proof.subject):
                    raise Invalid(
                        Check.SUBJECT, "the range holds what is said to be absent", f"element {number}"
                    )
    return AbsenceFacts(
        kind=proof.kind,
        chain=proof.chain,
        subject=proof.subject,
        anchors=(first.number, last.number),
        elements=(first.first, last.last),
        records=records,
        statements=proof.statements,
    )


def _check_element(proof: AbsenceProof, chains: TrustedChains) -> None:
    parameters = chains.find(proof.chain).parameters
    statement = proof.statements[0].statement
    with failing(Check.MEMBERSHIP, AccumulatorError):
        # The prime is derived from the digest and canonical: no certificate is taken here.
        accumulator.verify_range_non_membership(
            parameters,
            accumulator.decode_value(parameters, statement.value_before),
            accumulator.decode_value(parameters, statement.value_after),
            bytes.fromhex(proof.subject),
            accumulator.decode_non_membership(parameters, proof.non_membership),
            accumulator.decode_append_only(parameters, proof.append_only),
            statement.digest(),
        )


def _check_complete(proof: AbsenceProof, first: AnchorStatement, last: AnchorStatement) -> None:
    """All elements of the range, no more and no fewer, in order: they complete both signed trees."""
    count = last.last - first.first + 1
    if len(proof.elements) != count:
        raise Invalid(Check.MISSING, f"{len(proof.elements)} elements of {count}", proof.chain)
    with failing(Check.ELEMENT, ValueError):
        tree = Frontier(first.first - 1, proof.frontier)
    for number, element in enumerate(proof.elements, first.first):
        with failing(Check.ELEMENT, OverflowError, where=f"element {number}"):
            tree.append(element.element(proof.chain, number).digest())
        for statement in (first, last):
            if number == statement.last and tree.root() != statement.tree_root:
                why = f"the elements do not make the tree of anchor {statement.number}"
                raise Invalid(Check.ELEMENT, why, proof.chain)


def _check_records(proof: AbsenceProof, begin: int) -> int:
    """Every batch is shown whole, and no leaf is the record; how many leaves were looked at."""
    batches = {batch.number: batch for batch in proof.batches}
    recording = {
        number for number, one in enumerate(proof.elements, begin) if recorded_by(one)[0] in _RECORDING
    }
    if len(batches) != len(proof.batches) or list(batches) != sorted(recording):
        raise Invalid(Check.MISSING, "the batches are not those of the range's elements", proof.chain)
    count = 0
    for number, batch in batches.items():
        where = f"batch {number}"
        with failing(Check.ELEMENT, ProtocolError, where=where):
            recorded = _recorded(proof.elements[number - begin])
        if recorded.count != len(batch.leaves) or tree_root(map(encode, batch.leaves)) != recorded.root:
            raise Invalid(Check.BATCH_PATH, "the leaves do not make the recorded root", where)
        for leaf in batch.leaves:
            with failing(Check.RECORD_ID, ProtocolError, where=where):
                derived = record_id(proof.chain, leaf.reading)
            if derived != leaf.record:
                raise Invalid(Check.RECORD_ID, "a record id is not the hash of its signature base", where)
            if leaf.record.hex() == proof.subject:
                raise Invalid(Check.SUBJECT, "the range holds what is said to be absent", where)
            count += 1
    return count


def _recorded(element: RangeElement) -> BatchRecorded:
    recorded: BatchRecorded = decode_result(_RECORDING[recorded_by(element)[0]], element.payload)
    return recorded
