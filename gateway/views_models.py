"""Models over REST: where a model comes from, and the record of its application."""

from __future__ import annotations

from typing import Any, Final

from flask import Response
from flask_openapi.blueprint import APIBlueprint

from chaincode.api import (
    GetModel,
    GetOutcome,
    GetPublished,
    GetRun,
    GetStep,
    Inference,
    Message,
    RecordInference,
    Run,
    Subject,
)
from gateway.answers import InferenceView, LineageView
from gateway.operators import SECURITY, UNAUTHORISED, operator_only
from gateway.problems import Refusal
from gateway.runtime import Runtime
from gateway.schemas import InferenceBody, RunPath
from gateway.web import answer, endpoint, group
from ledger.errors import ContractRefused
from ledger.port import Ledger, evaluate_typed, submit_typed
from protocol.encodings import from_json, to_json

__all__ = ["models"]

_MAX_ROUNDS: Final = 1000


def models(runtime: Runtime) -> APIBlueprint:
    """``/v1/models/{run}/lineage`` and ``/v1/inferences``."""
    api = group("models", "/v1")
    services = runtime.services

    @api.get("/models/<run>/lineage", summary="A model's lineage", responses={200: LineageView})
    @endpoint
    def lineage(path: RunPath) -> Response:
        edge, main = services.ledger, services.main
        source, run = _run([ledger for ledger in (main, edge) if ledger is not None], path.run)
        rounds = min(run.rounds, _MAX_ROUNDS)
        recipe = to_json(run.recipe)
        assert isinstance(recipe, dict)
        view = LineageView(
            run=run.run,
            chain=source.chain,
            recipe=recipe,
            rounds=run.rounds,
            initial=run.initial.hex(),
            versions=[] if main is None else _versions(main, run.run, rounds),
            steps=_steps(edge, run.run, rounds),
            published=_find(edge, GetPublished(run.run, 0)),
        )
        return answer(view)

    @api.post(
        "/inferences",
        summary="Record a model's application",
        description="Recorded under the gateway's identity: for its operator alone. Each request records one"
        " application more: the same model may be applied to the same input again.",
        responses={201: InferenceView, 401: UNAUTHORISED},
        security=SECURITY,
    )
    @operator_only(services.operator_token)
    @endpoint
    def record_inference(body: InferenceBody) -> Response:
        inference = from_json(Inference, body.model_dump(mode="json"))
        receipt, recorded = submit_typed(services.ledger, RecordInference(inference))
        fields = to_json(recorded)
        assert isinstance(fields, dict)
        return answer(InferenceView(transaction=receipt.transaction, chain=services.chain, **fields), 201)

    return api


def _run(ledgers: list[Ledger], name: str) -> tuple[Ledger, Run]:
    for ledger in ledgers:
        try:
            run: Run = evaluate_typed(ledger, GetRun(name))
        except ContractRefused as error:
            if error.status != 404:
                raise
            continue
        return ledger, run
    raise Refusal("unknown-run", f"no chain that this gateway reads knows run {name}", field="run")


def _versions(main: Ledger, run: str, rounds: int) -> list[dict[str, Any]]:
    found = []
    for version in range(1, rounds + 1):
        model = _find(main, GetModel(run, version, 0))
        if model is None:
            break
        outcome = _find(main, GetOutcome(Subject.AGGREGATE, run, version, model["attempt"]))
        found.append({"model": model, "outcome": outcome})
    return found


def _steps(edge: Ledger, run: str, rounds: int) -> list[dict[str, Any]]:
    found = []
    for number in range(1, rounds + 1):
        step = _find(edge, GetStep(run, number, 0))
        if step is None:
            break
        outcome = _find(edge, GetOutcome(Subject.STEP, run, number, step["attempt"]))
        found.append({"step": step, "outcome": outcome})
    return found


def _find(ledger: Ledger, message: Message) -> dict[str, Any] | None:
    try:
        fields = to_json(evaluate_typed(ledger, message))
    except ContractRefused as error:
        if error.status != 404:
            raise
        return None
    assert isinstance(fields, dict)
    return fields
