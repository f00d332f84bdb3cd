"""What an anchor costs: in the anchor signer that recomputes it, in the contract that accepts it.

Both on a real chain of the embedded ledger, over the product's own fold and contract.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import accumulator
from accumulator import Parameters
from benchmarks.chains import Grower
from benchmarks.measure import median_cpu_ms
from chaincode.api import AcceptAnchor, FixCut, GetCut, GetSource
from edgeproof.deployment import Deployment, Plan
from edgeproof.setup import make_deployment
from edgeproof.wiring import Parts
from gateway.relay_reader import signatures_over
from gateway.signer import AnchorSigner
from identity import KeyPair, Role, Signer
from ledger.port import Ledger, call, evaluate_typed
from protocol.anchors import SignedStatement
from protocol.chainstate import ChainState

__all__ = ["measure_anchor"]

_EDGE = "edge-a"


def measure_anchor(
    folder: Path, transactions: int, ways: Mapping[str, Parameters], repeats: int
) -> dict[str, Any]:
    """CPU milliseconds of one anchor over a chain of some transactions.

    Args:
        folder: for the chain.
        transactions: that the newest anchor covers, beside a few of its own.
        ways: parameters of the edge's chain with other arithmetic, by name.
        repeats: medians of so many.

    Returns:
        ``elements``; ``signer_ms`` an element, by way: every block read, decoded and folded (elements, tree,
        primes, accumulator value) and the statement signed; ``accept_ms``: one endorser's execution of
        ``interlock:accept``; ``append_only_verify_ms``, by way: the append-only proof's share of that.
    """
    deployment = make_deployment(folder / "anchor", Plan.standard(1))
    with Grower(deployment, _EDGE, KeyPair.generate()) as grower:
        grower.enrol()
        grower.interlock()
        grower.fill(transactions, 1)
    with Parts(deployment, "bench") as parts:
        edge = parts.ledger(_EDGE, deployment.plan.chain(_EDGE).operator, Role.RELAY)
        main = parts.ledger(deployment.plan.main.chain, deployment.plan.main.operator, Role.RELAY)
        message = _anchor(deployment, parts, edge, main)
        statement = message.signed.statement
        signer = deployment.signer(deployment.plan.chain(_EDGE).operator, Role.ANCHOR_SIGNER)
        proof, context = message.append_only, statement.digest()

        def verify(parameters: Parameters) -> None:
            accumulator.verify_append_only(
                parameters,
                accumulator.decode_value(parameters, statement.value_before),
                accumulator.decode_value(parameters, statement.value_after),
                accumulator.decode_append_only(parameters, proof),
                context,
            )

        elements = _fold(edge, signer, next(iter(ways.values())))
        return {
            "elements": elements,
            "signer_ms": {
                name: median_cpu_ms(partial(_fold, edge, signer, way), repeats) / elements
                for name, way in ways.items()
            },
            "accept_ms": median_cpu_ms(lambda: main.evaluate(message), repeats),
            "append_only_verify_ms": {
                name: median_cpu_ms(partial(verify, way), repeats) for name, way in ways.items()
            },
        }


def _anchor(deployment: Deployment, parts: Parts, edge: Ledger, main: Ledger) -> AcceptAnchor:
    """The edge's next anchor, signed by its quorum and not yet accepted by main."""
    index = parts.index(edge)
    index.sync()
    number = index.anchor + 1
    call(edge, FixCut(number=number))
    for msp_id in deployment.plan.chain(_EDGE).organisations[:2]:
        own = parts.ledger(_EDGE, msp_id, Role.ANCHOR_SIGNER)
        AnchorSigner(own, index, deployment.signer(msp_id, Role.ANCHOR_SIGNER)).step()
    statement = index.statement(number)
    roster = evaluate_typed(main, GetSource(chain=_EDGE)).roster
    status = evaluate_typed(edge, GetCut(number=number))
    signatures = signatures_over(statement, status, roster)[: roster.threshold]
    return AcceptAnchor(SignedStatement(statement, signatures), index.append_only(number))


def _fold(edge: Ledger, signer: Signer, parameters: Parameters) -> int:
    """What an anchor signer does from the chain's first block to its signature; the elements folded."""
    accumulator.is_prime.cache_clear()
    state = ChainState(_EDGE, parameters)
    elements, newest = 0, None
    for block in edge.blocks(0):
        fed = state.feed(block)
        for newest in fed.statements:
            elements = newest.last
    assert newest is not None
    signer.sign(newest.signing_bytes())
    return elements
