"""Quorums of anchor signers: one key an organisation, exactly as many signatures as the threshold."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from identity.errors import IdentityError
from identity.signatures import p256_public_key, verify_ecdsa
from protocol.anchors import AnchorSignature, Roster, SignedStatement
from protocol.errors import InvalidStatement, QuorumNotReached, UntrustedSignature

__all__ = ["check_roster", "verify_quorum", "verify_signed_statement"]


def check_roster(roster: Roster) -> None:
    """Refuse a roster that cannot name a quorum of distinct organisations.

    Raises:
        QuorumNotReached: a threshold below one or above the number of organisations.
        UntrustedSignature: a key that is no P-256 key, or that two organisations share.
    """
    if not 1 <= roster.threshold <= len(roster.keys):
        raise QuorumNotReached(f"a threshold of {roster.threshold} of {len(roster.keys)} organisations")
    if roster.version < 1:
        raise UntrustedSignature("a roster's version counts from 1")
    if len(set(roster.keys.values())) != len(roster.keys):
        # One key under two names would let one signer make a quorum by itself.
        raise UntrustedSignature("two organisations of the roster share a key")
    for msp_id, key in roster.keys.items():
        try:
            p256_public_key(key)
        except IdentityError as error:
            raise UntrustedSignature(f"the roster's key of {msp_id}: {error}") from error


def verify_quorum(roster: Roster, message: bytes, signatures: Sequence[AnchorSignature]) -> None:
    """Check that exactly ``roster.threshold`` distinct organisations of the roster signed ``message``.

    A superfluous signature is refused like a missing one, so that a quorum has few encodings and one bad
    signature never hides behind good ones.

    Raises:
        QuorumNotReached: too few, too many, not sorted by organisation, or one organisation twice.
        UntrustedSignature: an organisation that is not on the roster, or a signature that does not verify.
    """
    check_roster(roster)
    if len(signatures) != roster.threshold:
        raise QuorumNotReached(f"{len(signatures)} signatures where exactly {roster.threshold} are wanted")
    names = [signature.msp_id for signature in signatures]
    if any(left >= right for left, right in pairwise(names)):
        raise QuorumNotReached("signatures are not of distinct organisations in order")
    for signature in signatures:
        key = roster.keys.get(signature.msp_id)
        if key is None:
            raise UntrustedSignature(f"{signature.msp_id} is not on the roster of {roster.chain}")
        try:
            verify_ecdsa(key, message, signature.signature)
        except IdentityError as error:
            raise UntrustedSignature(
                f"signature of {signature.msp_id} for {roster.chain}: {error}"
            ) from error


def verify_signed_statement(roster: Roster, signed: SignedStatement) -> None:
    """Check a statement's quorum under its own chain's roster.

    Raises:
        InvalidStatement: the roster is another chain's.
        QuorumNotReached, UntrustedSignature: as ``verify_quorum``.
    """
    if signed.statement.chain != roster.chain:
        raise InvalidStatement(f"a statement of {signed.statement.chain} under the roster of {roster.chain}")
    verify_quorum(roster, signed.statement.signing_bytes(), signed.signatures)
