"""Cuts, anchors, heads and cross-chain proofs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from protocol.anchors import AnchorSignature, AnchorStatement, LatestAnchor, Roster, SignedStatement

__all__ = [
    "AcceptAnchor",
    "AnchorAccepted",
    "CrossChainProof",
    "Cut",
    "CutStatus",
    "FixCut",
    "GetAnchor",
    "GetCut",
    "GetHeads",
    "GetSource",
    "Heads",
    "Rebase",
    "Rebased",
    "RegisterSource",
    "ReplaceRoster",
    "SignAnchor",
    "Source",
    "StatementSigned",
]


@dataclass(frozen=True)
class Source:
    """A chain whose anchors this chain accepts, or this chain itself. State key ``source/<chain>``."""

    chain: str
    modulus: bytes
    origin: str
    roster: Roster


@dataclass(frozen=True)
class RegisterSource:
    """By an admin; once a chain (its own chain too). The roster changes by ``ReplaceRoster`` only."""

    FUNCTION: ClassVar[str] = "interlock:registerSource"
    RESULT: ClassVar[type[Source]] = Source
    source: Source


@dataclass(frozen=True)
class ReplaceRoster:
    """Signed by the quorum of the roster it replaces, over ``Roster.digest``; version + 1."""

    FUNCTION: ClassVar[str] = "interlock:replaceRoster"
    RESULT: ClassVar[type[Source]] = Source
    roster: Roster
    signatures: tuple[AnchorSignature, ...]


@dataclass(frozen=True)
class Cut:
    """Cut ``number`` of this chain covers every block before the one that carries the transaction."""

    number: int
    latest: tuple[LatestAnchor, ...]


@dataclass(frozen=True)
class FixCut:
    """Compare-and-swap: ``number`` must be the last cut's plus one, and the last one must be signed."""

    FUNCTION: ClassVar[str] = "interlock:cut"
    RESULT: ClassVar[type[Cut]] = Cut
    number: int


@dataclass(frozen=True)
class StatementSigned:
    """Response payload of ``SignAnchor``: who signed which statement."""

    number: int
    msp_id: str
    statement: bytes
    """Digest."""


@dataclass(frozen=True)
class SignAnchor:
    """By an anchor signer of the organisation. Write-once: ``anchor-signature/<number>/<msp_id>``."""

    FUNCTION: ClassVar[str] = "interlock:sign"
    RESULT: ClassVar[type[StatementSigned]] = StatementSigned
    statement: AnchorStatement
    signature: AnchorSignature


@dataclass(frozen=True)
class AnchorAccepted:
    """Response payload of an accepted Type-II or Type-III: names the statement."""

    chain: str
    number: int
    statement: bytes
    """Digest."""
    news: int


@dataclass(frozen=True)
class AcceptAnchor:
    """Type-II on main, Type-III on an edge. Keys ``anchor/<chain>/<number>`` (immutable), ``head/<chain>``.

    An already accepted, identical statement is refused with ``AlreadyAnchored`` (harmless: the relay takes it
    as done).
    """

    FUNCTION: ClassVar[str] = "interlock:accept"
    RESULT: ClassVar[type[AnchorAccepted]] = AnchorAccepted
    signed: SignedStatement
    append_only: bytes
    """PoKE2 from value_before to value_after, context = the statement's digest."""


@dataclass(frozen=True)
class Rebased:
    """Response payload of ``Rebase``: which statement stands in whose place."""

    chain: str
    number: int
    statement: bytes
    replaces: bytes
    """Digest of the head that is superseded."""


@dataclass(frozen=True)
class Rebase:
    """Quorum-signed replacement of a wrong head; the wrong statement stays readable.

    The signatures cover ``rebase_bytes`` (tag ``edgeproof/rebase/v1``, wrong head's digest, new statement's
    digest). The new statement takes the number after the wrong head's and continues from anchor ``base``.
    """

    FUNCTION: ClassVar[str] = "interlock:rebase"
    RESULT: ClassVar[type[Rebased]] = Rebased
    statement: AnchorStatement
    base: int
    """Number of the accepted anchor that the new statement continues; 0 for the chain's start."""
    replaces: bytes
    signatures: tuple[AnchorSignature, ...]


@dataclass(frozen=True)
class GetAnchor:
    """An accepted statement of another chain; ``number`` 0 asks for the head."""

    FUNCTION: ClassVar[str] = "interlock:get"
    RESULT: ClassVar[type[SignedStatement]] = SignedStatement
    chain: str
    number: int


@dataclass(frozen=True)
class CutStatus:
    """This chain's newest cut and the signatures that it has gathered."""

    number: int
    """0 before the first cut."""
    statements: tuple[AnchorStatement, ...]
    """Distinct statements that were signed (more than one is evidence of misbehaviour)."""
    signatures: tuple[AnchorSignature, ...]


@dataclass(frozen=True)
class GetCut:
    """``number`` 0 asks for the newest."""

    FUNCTION: ClassVar[str] = "interlock:getCut"
    RESULT: ClassVar[type[CutStatus]] = CutStatus
    number: int


@dataclass(frozen=True)
class GetSource:
    """A registered chain, or this chain itself."""

    FUNCTION: ClassVar[str] = "interlock:getSource"
    RESULT: ClassVar[type[Source]] = Source
    chain: str


@dataclass(frozen=True)
class Heads:
    """The newest accepted anchor of every other chain."""

    heads: tuple[LatestAnchor, ...]


@dataclass(frozen=True)
class GetHeads:
    """Heads of every chain that this one accepts anchors from, sorted by chain."""

    FUNCTION: ClassVar[str] = "interlock:getHeads"
    RESULT: ClassVar[type[Heads]] = Heads


@dataclass(frozen=True)
class CrossChainProof:
    """A membership proof of another chain's transaction, checked against an anchor held on this chain."""

    chain: str
    anchor: int
    number: int
    block: int
    index: int
    code: int
    envelope_hash: bytes
    payload: str
    """The response payload (canonical JSON text)."""
    offset: int
    """Certificate: the prime representative's distance from the hash."""
    witness: bytes
