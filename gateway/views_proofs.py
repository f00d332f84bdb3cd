"""Proofs over REST beside records' bundles: an element's membership proof, all witnesses of a range."""

from __future__ import annotations

from flask import Response
from flask_openapi.blueprint import APIBlueprint

from gateway.answers import MembershipView, WitnessesView
from gateway.operators import SECURITY, UNAUTHORISED, operator_only
from gateway.problems import Refusal
from gateway.proving import Job, ProofService
from gateway.runtime import Runtime
from gateway.schemas import AnchorPath, ElementPath
from gateway.web import answer, endpoint, group
from ledger.proof_errors import NotIndexed, Pending
from protocol.encodings import to_json

__all__ = ["PENDING_SECONDS", "proofs", "service_of"]

PENDING_SECONDS = 2


def service_of(runtime: Runtime) -> ProofService:
    """The proof service.

    Raises:
        Refusal: ``not-provided``, this gateway has none.
    """
    if runtime.proofs is None:
        raise Refusal("not-provided", "this gateway makes no proofs")
    return runtime.proofs


def proofs(runtime: Runtime) -> APIBlueprint:
    """``…/elements/{number}/membership``, ``…/anchors/{number}/witnesses`` below ``/v1/chains/{chain}``."""
    api = group("proofs", "/v1/chains")
    token = runtime.services.operator_token

    @api.get(
        "/<chain>/elements/<number>/membership",
        summary="An element's membership proof",
        description="Against the first anchor that covers it; verify it against that anchor's statement.",
        responses={200: MembershipView},
    )
    @endpoint
    def membership(path: ElementPath) -> Response:
        try:
            proven = service_of(runtime).membership(path.chain, path.number)
        except Pending as error:
            raise Refusal("pending", str(error), retry_after=PENDING_SECONDS) from error
        except NotIndexed as error:
            raise Refusal("unknown-element", str(error)) from error
        fields = to_json(proven)
        assert isinstance(fields, dict)
        return answer(MembershipView(**fields))

    @api.get(
        "/<chain>/anchors/<number>/witnesses",
        summary="How far all membership witnesses of an anchor's range are",
        responses={200: WitnessesView},
    )
    @endpoint
    def progress(path: AnchorPath) -> Response:
        return _view(path, service_of(runtime).job(path.chain, path.number))

    @api.put(
        "/<chain>/anchors/<number>/witnesses",
        summary="Make all membership witnesses of an anchor's range",
        description="For the gateway's operator alone: it may take long. Single proofs go on meanwhile.",
        responses={202: WitnessesView, 401: UNAUTHORISED},
        security=SECURITY,
    )
    @operator_only(token)
    @endpoint
    def start(path: AnchorPath) -> Response:
        return _view(path, service_of(runtime).start(path.chain, path.number), 202)

    @api.delete(
        "/<chain>/anchors/<number>/witnesses",
        summary="Stop making them; what was made is kept",
        description="For the gateway's operator alone.",
        responses={202: WitnessesView, 401: UNAUTHORISED},
        security=SECURITY,
    )
    @operator_only(token)
    @endpoint
    def cancel(path: AnchorPath) -> Response:
        return _view(path, service_of(runtime).cancel(path.chain, path.number), 202)

    return api


def _view(path: AnchorPath, job: Job | None, status: int = 200) -> Response:
    if job is None:
        raise Refusal(
            "unknown-anchor",
            f"nobody had the membership witnesses of anchor {path.number} of {path.chain} made",
        )
    view = WitnessesView(
        chain=path.chain,
        anchor=path.number,
        state=job.state.value,
        made=job.made,
        whole=job.whole,
        cancelled=job.cancelled,
        reason=job.reason,
    )
    return answer(view, status)
