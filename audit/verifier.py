"""Every rule by which a bundle is believed, in order, without any IO.

What comes in is bytes and a trust root; what goes out is facts, or the one check that refused. Nothing here
reads a file, a clock or the network. The way up is Protocol 1 of seed 003, section IV.D:

    record or model -> element of its chain -> the chain's anchor -> main's Type-II -> main's anchor
    -> another edge's block that accepted it as Type-III

so that whoever wants to deceive needs the edge's quorum, main's quorum, and the other edge's orderer and
endorsers.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from fabric_protos.common import common_pb2

import accumulator
from accumulator import MembershipInstance
from accumulator.errors import AccumulatorError, InvalidMembership
from audit.blocks import TrustedChains, check_block, check_transaction
from audit.errors import Check, Invalid, Unusable, Unverifiable, failing
from audit.evidence import Evidence, Shown
from audit.kinds import BUNDLE, TRUST, check_kind
from audit.lineage import LineageFacts, check_lineage
from audit.records import RecordFacts, check_batches, check_record
from audit.statements import check_statements
from chaincode.api import AcceptAnchor, AnchorAccepted
from chaincode.payloads import decode_result
from protocol.anchors import AnchorStatement, SignedStatement
from protocol.blocks import header_hash
from protocol.bundle import BlockEvidence, Bundle, Holding, parse_bundle
from protocol.configuration import Configuration
from protocol.encodings import decode, sha256
from protocol.errors import EncodingError, MalformedJson
from protocol.transactions import Transaction
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
    configurations: tuple[BlockEvidence, ...]
    """Configuration blocks that were verified, for the same memory."""


def read_bundle(raw: bytes) -> Bundle:
    """Step 1: the bytes are the one encoding of a bundle.

    Raises:
        Unusable: they are no bundle at all.
        Invalid: checks ``canonical`` and ``schema``.
    """
    try:
        return parse_bundle(raw)
    except (EncodingError, RecursionError) as error:
        check_kind(raw, BUNDLE)
        check = Check.CANONICAL if isinstance(error, MalformedJson) else Check.SCHEMA
        raise Invalid(check, str(error)) from error


def read_trust(raw: bytes) -> TrustRoot:
    """The caller's trust root.

    Raises:
        Unusable: it cannot be read.
    """
    try:
        return parse_trust(raw)
    except EncodingError as error:
        check_kind(raw, TRUST)
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
    """One bundle under one trust root.

    Steps 2 to 6 take every part for itself and believe nothing about what it is for; step 7 walks from the
    subject and uses only parts that stood.
    """

    def __init__(self, bundle: Bundle, trust: TrustRoot) -> None:
        self._bundle: Final = bundle
        self._chains: Final = TrustedChains(trust)
        self._main: Final = trust.main
        self._evidence: Final = Evidence(bundle)
        self._blocks: dict[tuple[str, int], tuple[common_pb2.Block, Configuration]] = {}
        self._held_at: dict[tuple[str, int, int], int] = {}
        """By holding, when that chain accepted main's statement, in seconds."""
        self._carried: dict[int, set[str]] = defaultdict(set)
        """By number of main's anchor, the edges whose statements it carries."""

    def run(self, now: int | None, max_age: int | None) -> Verified:
        bundle, evidence = self._bundle, self._evidence
        # 2. Configurations, each under the one before; blocks under the one in force: linkage to their data
        #    and to neighbours, orderers' signatures. They come first because a block names its signer's key,
        #    an anchor only the signer's organisation: evidence of another deployment, whose organisations
        #    may have the same names, ends as signed by strangers and not as forged.
        self._follow_configurations()
        self._check_blocks()
        # 3. Statements: quorums, parameters, continuity, checkpoints of the trust root, conflicts; their tips
        #    are the blocks that are shown.
        check_statements(bundle.statements, self._chains)
        self._check_tips()
        # 4. Holdings: an endorsed transaction in such a block accepted just this statement.
        for holding in bundle.holdings:
            self._check_holding(holding)
        # 5. Elements: in the range of their anchor and members of its value, all at once (accumulator.md:
        #    sound batch verification by random exponents); in the full profile also in such a block.
        self._check_elements()
        # 6. Batches: leaves are in the batch that their element recorded.
        check_batches(evidence)
        # 7. The subject by its own rules, and from every element used up to another edge.
        facts = self._check_subject()
        for shown in evidence.used_elements():
            evidence.statement(shown.proven.chain, shown.proven.anchor)
        for signed in evidence.used_statements():
            if signed.statement.chain != self._main:
                self._check_on_main(signed.statement)
        held = [
            self._check_held(signed.statement)
            for signed in evidence.used_statements()
            if signed.statement.chain == self._main
        ]
        if bundle.profile == "full":
            for shown in evidence.used_elements():
                evidence.block(shown.proven.chain, shown.proven.block)
        # 8. Nothing else is in the bundle.
        evidence.check_all_used()
        # 9. Age.
        as_of = held[-1]
        if max_age is not None and now is not None and now - as_of > max_age:
            raise Unverifiable(Check.MAX_AGE, f"the newest anchor is {now - as_of} s old, over {max_age} s")
        return Verified(
            kind=bundle.kind,
            chain=bundle.chain,
            subject=bundle.subject,
            profile=bundle.profile,
            facts=facts,
            as_of=as_of,
            statements=bundle.statements,
            configurations=bundle.configurations,
        )

    # ------------------------------------------------------------------ 2. to 4. blocks

    @cached_property
    def _header_hashes(self) -> dict[tuple[str, int], bytes]:
        """By chain and number, of every block that is shown."""
        shown = (*self._bundle.configurations, *self._bundle.blocks)
        return {one.key: header_hash(one.block().header) for one in shown}

    def _check_blocks(self) -> None:
        for shown in self._bundle.blocks:
            self._blocks[shown.key] = check_block(shown, self._chains.find(shown.chain))
        for shown in (*self._bundle.configurations, *self._bundle.blocks):
            before = (shown.chain, shown.number - 1)
            if self._header_hashes.get(before, shown.previous_hash) != shown.previous_hash:
                why = f"does not follow the block {shown.number - 1} that is shown"
                raise Invalid(Check.HOLDING_BLOCK, why, f"{shown.chain} block {shown.number}")

    def _check_tips(self) -> None:
        """Blocks that are shown are the ones that anchors name."""
        for signed in self._bundle.statements:
            statement = signed.statement
            tip = (statement.chain, statement.height - 1)
            if self._header_hashes.get(tip, statement.header_hash) != statement.header_hash:
                why = f"anchor {statement.number} names another block {statement.height - 1}"
                raise Invalid(Check.ANCHOR_LINKAGE, why, statement.chain)

    def _follow_configurations(self) -> None:
        """Take the configuration blocks; each must lie below a block that is shown.

        A configuration that no block rests on would be a part that the subject does not lead to; and with
        every one up to the newest named by the blocks, a block under an older one is found out.
        """
        newest = {shown.chain: shown.number for shown in self._bundle.blocks}
        for shown in self._bundle.configurations:
            self._chains.find(shown.chain).follow(shown)
            if shown.number >= newest.get(shown.chain, 0):
                why = f"the subject does not lead to {shown.chain} {shown.number}"
                raise Invalid(Check.UNUSED, why, "configurations")

    def _transaction(self, chain: str, number: int, index: int, where: str) -> Transaction | None:
        """A transaction in a block of the bundle, checked; None where the block has none at that place."""
        if (chain, number) not in self._blocks:
            raise Unverifiable(Check.MISSING, f"{chain} block {number} is not in the bundle")
        block, configuration = self._blocks[chain, number]
        if index >= len(block.data.data):
            return None
        raw = bytes(block.data.data[index])
        return check_transaction(raw, self._chains.find(chain), configuration, where)

    def _check_holding(self, holding: Holding) -> None:
        where = f"holding on {holding.chain} in block {holding.block}"
        transaction = self._transaction(holding.chain, holding.block, holding.index, where)
        if transaction is None:
            raise Invalid(Check.HOLDING_BLOCK, f"the block has no envelope {holding.index}", where)
        with failing(Check.HOLDING_BLOCK, EncodingError, where=where):
            if transaction.function != AcceptAnchor.FUNCTION:
                raise Invalid(Check.HOLDING_BLOCK, "the transaction accepts no anchor", where)
            statement = decode(AcceptAnchor, transaction.argument).signed.statement
            accepted: AnchorAccepted = decode_result(AcceptAnchor, transaction.payload)
        if not holding.statement == accepted.statement == statement.digest():
            raise Invalid(Check.HOLDING_BLOCK, "the transaction accepts another statement", where)
        self._held_at[holding.key] = transaction.timestamp_ms // 1000

    # ------------------------------------------------------------------ 5. elements

    def _check_elements(self) -> None:
        shown = self._evidence.elements()
        instances = []
        for one in shown:
            proven = one.proven
            statement = self._evidence.look_statement(proven.chain, proven.anchor).statement
            if not (statement.first <= proven.number <= statement.last and proven.block < statement.height):
                raise Invalid(Check.ELEMENT, f"lies outside the range of anchor {proven.anchor}", one.where)
            if self._bundle.profile == "full":
                self._check_envelope(one)
            parameters = self._chains.find(proven.chain).parameters
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

    def _check_envelope(self, shown: Shown[Any]) -> None:
        proven = shown.proven
        transaction = self._transaction(proven.chain, proven.block, proven.index, shown.where)
        if transaction is None or sha256(transaction.envelope) != proven.envelope_hash:
            raise Invalid(Check.ENVELOPE, "the block holds another envelope at its place", shown.where)
        if transaction.payload != proven.payload.encode() or transaction.function != shown.kind.FUNCTION:
            raise Invalid(Check.ENVELOPE, "the envelope carries another answer", shown.where)

    # ------------------------------------------------------------------ 7. the walk

    def _check_subject(self) -> RecordFacts | LineageFacts:
        bundle = self._bundle
        self._chains.find(bundle.chain)
        if bundle.kind == "record":
            record = bytes.fromhex(bundle.subject)
            if not self._evidence.has_leaf(bundle.chain, record):
                raise Invalid(Check.SUBJECT, "the bundle shows another record than it names", bundle.subject)
            return check_record(self._evidence, bundle.chain, record)
        if bundle.chain != self._main:
            raise Invalid(Check.SUBJECT, f"a {bundle.kind} stands on {self._main}", bundle.chain)
        return check_lineage(self._evidence, self._main, bundle.subject, whole=bundle.kind == "model")

    def _check_on_main(self, statement: AnchorStatement) -> None:
        """An edge's statement stands on main (Type-II), under one of main's anchors that lists it."""
        shown = self._evidence.find(AcceptAnchor, self._main, f"{statement.chain}/{statement.number}")
        accepted: AnchorAccepted = shown.result
        where = f"{statement.chain} anchor {statement.number}"
        if (accepted.statement, accepted.news) != (statement.digest(), statement.news):
            raise Invalid(Check.MAIN_ANCHOR, "main accepted another statement than this", where)
        cut = self._evidence.statement(self._main, shown.proven.anchor).statement
        listed = {latest.chain: latest for latest in cut.latest}.get(statement.chain)
        if listed is None or listed.number < statement.number:
            raise Invalid(Check.MAIN_ANCHOR, f"main's anchor {cut.number} does not list it", where)
        self._carried[cut.number].add(statement.chain)

    def _check_held(self, statement: AnchorStatement) -> int:
        """A main statement is held elsewhere (Type-III); the earliest claimed time of that, in seconds.

        Elsewhere is, for every edge whose evidence it carries, another edge where the trust root names one,
        and never main: else main and that edge could deceive by themselves.
        """
        edges = self._chains.edges
        where = f"{statement.chain} anchor {statement.number}"
        times = []
        for carried in sorted(self._carried[statement.number]) or [self._main]:
            wanted = [edge for edge in edges if edge != carried] or edges
            holding = self._evidence.holding(statement.digest(), wanted, where)
            self._evidence.block(holding.chain, holding.block)
            times.append(self._held_at[holding.key])
        return min(times)
