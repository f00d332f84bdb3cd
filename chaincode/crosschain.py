"""Another chain's transaction, proved against an anchor that this chain holds (seed 003, Protocol 1).

The proof names an element: its digest gives the prime representative (certified by an offset), the membership
witness shows that the prime went into the anchored accumulator value, and the element binds the response
payload, which itself names the function that made it. Only immutable state is read.
"""

from __future__ import annotations

from typing import Any, Final

from accumulator import AccumulatorError, Parameters, check_certificate, decode_value, verify_membership
from chaincode import sources
from chaincode.api import CrossChainProof, Message
from chaincode.context import Context
from chaincode.errors import BadCrossChainProof
from chaincode.heads import require_current_anchor
from chaincode.payloads import decode_result
from protocol.anchors import AnchorStatement
from protocol.elements import Element
from protocol.encodings import sha256
from protocol.errors import EncodingError

__all__ = ["proved_result", "result_under"]

_VALID: Final = 0


def proved_result(context: Context, proof: CrossChainProof, chain: str, kind: type[Message]) -> Any:
    """The result of a valid call of ``kind`` on ``chain``; of type ``kind.RESULT``.

    Args:
        context: of the chain that asks.
        proof: what the caller hands in.
        chain: the chain that it must be of.
        kind: the function whose result it must be.

    Raises:
        UnknownSource: the chain is not registered here.
        NotFound: the anchor is not held here (yet).
        StaleAnchor: the anchor was superseded.
        BadCrossChainProof: any other fault, which the message names.
    """
    if proof.chain != chain:
        raise BadCrossChainProof(f"a proof of {chain} is wanted, not of {proof.chain[:80]!r}")
    parameters = sources.parameters_of(sources.find(context, chain))
    statement = require_current_anchor(context, chain, proof.anchor)
    return result_under(statement, parameters, proof, kind)


def result_under(
    statement: AnchorStatement, parameters: Parameters, proof: CrossChainProof, kind: type[Message]
) -> Any:
    """The result of a valid call of ``kind``, proved under an accepted anchor; of type ``kind.RESULT``.

    Pure, for whoever checks beside the contract. Cost: one exponentiation by a 256-bit prime.

    Args:
        statement: the anchor that the proof names, as the asking chain holds it.
        parameters: the accumulator parameters of the statement's chain.
        proof: what is to be believed.
        kind: the function whose result it must be.

    Raises:
        BadCrossChainProof: the message names the fault.
    """
    if (proof.chain, proof.anchor) != (statement.chain, statement.number):
        raise BadCrossChainProof(f"a proof under anchor {statement.number} of {statement.chain} is wanted")
    if not statement.first <= proof.number <= statement.last:
        raise BadCrossChainProof(f"anchor {proof.anchor} covers {statement.first} to {statement.last} only")
    if not 0 <= proof.block < statement.height:
        raise BadCrossChainProof(f"anchor {proof.anchor} covers blocks below {statement.height} only")
    if proof.code != _VALID:
        raise BadCrossChainProof(f"the transaction is not valid on its chain (code {proof.code})")
    payload = proof.payload.encode()
    element = Element(
        chain=proof.chain,
        number=proof.number,
        block=proof.block,
        index=proof.index,
        code=proof.code,
        envelope_hash=proof.envelope_hash,
        payload_hash=sha256(payload),
    )
    if proof.index < 0 or len(proof.envelope_hash) != 32:
        raise BadCrossChainProof("index or envelope hash is none")
    try:
        prime = check_certificate(element.digest(), proof.offset)
        value = decode_value(parameters, statement.value_after)
        verify_membership(parameters, value, prime, decode_value(parameters, proof.witness))
    except AccumulatorError as error:
        raise BadCrossChainProof(f"membership: {error}") from error
    try:
        return decode_result(kind, payload)
    except EncodingError as error:
        raise BadCrossChainProof(f"payload: {error}") from error
