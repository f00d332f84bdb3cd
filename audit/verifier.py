"""Every rule by which a bundle is believed, in order, without any IO.

What comes in is bytes and a trust root; what goes out is facts, or the one check that refused. Nothing here
reads a file, a clock or the network. The way up is Protocol 1 of seed 003, section IV.D:

    record or model -> element of its chain -> the chain's anchor -> main's Type-II -> main's anchor
    -> another edge's block that accepted it as Type-III

so that whoever wants to deceive needs the edge's quorum, main's quorum, and the other edge's orderer and
endorsers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from fabric_protos.common import common_pb2

import accumulator
from accumulator import MembershipInstance
from accumulator.errors import AccumulatorError, InvalidMembership
from audit.anchors import check_signatures
from audit.blocks import TrustedChains, check_block, check_transaction
from audit.errors import Check, Conflict, Invalid, Unusable, Unverifiable, failing
from audit.evidence import Evidence, Shown
from audit.lineage import LineageFacts, check_lineage
from audit.records import RecordFacts, check_batches, check_record
from audit.state import contradicts_order
from chaincode.api import AcceptAnchor, AnchorAccepted
from chaincode.payloads import decode_result
from protocol.anchors import AnchorStatement, SignedStatement
from protocol.blocks import header_hash
from protocol.bundle import Bundle, Holding, parse_bundle
from protocol.encodings import decode, sha256
from protocol.errors import EncodingError, MalformedJson
from protocol.trust import TrustRoot, parse_trust

__all__ = ["Verified", "read_bundle", "read_trust", "verify_bundle"]


@dataclass(frozen=True)
class Verified:
    """What a bundle proves."""

    kind: str
    chain: str
    subject: str
    profile: str
    facts: RecordFacts | LineageFacts
    as_of: int
    """Claimed time at which the newest main anchor was accepted elsewhere, seconds since 1970 UTC."""
    statements: tuple[SignedStatement, ...]
    """All of them, for the caller's memory (``audit.state``)."""


def read_bundle(raw: bytes) -> Bundle:
    """Step 1: the bytes are the one encoding of a bundle.

    Raises:
        Invalid: checks ``canonical`` and ``schema``.
    """
    with failing(Check.CANONICAL, MalformedJson):
        try:
            return parse_bundle(raw)
        except MalformedJson:
            raise
        except (EncodingError, RecursionError) as error:
            raise Invalid(Check.SCHEMA, str(error)) from error


def read_trust(raw: bytes) -> TrustRoot:
    """The caller's trust root.

    Raises:
        Unusable: it cannot be read.
    """
    try:
        return parse_trust(raw)
    except EncodingError as error:
        raise Unusable(Check.TRUST, f"the trust root cannot be used: {error}") from error


def verify_bundle(
    bundle: Bundle, trust: TrustRoot, *, now: int | None = None, max_age: int | None = None
) -> Verified:
    """Check a bundle that ``read_bundle`` read.

    Args:
        bundle: the bundle.
        trust: the trust root.
        now: the caller's time, seconds since 1970 UTC; needed with ``max_age``.
        max_age: refuse evidence whose newest main anchor was accepted longer ago, in seconds.

    Raises:
        AuditError: the first check that refused, with its exit code.
    """
    return _Verification(bundle, trust).run(now, max_age)


class _Verification:
    """One bundle under one trust root."""

    def __init__(self, bundle: Bundle, trust: TrustRoot) -> None:
        self._bundle: Final = bundle
        self._chains: Final = TrustedChains(trust)
        self._main: Final = trust.main
        self._evidence: Final = Evidence(bundle)
        self._blocks: dict[tuple[str, int], common_pb2.Block] = {}

    def run(self, now: int | None, max_age: int | None) -> Verified:
        bundle, evidence = self._bundle, self._evidence
        # 2. The subject, and everything that its own rules ask for.
        facts = self._check_subject()
        check_batches(evidence)
        # 3. Every element used lies in the range of the anchor that it names, up to main.
        for shown in evidence.used_elements():
            self._check_place(shown)
        # 4. Every edge statement used stands on main (Type-II), under one of main's anchors.
        for signed in evidence.used_statements():
            if signed.statement.chain != self._main:
                self._check_on_main(signed.statement)
        # 5. Every main statement used is held by another edge (Type-III), in a block of its own orderers.
        times = [
            (signed.statement.number, self._check_held(signed.statement))
            for signed in evidence.used_statements()
            if signed.statement.chain == self._main
        ]
        # 6. In the full profile, every element used stands in such a block too.
        if bundle.profile == "full":
            for shown in evidence.used_elements():
                self._check_envelope(shown)
        # 7. Nothing else is in the bundle.
        evidence.check_all_used()
        # 8. Statements: quorums, parameters, continuity, the trust root's checkpoints.
        self._check_statements(evidence.used_statements())
        # 9. Memberships, all at once (accumulator.md: sound batch verification by random exponents).
        self._check_memberships(evidence.used_elements())
        # 10. Age.
        if not times:
            raise Invalid(Check.SUBJECT, "nothing leads to an anchor of main")
        as_of = max(times)[1]
        if max_age is not None and now is not None and now - as_of > max_age:
            raise Unverifiable(Check.MAX_AGE, f"the newest anchor is {now - as_of} s old, over {max_age} s")
        return Verified(
            bundle.kind, bundle.chain, bundle.subject, bundle.profile, facts, as_of, bundle.statements
        )

    # ------------------------------------------------------------------ 2. subject

    def _check_subject(self) -> RecordFacts | LineageFacts:
        bundle = self._bundle
        self._chains.find(bundle.chain)
        if bundle.kind == "record":
            return check_record(self._evidence, bundle.chain, bytes.fromhex(bundle.subject))
        if bundle.chain != self._main:
            raise Invalid(Check.SUBJECT, f"a {bundle.kind} stands on {self._main}", bundle.chain)
        return check_lineage(self._evidence, self._main, bundle.subject, whole=bundle.kind == "model")

    # ------------------------------------------------------------------ 3. to 5. the way up

    def _check_place(self, shown: Shown[object]) -> None:
        proven = shown.proven
        statement = self._evidence.statement(proven.chain, proven.anchor).statement
        if not (statement.first <= proven.number <= statement.last and proven.block < statement.height):
            raise Invalid(Check.ELEMENT, f"lies outside the range of anchor {proven.anchor}", shown.where)

    def _check_on_main(self, statement: AnchorStatement) -> None:
        shown = self._evidence.find(AcceptAnchor, self._main, f"{statement.chain}/{statement.number}")
        accepted: AnchorAccepted = shown.result
        where = f"{statement.chain} anchor {statement.number}"
        if (accepted.statement, accepted.news) != (statement.digest(), statement.news):
            raise Invalid(Check.MAIN_ANCHOR, "main accepted another statement than this", where)
        self._check_place(shown)
        # Main lists what it held at the cut: at least this anchor (design, "Elements and anchors").
        cut = self._evidence.statement(self._main, shown.proven.anchor).statement
        listed = {latest.chain: latest for latest in cut.latest}.get(statement.chain)
        if listed is None or listed.number < statement.number:
            raise Invalid(Check.MAIN_ANCHOR, f"main's anchor {cut.number} does not list it", where)

    def _check_held(self, statement: AnchorStatement) -> int:
        """The claimed time of the transaction that accepted a main statement elsewhere, in seconds."""
        digest = statement.digest()
        holding = self._evidence.holding(digest)
        where = f"holding of {statement.chain} anchor {statement.number}"
        self._check_holder(holding, where)
        envelopes = self._block(holding.chain, holding.block).data.data
        if holding.index >= len(envelopes):
            raise Invalid(Check.HOLDING_BLOCK, f"the block has no envelope {holding.index}", where)
        chain = self._chains.find(holding.chain)
        transaction = check_transaction(bytes(envelopes[holding.index]), chain, where)
        with failing(Check.HOLDING_BLOCK, EncodingError, where=where):
            if transaction.function != AcceptAnchor.FUNCTION:
                raise Invalid(Check.HOLDING_BLOCK, "the transaction accepts no anchor", where)
            message = decode(AcceptAnchor, transaction.argument)
            accepted: AnchorAccepted = decode_result(AcceptAnchor, transaction.payload)
        if message.signed.statement != statement or accepted.statement != digest:
            raise Invalid(Check.HOLDING_BLOCK, "the transaction accepts another statement", where)
        return transaction.timestamp_ms // 1000

    def _check_holder(self, holding: Holding, where: str) -> None:
        """Another edge than the record's own where the trust root names one; never main for itself."""
        self._chains.find(holding.chain)
        edges = self._chains.edges
        wanted = [edge for edge in edges if edge != self._bundle.chain] or edges
        if holding.chain not in wanted:
            raise Invalid(Check.HOLDING_BLOCK, f"{holding.chain} may not hold it for this subject", where)

    def _block(self, chain: str, number: int) -> common_pb2.Block:
        key = (chain, number)
        if key not in self._blocks:
            trusted = self._chains.find(chain)
            self._blocks[key] = check_block(self._evidence.block(chain, number), trusted)
        return self._blocks[key]

    # ------------------------------------------------------------------ 6. full profile

    def _check_envelope(self, shown: Shown[object]) -> None:
        proven = shown.proven
        envelopes = self._block(proven.chain, proven.block).data.data
        raw = bytes(envelopes[proven.index]) if proven.index < len(envelopes) else b""
        if sha256(raw) != proven.envelope_hash:
            raise Invalid(Check.ENVELOPE, "the block holds another envelope at its place", shown.where)
        transaction = check_transaction(raw, self._chains.find(proven.chain), shown.where)
        if transaction.payload != proven.payload.encode() or transaction.function != shown.kind.FUNCTION:
            raise Invalid(Check.ENVELOPE, "the envelope carries another answer", shown.where)

    # ------------------------------------------------------------------ 8. statements

    def _check_statements(self, statements: Sequence[SignedStatement]) -> None:
        digests = {(one.statement.chain, one.statement.number): one.statement.digest() for one in statements}
        for signed in statements:
            statement = signed.statement
            where = f"{statement.chain} anchor {statement.number}"
            trusted = self._chains.find(statement.chain)
            check_signatures(signed, trusted.trust.roster, where)
            _check_form(statement, trusted.parameters, where)
            checkpoint = trusted.trust.checkpoint
            if checkpoint.number == statement.number and checkpoint.statement != statement.digest():
                raise Conflict(
                    Check.CHECKPOINT,
                    f"differs from the checkpoint (digest {checkpoint.statement.hex()})",
                    (signed,),
                    where,
                )
            for latest in statement.latest:
                if digests.get((latest.chain, latest.number), latest.statement) != latest.statement:
                    other = self._evidence.statement(latest.chain, latest.number)
                    raise Conflict(
                        Check.CONFLICT,
                        f"lists another statement of {latest.chain} anchor {latest.number}",
                        (signed, other),
                        where,
                    )
        for before, after in pairwise(statements):
            _check_continues(before.statement, after.statement)
        for (chain, number), block in self._blocks.items():
            self._check_header(chain, number, block, statements)

    def _check_header(
        self, chain: str, number: int, block: common_pb2.Block, statements: Sequence[SignedStatement]
    ) -> None:
        """A block at the tip of an anchor is the very block that the anchor names."""
        for signed in statements:
            statement = signed.statement
            if (statement.chain, statement.height) != (chain, number + 1):
                continue
            if statement.header_hash != header_hash(block.header):
                raise Invalid(
                    Check.ANCHOR_LINKAGE, f"anchor {statement.number} names another block {number}", chain
                )

    # ------------------------------------------------------------------ 9. memberships

    def _check_memberships(self, shown: Sequence[Shown[object]]) -> None:
        instances = []
        for one in shown:
            proven = one.proven
            parameters = self._chains.find(proven.chain).parameters
            statement = self._evidence.statement(proven.chain, proven.anchor).statement
            with failing(Check.MEMBERSHIP, AccumulatorError, OverflowError, where=one.where):
                # rho1 is recomputed from the element, never taken from the prover (accumulator.md, 6).
                prime = accumulator.check_certificate(proven.element().digest(), proven.offset)
                witness = accumulator.decode_value(parameters, proven.witness)
                value = accumulator.decode_value(parameters, statement.value_after)
            instances.append(MembershipInstance(parameters, value, prime, witness))
        try:
            accumulator.verify_batch(instances)
        except InvalidMembership as error:
            where = ", ".join(shown[position].where for position in error.positions[:5])
            raise Invalid(Check.MEMBERSHIP, "no member of its anchor's accumulator value", where) from error


def _check_form(statement: AnchorStatement, parameters: accumulator.Parameters, where: str) -> None:
    if statement.parameters != parameters.digest:
        raise Invalid(Check.PARAMETERS, "made with other accumulator parameters than the trust root's", where)
    with failing(Check.PARAMETERS, AccumulatorError, where=where):
        before = accumulator.decode_value(parameters, statement.value_before)
        accumulator.decode_value(parameters, statement.value_after)
    if not 1 <= statement.first <= statement.last or statement.number < 1 or statement.height < 1:
        raise Invalid(Check.ANCHOR_LINKAGE, "the statement contradicts itself", where)
    if statement.number == 1 and (statement.first != 1 or before != parameters.generator):
        raise Invalid(Check.ANCHOR_LINKAGE, "the first anchor does not start from the generator", where)


def _check_continues(before: AnchorStatement, after: AnchorStatement) -> None:
    if before.chain != after.chain:
        return
    where = f"{after.chain} anchor {after.number}"
    if contradicts_order(before, after):
        raise Invalid(Check.ANCHOR_LINKAGE, f"does not continue anchor {before.number}", where)
    if after.number == before.number + 1 and after.value_before != before.value_after:
        raise Invalid(
            Check.ANCHOR_LINKAGE, f"starts from another value than anchor {before.number} ends", where
        )
