"""Records over REST: what the chain keeps, the bytes from the store, the proof."""

from __future__ import annotations

from flask import Response
from flask_openapi.blueprint import APIBlueprint
from flask_openapi.models.response import Response as ResponseSpec

from chaincode.api import GetRecord, StoredRecord
from gateway.answers import RecordView
from gateway.problems import Refusal
from gateway.runtime import Runtime
from gateway.schemas import ProofQuery, RecordPath
from gateway.views_proofs import PENDING_SECONDS, service_of
from gateway.web import answer, endpoint, group
from ledger.errors import ContractRefused
from ledger.port import evaluate_typed
from ledger.proof_errors import IncompleteEvidence, NotIndexed, Pending, UnsuitableHolder
from protocol.encodings import to_json
from store import Corrupt, NotFound

__all__ = ["records"]

_CONTENT = ResponseSpec.model_validate(
    {
        "description": "The reading's bytes, in the media type that was signed.",
        "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
    }
)
_BUNDLE = ResponseSpec.model_validate(
    {
        "description": "A proof bundle (docs/bundle-v1.schema.json), in its canonical bytes.",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
)


def records(runtime: Runtime) -> APIBlueprint:
    """The addresses below ``/v1/records``."""
    api = group("records", "/v1/records")
    services = runtime.services

    def find(record: str) -> StoredRecord:
        try:
            stored: StoredRecord = evaluate_typed(services.ledger, GetRecord(bytes.fromhex(record)))
        except ContractRefused as error:
            raise Refusal("unknown-record", f"{services.chain} holds no record {record}") from error
        return stored

    @api.get("/<record>", summary="A record", responses={200: RecordView})
    @endpoint
    def get(path: RecordPath) -> Response:
        stored = find(path.record)
        fields = to_json(stored.leaf.reading)
        assert isinstance(fields, dict)
        view = RecordView(
            record=path.record,
            chain=services.chain,
            transaction=stored.transaction,
            index=stored.index,
            count=stored.count,
            key=stored.leaf.key.hex(),
            **fields,
        )
        return answer(view)

    @api.get("/<record>/content", summary="A record's bytes", responses={200: _CONTENT})
    @endpoint
    def content(path: RecordPath) -> Response:
        reading = find(path.record).leaf.reading
        try:
            data = services.store.get(reading.content_digest)
        except NotFound as error:
            raise Refusal("content-missing", str(error)) from error
        except Corrupt as error:
            raise Refusal("content-corrupt", str(error)) from error
        headers = {
            # A device chose bytes and media type: no browser shall run them in this gateway's name.
            "Content-Disposition": "attachment",
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "X-Content-Type-Options": "nosniff",
        }
        return Response(data, 200, headers, content_type=reading.content_type)

    @api.get("/<record>/proof", summary="A record's proof bundle", responses={200: _BUNDLE})
    @endpoint
    def proof(path: RecordPath, query: ProofQuery) -> Response:
        proofs = service_of(runtime)
        try:
            bundle = proofs.record_bundle(
                services.chain, bytes.fromhex(path.record), query.holder, query.profile
            )
        except Pending as error:
            raise Refusal("pending", str(error), retry_after=PENDING_SECONDS) from error
        except UnsuitableHolder as error:
            raise Refusal("invalid-request", str(error), field="holder") from error
        except (NotIndexed, IncompleteEvidence) as error:
            find(path.record)
            raise Refusal("unknown-record", str(error)) from error
        return Response(bundle, 200, content_type="application/json")

    return api
