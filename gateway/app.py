"""The REST application of an edge gateway. ``create_app`` opens nothing; ``edgeproof`` wires and serves."""

from __future__ import annotations

from flask import Response, request
from flask_openapi.blueprint import APIBlueprint
from flask_openapi.models.response import Response as ResponseSpec
from flask_openapi.models.schema import Schema
from flask_openapi.openapi import OpenAPI

from gateway.answers import HealthView, ProblemView
from gateway.operators import SCHEME
from gateway.problems import Refusal
from gateway.runtime import Runtime
from gateway.schemas import BatchBody
from gateway.services import Services
from gateway.views_chains import chains
from gateway.views_devices import devices
from gateway.views_models import models
from gateway.views_proofs import proofs
from gateway.views_readings import readings
from gateway.views_records import records
from gateway.web import answer, endpoint, group, register_errors
from ledger.errors import LedgerError
from store import StoreError

__all__ = ["create_app", "runtime_of"]

_EXTENSION = "edgeproof"
_REFS = "#/components/schemas/{model}"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def create_app(services: Services) -> OpenAPI:
    """The application over these parts.

    Its working parts (``runtime_of``) start with the first reading and are closed by whoever serves the
    application, after the last request.
    """
    runtime = Runtime.assemble(services)
    app = OpenAPI(
        __name__,
        info={
            "title": f"Edgeproof gateway of {services.chain}",
            "version": "1",
            "description": "Signed readings in, records and proofs out.",
        },
        security_schemes={
            SCHEME: {
                "type": "http",
                "scheme": "bearer",
                "description": "The token of the gateway's operator; lies in the gateway's state folder.",
            }
        },
        doc_ui=False,
        validation_error_status="default",
        validation_error_model=ProblemView,
        static_folder=None,
    )
    app.openapi_version = "3.1.0"
    app.extensions[_EXTENSION] = runtime
    app.config["MAX_CONTENT_LENGTH"] = services.limits.batch_bytes
    app.url_map.strict_slashes = True
    app.url_map.merge_slashes = False
    register_errors(app)
    for blueprint in (devices, readings, records, chains, proofs, models, _system):
        app.register_api(blueprint(runtime))
    _describe_batches(app)

    @app.get("/openapi.json", doc_ui=False)
    def openapi() -> dict[str, object]:
        return app.api_doc

    @app.after_request
    def count(response: Response) -> Response:
        # A client may invent methods; a counter for each would grow without bound.
        method = request.method if request.method in _METHODS else "other"
        runtime.metrics.served(method, request.endpoint or "none", response.status_code)
        return response

    return app


def runtime_of(app: OpenAPI) -> Runtime:
    """The application's working parts."""
    runtime = app.extensions[_EXTENSION]
    assert isinstance(runtime, Runtime)
    return runtime


def _system(runtime: Runtime) -> APIBlueprint:
    api = group("system", "")
    services = runtime.services
    text = ResponseSpec.model_validate(
        {"description": "Prometheus' text format.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    )

    @api.get("/livez", summary="Whether the process serves", responses={200: HealthView})
    @endpoint
    def live() -> Response:
        return answer(HealthView(status="ok"))

    @api.get("/readyz", summary="Whether readings can be taken", responses={200: HealthView})
    @endpoint
    def ready() -> Response:
        if runtime.ingest.draining:
            raise Refusal("draining", "the gateway is shutting down", retry_after=1)
        try:
            services.ledger.information()
        except LedgerError as error:
            raise Refusal("not-ready", f"the chain does not answer: {error}", retry_after=1) from error
        try:
            services.store.has(bytes(32))
        except StoreError as error:
            raise Refusal("not-ready", f"the store does not answer: {error}", retry_after=1) from error
        return answer(HealthView(status="ok"))

    @api.get("/metrics", summary="Counters for Prometheus", responses={200: text})
    @endpoint
    def metrics() -> Response:
        return Response(runtime.metrics.render(), content_type="text/plain; version=0.0.4; charset=utf-8")

    return api


def _describe_batches(app: OpenAPI) -> None:
    """Add the batch's schema: its view reads the body itself, one item after another."""
    schema = BatchBody.model_json_schema(ref_template=_REFS)
    for name, definition in schema.pop("$defs").items():
        app.components_schemas[name] = Schema(**definition)
    app.components_schemas[BatchBody.__name__] = Schema(**schema)
