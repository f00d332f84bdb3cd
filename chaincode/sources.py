"""Chains whose anchors this chain accepts, itself among them: parameters and rosters of anchor signers."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from accumulator import AccumulatorError, Modulus, Parameters
from chaincode.api import GetHeads, GetSource, Heads, RegisterSource, ReplaceRoster, Source
from chaincode.context import Context
from chaincode.errors import (
    AlreadyExists,
    BadSignature,
    Conflict,
    InvalidArgument,
    ThresholdNotMet,
    UnknownSource,
)
from chaincode.heads import Head, head_key
from chaincode.names import check_chain, check_organisation
from identity import Role
from protocol.anchors import AnchorSignature, LatestAnchor, Roster
from protocol.encodings import decode
from protocol.errors import ProtocolError, QuorumNotReached, UntrustedSignature
from protocol.rosters import check_roster, verify_quorum

__all__ = [
    "check_quorum",
    "find",
    "get",
    "get_heads",
    "heads_of_others",
    "parameters_of",
    "register",
    "replace_roster",
    "source_key",
]

_PREFIX: Final = "source/"
_AFTER: Final = "source0"  # "0" follows "/": the end of the range of all sources
_MAX_MODULUS_BYTES: Final = 1024
_MAX_ORGANISATIONS: Final = 64


def source_key(chain: str) -> str:
    """State key of a source."""
    return _PREFIX + chain


def register(context: Context, message: RegisterSource) -> Source:
    """Register a chain, or this chain itself, once. By an admin of any organisation of this chain.

    Raises:
        AccessDenied: the caller is no admin.
        InvalidArgument: unusable parameters or roster (see ``_check_roster``), or a version other than 1.
        AlreadyExists: the chain is registered; its roster changes by ``replace_roster`` alone.
    """
    context.require_role(Role.ADMIN)
    source = message.source
    check_chain(source.chain)
    if source.roster.chain != source.chain:
        raise InvalidArgument("the roster is another chain's")
    if source.roster.version != 1:
        raise InvalidArgument("a source begins with version 1 of its roster")
    _check_roster(source.roster)
    if len(source.modulus) > _MAX_MODULUS_BYTES or source.modulus[:1] == b"\x00":
        raise InvalidArgument(f"a modulus has at most {_MAX_MODULUS_BYTES} bytes and no leading zero")
    try:
        _ = parameters_of(source).digest
    except AccumulatorError as error:
        raise InvalidArgument(f"parameters: {error}") from error
    if context.state.get(source_key(source.chain)) is not None:
        raise AlreadyExists(f"chain {source.chain} is registered already")
    context.write(source_key(source.chain), source)
    return source


def replace_roster(context: Context, message: ReplaceRoster) -> Source:
    """Put the next roster in a source's place. Anybody of the chain carries it.

    Raises:
        UnknownSource: the chain is not registered.
        Conflict: the version is not the next one.
        InvalidArgument: an unusable roster.
        ThresholdNotMet, BadSignature: the quorum of the present roster did not sign it.
    """
    roster = message.roster
    source = find(context, roster.chain)
    if roster.version != source.roster.version + 1:
        raise Conflict(f"version {roster.version} does not follow {source.roster.version}")
    _check_roster(roster)
    check_quorum(source.roster, roster.digest(), message.signatures)
    replaced = Source(chain=source.chain, modulus=source.modulus, origin=source.origin, roster=roster)
    context.write(source_key(source.chain), replaced)
    return replaced


def get(context: Context, message: GetSource) -> Source:
    """The source.

    Raises:
        UnknownSource: the chain is not registered.
    """
    return find(context, message.chain)


def get_heads(context: Context, _message: GetHeads) -> Heads:
    """Heads of all chains that this one has accepted an anchor of, sorted by chain."""
    return Heads(heads_of_others(context))


def find(context: Context, chain: str) -> Source:
    """The source of that chain.

    Raises:
        InvalidArgument: not a chain id.
        UnknownSource: the chain is not registered.
    """
    check_chain(chain)
    source = context.read(Source, source_key(chain))
    if source is None:
        raise UnknownSource(f"chain {chain} is not registered on {context.chain}")
    return source


def heads_of_others(context: Context) -> tuple[LatestAnchor, ...]:
    """The newest accepted anchor of every other source that has one, sorted by chain.

    Reads the range of sources, which only set-up and roster changes write, and the heads.
    """
    latest = []
    for _, raw in context.state.range(_PREFIX, _AFTER):
        chain = decode(Source, raw).chain
        head = context.read(Head, head_key(chain)) if chain != context.chain else None
        if head is not None:
            latest.append(LatestAnchor(chain=chain, number=head.number, statement=head.statement))
    return tuple(sorted(latest, key=lambda anchor: anchor.chain))


def parameters_of(source: Source) -> Parameters:
    """The source's accumulator parameters; derived once a process for each source.

    Raises:
        InvalidParameters: the modulus cannot be used.
    """
    return _parameters(source.modulus, source.origin, source.chain)


def check_quorum(roster: Roster, message: bytes, signatures: tuple[AnchorSignature, ...]) -> None:
    """Exactly the threshold of the roster's organisations signed ``message``.

    Raises:
        ThresholdNotMet: too few or too many, unsorted, or one organisation twice.
        BadSignature: an organisation outside the roster, or a signature that does not verify.
    """
    try:
        verify_quorum(roster, message, signatures)
    except QuorumNotReached as error:
        raise ThresholdNotMet(str(error)) from error
    except UntrustedSignature as error:
        raise BadSignature(str(error)) from error


def _check_roster(roster: Roster) -> None:
    """Two organisations at least sign, and any two quorums share one.

    Without the second rule two conflicting statements could each be signed by a quorum, and nobody would have
    signed both.
    """
    if len(roster.keys) > _MAX_ORGANISATIONS:
        raise InvalidArgument(f"a roster names at most {_MAX_ORGANISATIONS} organisations")
    for msp_id in roster.keys:
        check_organisation(msp_id)
    try:
        check_roster(roster)
    except ProtocolError as error:
        raise InvalidArgument(f"roster: {error}") from error
    if roster.threshold < 2 or 2 * roster.threshold <= len(roster.keys):
        raise InvalidArgument("a roster's threshold is at least two and more than half of its organisations")


@lru_cache(maxsize=64)
def _parameters(modulus: bytes, origin: str, chain: str) -> Parameters:
    return Parameters(Modulus(int.from_bytes(modulus, "big"), origin), chain)
