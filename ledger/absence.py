"""Making absence proofs: all elements of an anchored range, or one element's proof by the accumulator."""

from __future__ import annotations

from functools import partial

import accumulator
from accumulator import InvalidNonMembership
from chaincode.api import BatchRecorded, GetAnchor, GetRecord, StoredRecord, SubmitBatch, SubmitReading
from chaincode.payloads import decode_result
from ledger.errors import ContractRefused
from ledger.gathering import Chains
from ledger.port import evaluate_typed
from ledger.proof_errors import ChainDiverged, NotAbsent, NotIndexed, Pending
from protocol.absence import (
    ABSENCE_SCHEMA,
    AbsenceProof,
    RangeBatch,
    RangeElement,
    names_subject,
    recorded_by,
)
from protocol.anchors import SignedStatement
from protocol.blocks import header_hash
from protocol.encodings import decode
from protocol.merkle import Frontier
from protocol.readings import SignedReading
from protocol.signature_base import record_id

__all__ = ["make_absence"]


def make_absence(chains: Chains, kind: str, chain: str, subject: str, first: int, last: int) -> AbsenceProof:
    """Show that a subject is not in the ranges of anchors ``first`` to ``last`` of a chain.

    Args:
        chains: the followed chains; one of them beside ``chain`` holds its anchors.
        kind: ``element``, ``record``, ``revocation`` or ``model``.
        chain: the chain that is asked.
        subject: see ``AbsenceProof``.
        first: number of the first anchor; for an element the same as ``last``.
        last: number of the last anchor.

    Cost: for an element one power of the range's length; else the range's elements are read.

    Raises:
        NotAbsent: the subject is there; says in which element.
        NotIndexed: no such chain or anchor.
        Pending: no other chain holds the anchors yet.
    """
    index = chains.index(chain)
    index.sync()
    if not 1 <= first <= last <= index.anchor:
        raise NotIndexed(f"{chain} has no anchors {first} to {last}; it has 1 to {index.anchor}")
    genesis = header_hash(chains.ledgers[chain].block(0).header)
    statements = tuple(_signed(chains, chain, number) for number in sorted({first, last}))
    begin, end = statements[0].statement.first, statements[-1].statement.last
    proof = partial(AbsenceProof, ABSENCE_SCHEMA, kind, chain, genesis, subject, statements)
    if kind == "element":
        non_membership = _non_membership(chains, chain, subject, last)
        return proof((), (), (), non_membership, index.append_only(last))
    frontier = Frontier()
    for number in range(1, begin):
        frontier.append(index.element(number).element.digest())
    elements, batches = [], []
    for number in range(begin, end + 1):
        indexed = index.element(number)
        bound = indexed.element
        shown = RangeElement(bound.block, bound.index, bound.code, bound.envelope_hash, indexed.payload)
        elements.append(shown)
        if kind == "record" and not bound.code and recorded_by(shown)[0] in _RECORDING:
            batches.append(_batch(chains, chain, number))
            if any(leaf.record.hex() == subject for leaf in batches[-1].leaves):
                raise NotAbsent(f"element {number} of {chain} recorded it")
        elif kind != "record" and names_subject(shown, kind, subject):
            raise NotAbsent(f"element {number} of {chain} speaks of it")
    return proof(frontier.nodes, tuple(elements), tuple(batches), b"", b"")


_RECORDING = (SubmitReading.FUNCTION, SubmitBatch.FUNCTION)


def _signed(chains: Chains, chain: str, number: int) -> SignedStatement:
    """The statement with its quorum's signatures, from another chain that accepted it."""
    own = chains.index(chain).statement(number)
    for holder in chains.edges if chain == chains.main else [chains.main]:
        try:
            signed: SignedStatement = evaluate_typed(chains.ledgers[holder], GetAnchor(chain, number))
        except ContractRefused:
            continue
        if signed.statement != own:
            raise ChainDiverged(
                f"anchor {number} of {chain} as accepted on {holder} is not what its blocks give"
            )
        return signed
    raise Pending(f"no other chain holds anchor {number} of {chain} yet")


def _non_membership(chains: Chains, chain: str, subject: str, anchor: int) -> bytes:
    index = chains.index(chain)
    statement = index.statement(anchor)
    try:
        proof = accumulator.prove_range_non_membership(
            index.parameters,
            accumulator.decode_value(index.parameters, statement.value_before),
            index.primes(statement.first, statement.last),
            accumulator.decode_value(index.parameters, statement.value_after),
            bytes.fromhex(subject),
            statement.digest(),
        )
    except InvalidNonMembership as error:
        raise NotAbsent(f"the range of anchor {anchor} of {chain} holds that element") from error
    return accumulator.encode_non_membership(index.parameters, proof)


def _batch(chains: Chains, chain: str, number: int) -> RangeBatch:
    view = chains.view(chain, number)
    readings: tuple[SignedReading, ...]
    if view.function == SubmitReading.FUNCTION:
        readings = (decode(SubmitReading, view.argument).reading,)
    else:
        readings = decode(SubmitBatch, view.argument).readings
    leaves = []
    for reading in readings:
        stored: StoredRecord = evaluate_typed(chains.ledgers[chain], GetRecord(record_id(chain, reading)))
        leaves.append(stored.leaf)
    recorded: BatchRecorded = decode_result(
        SubmitReading if view.function == SubmitReading.FUNCTION else SubmitBatch, view.payload
    )
    assert recorded.count == len(leaves)
    return RangeBatch(number, tuple(leaves))
