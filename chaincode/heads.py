"""What this chain has accepted of another chain's anchors: state keys and the messages under them.

``anchor/<chain>/<number>`` is immutable and what every proof is checked against; ``head/<chain>`` is read by
the interlock alone; ``rebased/<chain>`` exists only where a quorum replaced a wrong head.
"""

from __future__ import annotations

from dataclasses import dataclass

from chaincode.context import Context
from chaincode.errors import StaleAnchor
from protocol.anchors import AnchorStatement, SignedStatement

__all__ = [
    "Head",
    "Rebasing",
    "Rebasings",
    "anchor_key",
    "head_key",
    "rebasings_key",
    "require_anchor",
    "require_current_anchor",
]


@dataclass(frozen=True)
class Head:
    """The newest accepted anchor of a chain."""

    number: int
    statement: bytes
    """Digest."""


@dataclass(frozen=True)
class Rebasing:
    """Anchor ``number`` continues anchor ``base``; those in between are superseded."""

    number: int
    base: int


@dataclass(frozen=True)
class Rebasings:
    """Every re-base of one chain, oldest first."""

    rebasings: tuple[Rebasing, ...]


def anchor_key(chain: str, number: int) -> str:
    """State key of an accepted anchor."""
    return f"anchor/{chain}/{number}"


def head_key(chain: str) -> str:
    """State key of the newest accepted anchor's number and digest."""
    return f"head/{chain}"


def rebasings_key(chain: str) -> str:
    """State key of a chain's re-bases."""
    return f"rebased/{chain}"


def require_anchor(context: Context, chain: str, number: int) -> SignedStatement:
    """An accepted anchor, superseded or not.

    Raises:
        NotFound: this chain holds no such anchor (yet).
    """
    return context.require(SignedStatement, anchor_key(chain, number), f"anchor {number} of {chain}")


def require_current_anchor(context: Context, chain: str, number: int) -> AnchorStatement:
    """An accepted anchor that no re-base superseded: what proofs may be checked against.

    Raises:
        NotFound: this chain holds no such anchor (yet).
        StaleAnchor: superseded.
    """
    signed = require_anchor(context, chain, number)
    rebased = context.read(Rebasings, rebasings_key(chain))
    for rebasing in rebased.rebasings if rebased else ():
        if rebasing.base < number < rebasing.number:
            raise StaleAnchor(f"anchor {number} of {chain} was superseded by anchor {rebasing.number}")
    return signed.statement
