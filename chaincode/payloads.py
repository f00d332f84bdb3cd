"""The response payload of a contract function: the result, and the name of the function that made it.

An element of a chain binds the payload's hash and nothing of the call, so whoever is shown a proven payload
must see from the payload alone which function answered it; otherwise the result of a query could pass for the
result of a vote. The form is canonical JSON ``{"result": <message>, "type": "<contract:function>"}``.
"""

from __future__ import annotations

from typing import Any

from chaincode.api import Message
from protocol.encodings import canonical_json, from_json, parse_canonical_json, to_json
from protocol.errors import SchemaMismatch

__all__ = ["decode_result", "encode_result"]


def encode_result(function: str, message: object) -> bytes:
    """The payload that ``function`` answers with."""
    return canonical_json({"result": to_json(message), "type": function})


def decode_result(kind: type[Message], payload: bytes) -> Any:
    """The result of a call of ``kind``, of type ``kind.RESULT``.

    Raises:
        MalformedJson: not canonical JSON.
        SchemaMismatch: another function's payload, or not such a result.
    """
    value = parse_canonical_json(payload)
    if not isinstance(value, dict) or value.keys() != {"result", "type"}:
        raise SchemaMismatch("$: a payload has the fields result and type")
    if value["type"] != kind.FUNCTION:
        raise SchemaMismatch(f"$.type: {kind.FUNCTION} is wanted, not {str(value['type'])[:80]!r}")
    return from_json(kind.RESULT, value["result"], "$.result")
