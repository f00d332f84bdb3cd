"""Accepting other chains' anchors: Type-II on main, Type-III on an edge (seed 003, section IV.A).

Anyone may carry an anchor: its quorum's signatures, its continuity with the head held here, and the
append-only proof decide. A repeated, late or concurrent relay does no harm. A wrong head is superseded only
by a quorum-signed re-base, which keeps the history readable.
"""

from __future__ import annotations

from accumulator import (
    AccumulatorError,
    decode_append_only,
    decode_value,
    encode_value,
    verify_append_only,
)
from chaincode import sources
from chaincode.api import AcceptAnchor, AnchorAccepted, GetAnchor, Rebase, Rebased, Source
from chaincode.context import Context
from chaincode.cuts import MAIN
from chaincode.errors import (
    AlreadyAnchored,
    BadAppendOnlyProof,
    BadContinuity,
    Conflict,
    ConflictingAnchor,
    Gap,
    InvalidArgument,
    NotFound,
    WrongParameters,
)
from chaincode.heads import (
    Head,
    Rebasing,
    Rebasings,
    anchor_key,
    head_key,
    rebasings_key,
    require_anchor,
    require_current_anchor,
)
from protocol.anchors import AnchorStatement, SignedStatement
from protocol.commitments import rebase_bytes

__all__ = ["accept", "get", "rebase"]

_START = Head(number=0, statement=b"")


def accept(context: Context, message: AcceptAnchor) -> AnchorAccepted:
    """Accept the next anchor of another chain. Anybody of this chain carries it.

    Raises:
        InvalidArgument: a statement of this very chain, or one that contradicts itself.
        UnknownSource: its chain is not registered here.
        AlreadyAnchored: this very statement is accepted already.
        ThresholdNotMet, BadSignature: not exactly the source's quorum signed it.
        WrongParameters: made with other accumulator parameters than the source's.
        ConflictingAnchor: another statement with this number is accepted; details name both digests.
        Gap: an anchor before it is missing here.
        BadContinuity: it does not continue the head.
        BadAppendOnlyProof: the later value is not shown to contain the earlier one.
    """
    statement = message.signed.statement
    source = _source(context, statement.chain)
    digest = statement.digest()
    head = context.read(Head, head_key(statement.chain)) or _START
    present = None
    if statement.number <= head.number:
        present = context.read(SignedStatement, anchor_key(statement.chain, statement.number))
        if present is not None and present.statement == statement:
            raise AlreadyAnchored(f"anchor {statement.number} of {statement.chain} is accepted already")
    sources.check_quorum(source.roster, statement.signing_bytes(), message.signed.signatures)
    _check_form(source, statement)
    if present is not None:
        raise ConflictingAnchor(
            f"another anchor {statement.number} of {statement.chain} is accepted",
            {"accepted": present.statement.digest().hex(), "refused": digest.hex()},
        )
    if statement.number != head.number + 1:
        raise Gap(f"anchor {head.number} of {statement.chain} is the newest here, not {statement.number - 1}")
    previous = require_anchor(context, statement.chain, head.number).statement if head.number else None
    _check_continues(source, statement, previous)
    _check_append_only(source, statement, message.append_only, digest)
    _store(context, message.signed, digest)
    return AnchorAccepted(
        chain=statement.chain, number=statement.number, statement=digest, news=statement.news
    )


def rebase(context: Context, message: Rebase) -> Rebased:
    """Supersede a wrong head. Anybody of this chain carries it.

    The wrong statements stay readable; nothing is proved against them any more. The statement stored under
    the new number carries the signatures over ``rebase_bytes``, not over ``signing_bytes``.

    Raises:
        InvalidArgument: a statement of this very chain, or one that contradicts itself.
        UnknownSource: its chain is not registered here.
        Conflict: ``replaces`` is not the head, or ``base`` does not lie before it.
        NotFound, StaleAnchor: ``base`` is not accepted here, or superseded itself.
        ThresholdNotMet, BadSignature: not exactly the source's quorum signed it.
        WrongParameters: made with other accumulator parameters than the source's.
        Gap: the number does not follow the head's.
        BadContinuity: it does not continue ``base``.
    """
    statement = message.statement
    source = _source(context, statement.chain)
    head = context.read(Head, head_key(statement.chain))
    if head is None or head.statement != message.replaces:
        raise Conflict(f"the head of {statement.chain} is not the statement to be replaced")
    if not 0 <= message.base < head.number:
        raise Conflict(f"anchor {message.base} does not lie before head {head.number}")
    digest = statement.digest()
    sources.check_quorum(source.roster, rebase_bytes(message.replaces, digest), message.signatures)
    _check_form(source, statement)
    if statement.number != head.number + 1:
        raise Gap(f"number {statement.number} does not follow head {head.number}")
    base = require_current_anchor(context, statement.chain, message.base) if message.base else None
    _check_continues(source, statement, base)
    _store(context, SignedStatement(statement=statement, signatures=message.signatures), digest)
    before = context.read(Rebasings, rebasings_key(statement.chain))
    rebasing = Rebasing(number=statement.number, base=message.base)
    context.write(
        rebasings_key(statement.chain), Rebasings((*(before.rebasings if before else ()), rebasing))
    )
    return Rebased(
        chain=statement.chain, number=statement.number, statement=digest, replaces=message.replaces
    )


def get(context: Context, message: GetAnchor) -> SignedStatement:
    """An accepted anchor, or the newest one.

    Raises:
        UnknownSource: the chain is not registered here.
        NotFound: no such anchor is held here.
    """
    sources.find(context, message.chain)
    number = message.number
    if number == 0:
        head = context.read(Head, head_key(message.chain))
        if head is None:
            raise NotFound(f"no anchor of {message.chain} is held on {context.chain}")
        number = head.number
    return require_anchor(context, message.chain, number)


def _source(context: Context, chain: str) -> Source:
    if chain == context.chain:
        raise InvalidArgument("a chain does not accept anchors of itself")
    return sources.find(context, chain)


def _check_form(source: Source, statement: AnchorStatement) -> None:
    """The statement agrees with itself and with the source's parameters."""
    parameters = sources.parameters_of(source)
    if statement.parameters != parameters.digest:
        raise WrongParameters(f"not the accumulator parameters of {source.chain}")
    if len(statement.header_hash) != 32 or len(statement.tree_root) != 32:
        raise InvalidArgument("header hash and tree root are 32 bytes")
    try:
        decode_value(parameters, statement.value_before)
        decode_value(parameters, statement.value_after)
    except AccumulatorError as error:
        raise InvalidArgument(f"accumulator value: {error}") from error
    if not 1 <= statement.first <= statement.last or statement.number < 1 or statement.height < 1:
        raise InvalidArgument("number, height and a range that is not empty count from 1")
    if not 0 <= statement.news <= statement.last - statement.first + 1:
        raise InvalidArgument("more news than elements")
    chains = [anchor.chain for anchor in statement.latest]
    if chains and source.chain != MAIN:
        raise InvalidArgument("only main lists the anchors that it holds")
    if chains != sorted(set(chains)) or any(len(anchor.statement) != 32 for anchor in statement.latest):
        raise InvalidArgument("the anchors that main lists are sorted, distinct, and named by 32 bytes")


def _check_continues(source: Source, statement: AnchorStatement, previous: AnchorStatement | None) -> None:
    """The statement begins where ``previous`` ends; at the chain's start when there is none."""
    parameters = sources.parameters_of(source)
    if previous is None:
        value, last, height = encode_value(parameters, parameters.generator), 0, 0
    else:
        value, last, height = previous.value_after, previous.last, previous.height
    if statement.first != last + 1:
        raise BadContinuity(f"the range begins with {statement.first}, not {last + 1}")
    if statement.value_before != value:
        raise BadContinuity("the accumulator value before the range is not the one accepted here")
    if statement.height <= height:
        raise BadContinuity(f"height {statement.height} does not exceed {height}")


def _check_append_only(source: Source, statement: AnchorStatement, raw: bytes, digest: bytes) -> None:
    parameters = sources.parameters_of(source)
    try:
        proof = decode_append_only(parameters, raw)
        before = decode_value(parameters, statement.value_before)
        after = decode_value(parameters, statement.value_after)
        verify_append_only(parameters, before, after, proof, digest)
    except AccumulatorError as error:
        raise BadAppendOnlyProof(str(error)) from error


def _store(context: Context, signed: SignedStatement, digest: bytes) -> None:
    statement = signed.statement
    context.write(anchor_key(statement.chain, statement.number), signed)
    context.write(head_key(statement.chain), Head(number=statement.number, statement=digest))
