"""A chain's own cuts, and its organisations' signatures over the statement of each.

A cut is a transaction: cut number k in block b covers every block before b, so that the statement of anchor k
is a function of the chain alone and nobody signs two statements with one number.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from chaincode import sources
from chaincode.api import Cut, CutStatus, FixCut, GetCut, SignAnchor, Source, StatementSigned
from chaincode.context import Context
from chaincode.errors import (
    AccessDenied,
    AlreadyCut,
    AlreadySigned,
    BadSignature,
    ConflictingStatement,
    Gap,
    InvalidArgument,
    NotFound,
    UnfinishedCut,
    WrongParameters,
)
from identity import IdentityError, Role, verify_ecdsa
from protocol.anchors import AnchorSignature, AnchorStatement

__all__ = ["MAIN", "cut_key", "fix", "get", "sign", "signature_key"]

MAIN: Final = "main"
"""Id of the main chain."""

_NEWEST: Final = "cuts"


@dataclass(frozen=True)
class _Newest:
    """The newest cut's number, under ``cuts``."""

    number: int


def cut_key(number: int) -> str:
    """State key of a cut."""
    return f"cut/{number}"


def signature_key(number: int, msp_id: str) -> str:
    """State key of one organisation's signature over a cut's statement, with the statement."""
    return f"anchor-signature/{number}/{msp_id}"


def fix(context: Context, message: FixCut) -> Cut:
    """Fix the next cut. By a relay, an anchor signer or an admin.

    Cuts never pile up: the last one must have its quorum first.

    Raises:
        AccessDenied: another role.
        AlreadyCut: this number, or a later one, is cut already.
        Gap: a number before it is not cut.
        UnfinishedCut: the last cut lacks its quorum.
        UnknownSource: this chain's own roster is not registered.
    """
    context.require_role(Role.RELAY, Role.ANCHOR_SIGNER, Role.ADMIN)
    own = sources.find(context, context.chain)
    newest = _newest(context)
    if message.number <= newest:
        raise AlreadyCut(f"cut {newest} is the newest of {context.chain}")
    if message.number != newest + 1:
        raise Gap(f"cut {newest} is the newest of {context.chain}")
    if newest and not _is_finished(context, own, newest):
        raise UnfinishedCut(f"cut {newest} of {context.chain} lacks signatures over one statement")
    latest = sources.heads_of_others(context) if context.chain == MAIN else ()
    cut = Cut(number=message.number, latest=latest)
    context.write(cut_key(cut.number), cut)
    context.write(_NEWEST, _Newest(cut.number))
    return cut


def sign(context: Context, message: SignAnchor) -> StatementSigned:
    """Add an organisation's signature over a cut's statement. By its anchor signer.

    The statement is written once; its signature may be renewed only after the organisation's key changed.

    Raises:
        AccessDenied: the caller is no anchor signer, of another organisation, or not on this chain's roster.
        NotFound: no such cut.
        InvalidArgument: the statement is another chain's, or does not fit the cut.
        WrongParameters: other accumulator parameters than this chain's.
        BadSignature: it does not verify under the organisation's key of the roster.
        AlreadySigned: this statement is signed already.
        ConflictingStatement: the organisation signed another statement of this cut.
        UnknownSource: this chain's own roster is not registered.
    """
    context.require_role(Role.ANCHOR_SIGNER)
    statement, signature = message.statement, message.signature
    if signature.msp_id != context.creator.msp_id:
        raise AccessDenied(f"{context.creator.msp_id} cannot sign for {signature.msp_id}")
    own = sources.find(context, context.chain)
    key = own.roster.keys.get(signature.msp_id)
    if key is None:
        raise AccessDenied(f"{signature.msp_id} is not on the roster of {context.chain}")
    _check_fits(context, own, statement)
    _verify(key, statement, signature)
    state_key = signature_key(statement.number, signature.msp_id)
    present = context.read(SignAnchor, state_key)
    if present is not None:
        if present.statement != statement:
            digests = [present.statement.digest().hex(), statement.digest().hex()]
            raise ConflictingStatement(
                f"{signature.msp_id} signed another statement of cut {statement.number}", digests
            )
        if _holds(key, present):
            raise AlreadySigned(f"{signature.msp_id} signed cut {statement.number} already")
    context.write(state_key, message)
    return StatementSigned(number=statement.number, msp_id=signature.msp_id, statement=statement.digest())


def get(context: Context, message: GetCut) -> CutStatus:
    """A cut's signatures, sorted by organisation, and the distinct statements that they sign.

    Raises:
        NotFound: no such cut.
        UnknownSource: this chain's own roster is not registered.
    """
    own = sources.find(context, context.chain)
    number = message.number or _newest(context)
    if number == 0:
        return CutStatus(number=0, statements=(), signatures=())
    context.require(Cut, cut_key(number), f"cut {number}")
    signed = _signed(context, own, number)
    statements = {entry.statement.digest(): entry.statement for entry in signed}
    return CutStatus(
        number=number,
        statements=tuple(statements[digest] for digest in sorted(statements)),
        signatures=tuple(entry.signature for entry in signed),
    )


def _newest(context: Context) -> int:
    newest = context.read(_Newest, _NEWEST)
    return newest.number if newest else 0


def _signed(context: Context, own: Source, number: int) -> list[SignAnchor]:
    """What the organisations of the present roster signed, sorted by organisation; read key by key."""
    found = (context.read(SignAnchor, signature_key(number, msp_id)) for msp_id in sorted(own.roster.keys))
    return [entry for entry in found if entry is not None]


def _is_finished(context: Context, own: Source, number: int) -> bool:
    votes = Counter(entry.statement.digest() for entry in _signed(context, own, number))
    return max(votes.values(), default=0) >= own.roster.threshold


def _check_fits(context: Context, own: Source, statement: AnchorStatement) -> None:
    if statement.chain != context.chain:
        raise InvalidArgument(f"a statement of {statement.chain[:80]!r}, not of {context.chain}")
    cut = context.read(Cut, cut_key(statement.number))
    if cut is None:
        raise NotFound(f"cut {statement.number} is not known on {context.chain}")
    if statement.latest != cut.latest:
        raise InvalidArgument("the statement does not list what the cut lists")
    if statement.parameters != sources.parameters_of(own).digest:
        raise WrongParameters("the statement was made with other parameters than this chain's")


def _verify(key: bytes, statement: AnchorStatement, signature: AnchorSignature) -> None:
    try:
        verify_ecdsa(key, statement.signing_bytes(), signature.signature)
    except IdentityError as error:
        raise BadSignature(f"signature of {signature.msp_id}: {error}") from error


def _holds(key: bytes, entry: SignAnchor) -> bool:
    try:
        _verify(key, entry.statement, entry.signature)
    except BadSignature:
        return False
    return True
