"""Chains and anchors over REST: the own chain's anchors, and those that the gateway's chains accepted."""

from __future__ import annotations

from typing import Literal

from flask import Response
from flask_openapi.blueprint import APIBlueprint

from chaincode.api import CutStatus, GetAnchor, GetCut, GetSource, Source
from gateway.answers import AnchorsView, AnchorView, ChainsView, ChainView
from gateway.problems import Refusal
from gateway.relay_reader import signatures_over
from gateway.runtime import Runtime
from gateway.schemas import AnchorPath, AnchorsQuery, ChainPath
from gateway.web import answer, endpoint, group
from ledger.errors import ContractRefused
from ledger.port import Ledger, evaluate_typed
from protocol.anchors import SignedStatement
from protocol.encodings import to_json

__all__ = ["chains"]


def chains(runtime: Runtime) -> APIBlueprint:
    """The addresses below ``/v1/chains``."""
    api = group("chains", "/v1/chains")
    services = runtime.services

    @api.get("", summary="The chains that this gateway reads", responses={200: ChainsView})
    @endpoint
    def list_chains() -> Response:
        views = []
        for chain, ledger in services.chains.items():
            information = ledger.information()
            role: Literal["edge", "main"] = "edge" if ledger is services.ledger else "main"
            views.append(
                ChainView(
                    chain=chain,
                    height=information.height,
                    header_hash=information.header_hash.hex(),
                    role=role,
                )
            )
        return answer(ChainsView(chains=views))

    @api.get("/<chain>/anchors", summary="A chain's anchors", responses={200: AnchorsView})
    @endpoint
    def list_anchors(path: ChainPath, query: AnchorsQuery) -> Response:
        holder = _holder(runtime, path.chain)
        newest = _newest(holder, path.chain)
        found = []
        for number in range(query.first, min(newest, query.first + query.limit - 1) + 1):
            anchor = _anchor(holder, path.chain, number)
            if anchor is not None:
                found.append(anchor)
        view = AnchorsView(chain=path.chain, held_by=holder.chain, newest=newest, anchors=found)
        return answer(view)

    @api.get("/<chain>/anchors/<number>", summary="One anchor", responses={200: AnchorView})
    @endpoint
    def get_anchor(path: AnchorPath) -> Response:
        holder = _holder(runtime, path.chain)
        anchor = _anchor(holder, path.chain, path.number)
        if anchor is None:
            raise Refusal("unknown-anchor", f"{holder.chain} holds no anchor {path.number} of {path.chain}")
        return answer(anchor)

    return api


def _holder(runtime: Runtime, chain: str) -> Ledger:
    """The chain to read another's anchors from: itself, this edge if it accepts them, else main."""
    services = runtime.services
    if chain in services.chains:
        return services.chains[chain]
    for ledger in services.chains.values():
        if _accepted(ledger, chain, 0) is not None:
            return ledger
    raise Refusal(
        "unknown-chain", f"no chain that this gateway reads holds anchors of {chain}", field="chain"
    )


def _newest(holder: Ledger, chain: str) -> int:
    if holder.chain == chain:
        newest = _own_cut(holder, 0)
        return 0 if newest is None else newest.number
    head = _accepted(holder, chain, 0)
    return 0 if head is None else head.statement.number


def _anchor(holder: Ledger, chain: str, number: int) -> AnchorView | None:
    signed = _own(holder, number) if holder.chain == chain else _accepted(holder, chain, number)
    return None if signed is None else _view(holder.chain, signed)


def _own(ledger: Ledger, number: int) -> SignedStatement | None:
    """The chain's own anchor: its first statement with the signatures that it has gathered so far."""
    status = _own_cut(ledger, number)
    if status is None or not status.statements:
        return None
    statement, signatures = status.statements[0], status.signatures
    if len(status.statements) > 1:  # not all signatures are over the first
        source: Source = evaluate_typed(ledger, GetSource(chain=ledger.chain))
        signatures = signatures_over(statement, status, source.roster)
    return SignedStatement(statement, signatures)


def _own_cut(ledger: Ledger, number: int) -> CutStatus | None:
    try:
        status: CutStatus = evaluate_typed(ledger, GetCut(number))
    except ContractRefused as error:
        if error.status != 404:
            raise
        return None
    return status


def _accepted(ledger: Ledger, chain: str, number: int) -> SignedStatement | None:
    try:
        signed: SignedStatement = evaluate_typed(ledger, GetAnchor(chain, number))
    except ContractRefused as error:
        if error.status != 404:
            raise
        return None
    return signed


def _view(holder: str, signed: SignedStatement) -> AnchorView:
    statement, signatures = to_json(signed.statement), to_json(signed.signatures)
    assert isinstance(statement, dict)
    assert isinstance(signatures, list)
    return AnchorView(
        chain=signed.statement.chain,
        number=signed.statement.number,
        held_by=holder,
        digest=signed.statement.digest().hex(),
        statement=statement,
        signatures=signatures,
    )
