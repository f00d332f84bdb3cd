"""A small contract for ledger tests: puts, gets, counts, ranges, events, refusals.

It knows nothing of the product's contracts, and runs wherever a ``WorldState`` does.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from chaincode.context import Context
from chaincode.errors import Conflict, UnknownFunction
from chaincode.payloads import encode_result
from protocol.encodings import decode


@dataclass(frozen=True)
class Answer:
    text: str


@dataclass(frozen=True)
class Put:
    """Writes without reading: never conflicts."""

    FUNCTION: ClassVar[str] = "scratch:put"
    RESULT: ClassVar[type[Answer]] = Answer
    key: str
    value: str


@dataclass(frozen=True)
class Get:
    FUNCTION: ClassVar[str] = "scratch:get"
    RESULT: ClassVar[type[Answer]] = Answer
    key: str


@dataclass(frozen=True)
class Delete:
    FUNCTION: ClassVar[str] = "scratch:delete"
    RESULT: ClassVar[type[Answer]] = Answer
    key: str


@dataclass(frozen=True)
class Increment:
    """Reads and writes one key: conflicts with itself."""

    FUNCTION: ClassVar[str] = "scratch:increment"
    RESULT: ClassVar[type[Answer]] = Answer
    key: str


@dataclass(frozen=True)
class ReadOwnWrite:
    """Puts, and answers what a get sees after that."""

    FUNCTION: ClassVar[str] = "scratch:readOwnWrite"
    RESULT: ClassVar[type[Answer]] = Answer
    key: str
    value: str


@dataclass(frozen=True)
class ListKeys:
    """The keys of a range, or its first ``limit``; writes their number under ``into`` if that is given."""

    FUNCTION: ClassVar[str] = "scratch:list"
    RESULT: ClassVar[type[Answer]] = Answer
    start: str
    end: str
    limit: int
    into: str


@dataclass(frozen=True)
class Emit:
    FUNCTION: ClassVar[str] = "scratch:emit"
    RESULT: ClassVar[type[Answer]] = Answer
    name: str
    text: str


@dataclass(frozen=True)
class Refuse:
    """Writes, then refuses."""

    FUNCTION: ClassVar[str] = "scratch:refuse"
    RESULT: ClassVar[type[Answer]] = Answer
    key: str


@dataclass(frozen=True)
class Crash:
    FUNCTION: ClassVar[str] = "scratch:crash"
    RESULT: ClassVar[type[Answer]] = Answer
    secret: str


@dataclass(frozen=True)
class WhoAmI:
    FUNCTION: ClassVar[str] = "scratch:whoAmI"
    RESULT: ClassVar[type[Answer]] = Answer


@dataclass(frozen=True)
class PutMany:
    """``count`` values of ``size`` characters, each key read first, as a batch of records does."""

    FUNCTION: ClassVar[str] = "scratch:putMany"
    RESULT: ClassVar[type[Answer]] = Answer
    prefix: str
    count: int
    size: int
    ballast: str
    """Makes the argument as large as one likes."""


@dataclass(frozen=True)
class Waver:
    """Gives every endorser another result: what no contract may do."""

    FUNCTION: ClassVar[str] = "scratch:waver"
    RESULT: ClassVar[type[Answer]] = Answer
    key: str


@dataclass(frozen=True)
class Unknown:
    FUNCTION: ClassVar[str] = "scratch:nothing"
    RESULT: ClassVar[type[Answer]] = Answer


_turn = itertools.count()


def _put(context: Context, message: Put) -> str:
    context.state.put(message.key, message.value.encode())
    return message.value


def _get(context: Context, message: Get) -> str:
    return (context.state.get(message.key) or b"").decode()


def _delete(context: Context, message: Delete) -> str:
    context.state.delete(message.key)
    return ""


def _increment(context: Context, message: Increment) -> str:
    value = str(int(context.state.get(message.key) or b"0") + 1)
    context.state.put(message.key, value.encode())
    return value


def _read_own_write(context: Context, message: ReadOwnWrite) -> str:
    context.state.put(message.key, message.value.encode())
    return (context.state.get(message.key) or b"").decode()


def _list(context: Context, message: ListKeys) -> str:
    keys = []
    for key, _ in context.state.range(message.start, message.end):
        keys.append(key)
        if message.limit and len(keys) == message.limit:
            break
    if message.into:
        context.state.put(message.into, str(len(keys)).encode())
    return ",".join(keys)


def _emit(context: Context, message: Emit) -> str:
    context.state.set_event(message.name, message.text.encode())
    return message.text


def _refuse(context: Context, message: Refuse) -> str:
    context.state.put(message.key, b"refused")
    raise Conflict("not today", [{"index": 3, "code": "because"}])


def _crash(context: Context, message: Crash) -> str:
    raise RuntimeError(message.secret)


def _who_am_i(context: Context, message: WhoAmI) -> str:
    creator = context.creator
    facts = (creator.msp_id, creator.role.value, creator.common_name, context.chain, context.transaction_id)
    return " ".join(facts)


def _put_many(context: Context, message: PutMany) -> str:
    keys = [f"{message.prefix}/{index}" for index in range(message.count)]
    for key, found in zip(keys, context.state.get_many(keys), strict=True):
        context.state.put(key, b"v" * (message.size + len(found or b"")))
    return str(message.count)


def _waver(context: Context, message: Waver) -> str:
    context.state.put(message.key, str(next(_turn)).encode())
    return ""


_HANDLERS: dict[str, tuple[type, Callable[..., str]]] = {
    kind.FUNCTION: (kind, handler)
    for kind, handler in (
        (Put, _put),
        (Get, _get),
        (Delete, _delete),
        (Increment, _increment),
        (ReadOwnWrite, _read_own_write),
        (ListKeys, _list),
        (Emit, _emit),
        (Refuse, _refuse),
        (Crash, _crash),
        (WhoAmI, _who_am_i),
        (PutMany, _put_many),
        (Waver, _waver),
    )
}


def invoke(context: Context, function: str, argument: bytes) -> bytes:
    """The contract's entry, as ``chaincode.registry.invoke`` is the product's."""
    if function not in _HANDLERS:
        raise UnknownFunction(f"no function {function!r}")
    kind, handler = _HANDLERS[function]
    return encode_result(function, Answer(handler(context, decode(kind, argument))))
