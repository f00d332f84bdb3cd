"""How requests are read and answers written: strict parsing in, problem documents out.

The framework's own validation is not used: it takes a body of any media type, keeps duplicate keys, and
builds a JSON schema for every request. It makes the OpenAPI document from the same annotations.
"""

from __future__ import annotations

import functools
import json
import logging
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final, ParamSpec, TypeVar

from flask import Response, request
from flask_openapi.blueprint import APIBlueprint
from flask_openapi.models.response import Response as ResponseSpec
from flask_openapi.models.tag import Tag
from flask_openapi.openapi import OpenAPI
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from gateway.problems import MEDIA_TYPE, PROBLEMS, Problem, Refusal
from ledger.errors import ContractRefused, LedgerError
from protocol.encodings import parse_json
from protocol.errors import MalformedJson
from store import StoreError

__all__ = [
    "CHALLENGE",
    "answer",
    "contract_problem",
    "endpoint",
    "group",
    "json_body",
    "problem_response",
    "register_errors",
    "validated",
    "whole_body",
]

P = ParamSpec("P")
Model = TypeVar("Model", bound=BaseModel)
CHALLENGE: Final = 'Bearer realm="edgeproof"'
"""How a client may authenticate itself: with the operator's token."""
_log = logging.getLogger(__name__)
_FRAMEWORK: Final[Mapping[int, str]] = {
    400: "bad-request",
    404: "not-found",
    405: "method-not-allowed",
    406: "not-acceptable",
    413: "too-large",
    415: "unsupported-media-type",
}


def group(name: str, prefix: str) -> APIBlueprint:
    """Addresses below one prefix; each may answer with a problem."""
    problem = ResponseSpec.model_validate(
        {
            "description": "A problem (RFC 9457); its `type` is urn:edgeproof:problem: and a stable slug.",
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemView"}}},
        }
    )
    return APIBlueprint(
        name, __name__, url_prefix=prefix, abp_tags=[Tag(name=name)], abp_responses={"default": problem}
    )


def answer(value: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer; fields that are None are left out."""
    return Response(
        value.model_dump_json(exclude_none=True) + "\n", status, headers, content_type="application/json"
    )


def problem_response(problem: Problem) -> Response:
    """A problem document (RFC 9457)."""
    body = json.dumps(problem.to_json(), ensure_ascii=False) + "\n"
    response = Response(body, problem.status, content_type=MEDIA_TYPE)
    if problem.retry_after is not None:
        response.headers["Retry-After"] = str(problem.retry_after)
    if problem.status == 401:
        response.headers["WWW-Authenticate"] = CHALLENGE  # RFC 9110, section 15.5.2: a 401 names its scheme
    return response


def endpoint(view: Callable[P, Response]) -> Callable[P, Response]:
    """Read the parts that the view's annotations name (``path``, ``query``, ``header``, ``body``) strictly.

    The wrapper keeps the annotations, from which the OpenAPI document is made.
    """
    hints = typing.get_type_hints(view)

    @functools.wraps(view)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Response:
        parts: dict[str, Any] = {}
        if "path" in hints:
            parts["path"] = validated(hints["path"], kwargs, "")
        elif kwargs:
            parts.update(kwargs)
        if "query" in hints:
            parts["query"] = validated(hints["query"], _query(), "")
        if "header" in hints:
            parts["header"] = _headers(hints["header"])
        if "body" in hints:
            parts["body"] = validated(hints["body"], json_body(), "$")
        return view(*args, **parts)

    wrapper.__dict__["__delay_validate_request__"] = True  # the framework's mark: it leaves the parts alone
    return wrapper


def whole_body(limit: int | None = None) -> bytes:
    """The request's whole body, whether its length was declared or it came in chunks.

    Args:
        limit: bytes at most; without one the application's ``MAX_CONTENT_LENGTH``.

    Raises:
        Refusal: ``too-large``.
    """
    limit = request.max_content_length if limit is None else limit
    if limit is None:
        return request.get_data()
    # A stream of unknown length is cut at the maximum without a word: the byte beyond tells.
    request.max_content_length = limit + 1
    too_large = Refusal("too-large", f"the body has more than {limit} bytes")
    try:
        data = request.get_data()
    except RequestEntityTooLarge as error:
        raise too_large from error
    if len(data) > limit:
        raise too_large
    return data


def json_body(limit: int | None = None) -> Any:
    """The request's JSON: no duplicate keys, no floats.

    Args:
        limit: as of ``whole_body``.

    Raises:
        Refusal: another media type, or not such JSON, or too long.
    """
    if request.mimetype != "application/json":
        found = request.mimetype or "nothing"
        raise Refusal(
            "unsupported-media-type", f"application/json is wanted, not {found}", field="Content-Type"
        )
    try:
        return parse_json(whole_body(limit))
    except MalformedJson as error:
        raise Refusal("malformed-json", str(error)) from error


def validated(model: type[Model], value: Any, root: str) -> Model:
    """``value`` as a ``model``.

    Args:
        model: what is wanted.
        value: JSON.
        root: prefix of the JSON path in the problem.

    Raises:
        Refusal: names the first field at fault and what is wrong with it.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
        path = root
        for part in fault["loc"]:
            path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
        raise Refusal("invalid-request", f"{path or 'it'}: {fault['msg']}", field=path or None) from None


def register_errors(app: OpenAPI) -> None:
    """Answer every error with a problem document, the framework's own included."""

    def refusal(error: Refusal) -> Response:
        return problem_response(error.problem)

    def http(error: HTTPException) -> Response:
        code = error.code or 500
        if code < 400:
            return Response(error.get_response().get_data(), code, error.get_headers())
        slug = _FRAMEWORK.get(code, "request-failed" if code < 500 else "internal-error")
        response = problem_response(Problem(slug, error.description or PROBLEMS[slug][1], status=code))
        for name, value in error.get_headers():
            if name.lower() not in ("content-type", "content-length"):
                response.headers[name] = value
        return response

    def contract(error: ContractRefused) -> Response:
        return problem_response(contract_problem(error))

    def ledger(error: LedgerError) -> Response:
        _log.warning("the chain does not answer: %s", error)
        return problem_response(
            Problem("ledger-unavailable", "the chain does not answer at present", retry_after=1)
        )

    def store(error: StoreError) -> Response:
        _log.error("the store does not answer: %s", error)
        return problem_response(
            Problem("store-unavailable", "the store does not answer at present", retry_after=1)
        )

    def unexpected(error: Exception) -> Response:
        _log.exception("%s %s failed", request.method, request.path, exc_info=error)
        return problem_response(Problem("internal-error", "the cause is in the gateway's log"))

    app.register_error_handler(Refusal, refusal)
    app.register_error_handler(HTTPException, http)
    app.register_error_handler(ContractRefused, contract)
    app.register_error_handler(LedgerError, ledger)
    app.register_error_handler(StoreError, store)
    app.register_error_handler(Exception, unexpected)


def contract_problem(error: ContractRefused) -> Problem:
    """What a contract's refusal is to the client."""
    if error.code in PROBLEMS and error.code != "internal-error":
        return Problem(error.code, error.message)
    if error.code == "internal-error" or error.status >= 500:
        _log.error("a contract failed: %s", error)
        return Problem("internal-error", "the contract failed")
    slug = {403: "access-denied", 404: "not-found", 409: "conflict"}.get(error.status, "refused-by-contract")
    return Problem(slug, error.message)


def _query() -> dict[str, str]:
    values: dict[str, str] = {}
    for name, entries in request.args.lists():
        if len(entries) > 1:
            raise Refusal("invalid-request", f"{name} is given twice", field=name)
        values[name] = entries[0]
    return values


def _headers(model: type[BaseModel]) -> BaseModel:
    names = [field.alias or name for name, field in model.model_fields.items()]
    return validated(model, {name: request.headers[name] for name in names if name in request.headers}, "")
