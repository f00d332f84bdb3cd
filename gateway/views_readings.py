"""Readings over REST: one with its signature in header fields, or many as JSON."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

from flask import Response, request
from flask_openapi.blueprint import APIBlueprint
from flask_openapi.models.request_body import RequestBody

from gateway.admission import Recorded, Submission
from gateway.answers import AnswerView, BatchAnswer, ProblemView, RecordedView
from gateway.ingest import Answer
from gateway.problems import Refusal
from gateway.runtime import Runtime
from gateway.schemas import ReadingHeaders, ReadingItem
from gateway.web import answer, endpoint, group, json_body, validated, whole_body
from protocol.errors import ContentDigestMismatch, InvalidSignatureBase, MalformedHeaders, WrongChain
from protocol.readings import SignedReading
from protocol.signature_base import parse_http_headers

__all__ = ["readings"]

_BYTES: Final = RequestBody.model_validate(
    {
        "required": True,
        "description": "The reading's bytes as the device signed them; the media type is signed too.",
        "content": {"*/*": {"schema": {"type": "string", "format": "binary", "maxLength": 1048576}}},
    }
)
_BATCH: Final = RequestBody.model_validate(
    {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/BatchBody"}},
        },
    }
)


def readings(runtime: Runtime) -> APIBlueprint:
    """The addresses below ``/v1/readings``."""
    api = group("readings", "/v1/readings")
    services, ingest = runtime.services, runtime.ingest
    limits = services.limits

    @api.post("", summary="Record one reading", request_body=_BYTES, responses={201: RecordedView})
    @endpoint
    def submit(header: ReadingHeaders) -> Response:
        data = whole_body(limits.reading_bytes)
        try:
            reading = parse_http_headers(request.headers.items(), data, services.chain)
        except InvalidSignatureBase as error:
            raise Refusal(_header_slug(error), str(error), field=error.field or None) from error
        recorded = ingest.submit(Submission(reading, data, header.idempotency_key))
        headers = {"Location": f"/v1/records/{recorded.record.hex()}"}
        if recorded.repeated:
            headers["Idempotent-Replayed"] = "true"
        return answer(_view(recorded), 201, headers)

    @api.post("/batch", summary="Record many readings", request_body=_BATCH, responses={200: BatchAnswer})
    @endpoint
    def submit_batch() -> Response:
        items = _items(json_body(limits.batch_bytes), limits.batch_readings)
        parsed = [_parse(item, position) for position, item in enumerate(items)]
        taken = iter(ingest.submit_many([item for item in parsed if isinstance(item, Submission)]))
        answers = [next(taken) if isinstance(item, Submission) else item for item in parsed]
        return answer(BatchAnswer(answers=[_answer_view(item) for item in answers]))

    return api


def _header_slug(error: InvalidSignatureBase) -> str:
    if isinstance(error, ContentDigestMismatch):
        return "digest-mismatch"
    if isinstance(error, WrongChain):
        return "wrong-chain"
    return "malformed-headers" if isinstance(error, MalformedHeaders) else "malformed"


def _items(body: Any, limit: int) -> list[Any]:
    """The list of readings; what each holds is looked at one by one, so that a bad one harms no other."""
    if not isinstance(body, dict) or body.keys() != {"readings"} or not isinstance(body["readings"], list):
        raise Refusal(
            "invalid-request", '$: an object with the one field "readings", a list', field="$.readings"
        )
    items = body["readings"]
    if not 1 <= len(items) <= limit:
        raise Refusal(
            "invalid-request", f"$.readings: 1 to {limit} readings, not {len(items)}", field="$.readings"
        )
    return items


def _parse(item: Any, position: int) -> Submission | Refusal:
    try:
        fields = validated(ReadingItem, item, f"$.readings[{position}]")
        try:
            data = base64.b64decode(fields.data, validate=True)
        except (binascii.Error, ValueError):
            path = f"$.readings[{position}].data"
            raise Refusal("invalid-request", f"{path}: not base64", field=path) from None
    except Refusal as refusal:
        return refusal
    reading = SignedReading(
        device=fields.device,
        keyid=fields.keyid,
        algorithm=fields.algorithm,
        created=fields.created,
        nonce=fields.nonce,
        content_digest=bytes.fromhex(fields.content_digest),
        content_type=fields.content_type,
        signature=bytes.fromhex(fields.signature),
    )
    return Submission(reading, data, fields.idempotency_key)


def _view(recorded: Recorded) -> RecordedView:
    return RecordedView(
        record=recorded.record.hex(),
        chain=recorded.chain,
        transaction=recorded.transaction,
        index=recorded.index,
        count=recorded.count,
    )


def _answer_view(item: Answer) -> AnswerView:
    if isinstance(item, Refusal):
        return AnswerView(status="refused", problem=ProblemView.model_validate(item.problem.to_json()))
    return AnswerView(status="recorded", recorded=_view(item))
