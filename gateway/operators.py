"""The operator's token: who may have the gateway record in its own name (RFC 6750, section 2.1).

Devices prove themselves by signatures and owners by authorisations, each checked by the contracts. Where the
contracts only ask for the gateway's identity, reaching the gateway must not be enough: its operator's token
is asked for. Every refusal is the same answer, whatever was wrong with what was shown.
"""

from __future__ import annotations

import functools
import hmac
from collections.abc import Callable
from typing import Any, Final, ParamSpec

from flask import Response, request
from flask_openapi.models.response import Response as ResponseSpec

from gateway.problems import MEDIA_TYPE, Refusal

__all__ = ["SCHEME", "SECURITY", "UNAUTHORISED", "operator_only"]

P = ParamSpec("P")

SCHEME: Final = "operator"
"""Name of the OpenAPI document's security scheme."""
SECURITY: Final[list[dict[str, list[Any]]]] = [{SCHEME: []}]
UNAUTHORISED: Final = ResponseSpec.model_validate(
    {
        "description": "The problem not-authorised: the operator's token is not shown.",
        "headers": {"WWW-Authenticate": {"schema": {"type": "string"}, "required": True}},
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemView"}}},
    }
)


def operator_only(token: str | None) -> Callable[[Callable[P, Response]], Callable[P, Response]]:
    """Let a view answer only those who show the operator's token; asked before anything else is read.

    Args:
        token: the one that is right; None where this gateway has no operator's interface.

    Raises:
        Refusal: ``not-provided`` without a token of our own, ``not-authorised`` when it is not shown.
    """
    expected = None if token is None else token.encode()

    def decorate(view: Callable[P, Response]) -> Callable[P, Response]:
        @functools.wraps(view)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> Response:
            if expected is None:
                raise Refusal("not-provided", "this gateway records nothing for an operator")
            if not hmac.compare_digest(_shown(), expected):
                raise Refusal(
                    "not-authorised",
                    "the operator's token is wanted as a bearer token",
                    field="Authorization",
                )
            return view(*args, **kwargs)

        return wrapper

    return decorate


def _shown() -> bytes:
    """The bearer token of the request; empty where there is none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    # "surrogatepass": whatever a server makes of strange bytes is no token, and no fault of ours either.
    return token.strip(" ").encode("utf-8", "surrogatepass") if scheme.lower() == "bearer" else b""
