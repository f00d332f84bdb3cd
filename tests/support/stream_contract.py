"""A small contract that uses the state in every way, for the chaincode server's tests."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import islice
from typing import Any

from fake_peer import FakePeer

from chaincode.context import Context
from chaincode.errors import Conflict, error_from_message

Start = Callable[..., FakePeer]
PACKAGE = "edgeproof:0123"


def contract(context: Context, function: str, argument: bytes) -> bytes:
    """Small functions that use the state in every way."""
    state, text = context.state, argument.decode()
    if function == "put":
        key, value = text.split("=")
        before = state.get(key)
        state.put(key, value.encode())
        assert state.get(key) == before, "a transaction does not see its own writes"
        return before or b"-"
    if function == "delete":
        state.delete(text)
    elif function == "many":
        keys = text.split(",")
        found = state.get_many(keys)
        for number, (key, value) in enumerate(zip(keys, found, strict=True)):
            if value is None:
                state.put(key, b"new%d" % number)
            else:
                state.delete(key)
        return b";".join(value or b"-" for value in found)
    elif function == "range":
        start, end, limit = text.split(",")
        found = islice(state.range(start, end), int(limit) if limit else None)
        return ";".join(f"{key}={value.decode()}" for key, value in found).encode()
    elif function == "event":
        state.set_event(text, b"\x00payload")
    elif function == "facts":
        creator = context.creator
        facts = (
            context.chain,
            context.transaction_id,
            context.timestamp_ms,
            creator.msp_id,
            creator.role.value,
        )
        return repr(facts).encode()
    elif function == "refuse":
        state.put("never", b"written")
        state.set_event("never", b"sent")
        raise Conflict("not now", {"why": text})
    elif function == "exit":
        sys.exit(3)
    elif function == "big":
        return b"x" * int(text)
    else:
        return state.get(text) or b"-"
    return b""


def refusal(response: Any) -> str:
    error = error_from_message(response.message, response.status)
    assert error is not None
    assert not response.payload
    return error.code
