"""The contract of Table I: one value under one key.

``python -m benchmarks.contract`` serves it beside a peer and takes the options of ``python -m chaincode``.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import ClassVar

from chaincode.context import Context
from chaincode.payloads import encode_result
from protocol.encodings import decode

__all__ = ["Put", "invoke"]


@dataclass(frozen=True)
class Put:
    """Write ``value`` under ``key``."""

    FUNCTION: ClassVar[str] = "bench:put"
    RESULT: ClassVar[type[Put]]
    key: str
    value: str


Put.RESULT = Put


def invoke(context: Context, function: str, argument: bytes) -> bytes:
    """Run a call of this contract."""
    message = decode(Put, argument)
    context.state.put(message.key, message.value.encode())
    return encode_result(function, Put(message.key, ""))


if __name__ == "__main__":
    from chaincode.__main__ import main

    sys.exit(main(invoke=invoke))
