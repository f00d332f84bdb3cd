"""What makes anchor statements believed, each for itself and beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import accumulator
from accumulator.errors import AccumulatorError
from audit.anchors import check_signatures
from audit.blocks import TrustedChain, TrustedChains
from audit.errors import Check, Conflict, Invalid, failing
from audit.state import contradicts_order
from protocol.anchors import AnchorStatement, SignedStatement

__all__ = ["check_statements"]


def check_statements(statements: Sequence[SignedStatement], chains: TrustedChains) -> None:
    """Check quorums, parameters, checkpoints, continuity, and what main says about the edges' statements.

    Args:
        statements: sorted by chain and number, each once.
        chains: the trust root's.

    Raises:
        Unverifiable: a chain that the trust root does not name.
        Untrusted: a signature by an organisation outside the roster.
        Conflict: checks ``checkpoint`` and ``conflict``.
        Invalid: checks ``anchor-signature``, ``parameters``, ``anchor-linkage``.
    """
    for signed in statements:
        where = _where(signed.statement)
        trusted = chains.find(signed.statement.chain)
        check_signatures(signed, trusted.trust.roster, where)
        _check_form(signed.statement, trusted, where)
        _check_checkpoint(signed, trusted, where)
    for before, after in pairwise(statements):
        if before.statement.chain == after.statement.chain:
            _check_continues(before.statement, after.statement)
    _check_listed(statements)


def _check_form(statement: AnchorStatement, trusted: TrustedChain, where: str) -> None:
    parameters = trusted.parameters
    if statement.parameters != parameters.digest:
        raise Invalid(Check.PARAMETERS, "made with other accumulator parameters than the trust root's", where)
    with failing(Check.PARAMETERS, AccumulatorError, where=where):
        before = accumulator.decode_value(parameters, statement.value_before)
        accumulator.decode_value(parameters, statement.value_after)
    if not 1 <= statement.first <= statement.last or statement.number < 1 or statement.height < 1:
        raise Invalid(Check.ANCHOR_LINKAGE, "the statement contradicts itself", where)
    if statement.number == 1 and (statement.first != 1 or before != parameters.generator):
        raise Invalid(Check.ANCHOR_LINKAGE, "the first anchor does not start from the generator", where)


def _check_checkpoint(signed: SignedStatement, trusted: TrustedChain, where: str) -> None:
    checkpoint = trusted.trust.checkpoint
    if checkpoint.number == signed.statement.number and checkpoint.statement != signed.statement.digest():
        known = checkpoint.statement.hex()
        raise Conflict(Check.CHECKPOINT, f"differs from the checkpoint (digest {known})", (signed,), where)


def _check_continues(before: AnchorStatement, after: AnchorStatement) -> None:
    where = _where(after)
    if contradicts_order(before, after):
        raise Invalid(Check.ANCHOR_LINKAGE, f"does not continue anchor {before.number}", where)
    if after.number == before.number + 1 and after.value_before != before.value_after:
        raise Invalid(
            Check.ANCHOR_LINKAGE, f"starts from another value than anchor {before.number} ends", where
        )


def _check_listed(statements: Sequence[SignedStatement]) -> None:
    """Main's statements list the edges' heads: those are statements about the edges too."""
    known = {(one.statement.chain, one.statement.number): one for one in statements}
    for signed in statements:
        for latest in signed.statement.latest:
            other = known.get((latest.chain, latest.number))
            if other is not None and other.statement.digest() != latest.statement:
                raise Conflict(
                    Check.CONFLICT,
                    f"lists another statement of {latest.chain} anchor {latest.number}",
                    (signed, other),
                    _where(signed.statement),
                )


def _where(statement: AnchorStatement) -> str:
    return f"{statement.chain} anchor {statement.number}"
