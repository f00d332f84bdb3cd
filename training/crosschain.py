"""Checking another chain's transaction against an anchor held on this one (seed 003, protocol 1).

"Before calculating a new intermediate result … one checks the integrity of M_O with the main-chain through
cross blockchain transaction verification" (section V.B): peers do it for themselves, beside the contract.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from accumulator import AccumulatorError
from chaincode.api import CrossChainProof, GetAnchor, GetSource, Message, Source
from chaincode.crosschain import result_under
from chaincode.errors import BadCrossChainProof
from chaincode.sources import parameters_of
from ledger.errors import ContractRefused
from ledger.port import Ledger, evaluate_typed
from protocol.anchors import SignedStatement
from training.errors import NotYet, UnprovenInput

__all__ = ["CrossChainProver", "require_held", "verify_cross_chain"]

_NOT_FOUND: Final = 404


class CrossChainProver(Protocol):
    """Makes membership proofs of transactions (``ledger.proofs.Prover``)."""

    def cross_chain_proof(
        self, chain: str, transaction: str, *, holder: str | None = None
    ) -> CrossChainProof:
        """Against the first anchor that covers the transaction.

        Args:
            chain: where the transaction stands.
            transaction: its id.
            holder: the chain that shall check the proof, and so must hold the anchor.

        Raises:
            Pending: no anchor covers it yet, or ``holder`` does not hold that anchor yet.
        """
        ...


def require_held(ledger: Ledger, proof: CrossChainProof) -> SignedStatement:
    """The anchor that a proof is against, as this chain holds it.

    Raises:
        NotYet: it has not arrived here.
    """
    try:
        held = evaluate_typed(ledger, GetAnchor(chain=proof.chain, number=proof.anchor))
    except ContractRefused as refusal:
        if refusal.status != _NOT_FOUND:
            raise
        raise NotYet(f"anchor {proof.anchor} of {proof.chain} has not reached {ledger.chain}") from refusal
    assert isinstance(held, SignedStatement)
    return held


def verify_cross_chain(ledger: Ledger, proof: CrossChainProof, kind: type[Message]) -> Any:
    """The result that another chain recorded, of type ``kind.RESULT``.

    Args:
        ledger: this chain, which holds the anchor and the other chain's parameters.
        proof: made on the other chain.
        kind: the call whose result it must be.

    Raises:
        NotYet: the anchor has not arrived here.
        UnprovenInput: the proof does not hold, the transaction was not valid, or another function's result.
    """
    statement = require_held(ledger, proof).statement
    source = evaluate_typed(ledger, GetSource(chain=proof.chain))
    assert isinstance(source, Source)
    try:
        return result_under(statement, parameters_of(source), proof, kind)
    except (BadCrossChainProof, AccumulatorError, OverflowError) as error:
        raise UnprovenInput(f"element {proof.number} of {proof.chain}: {error}") from error
