"""Canonical encodings: one value, one sequence of bytes.

Two forms serve the whole project. *Canonical JSON* carries messages: UTF-8, keys sorted by code point, no
white space, strings, integers, booleans, null, lists and objects; no floating point, no duplicate key, and
nothing that re-encodes to other bytes is accepted. *Tagged hashes* bind fields: a domain tag and every field
are length-prefixed with eight big-endian bytes before SHA-256, so that no two lists of fields share an
encoding (seed 003, section IV.A concatenates ``blk||i`` without a separator, which is ambiguous).

Messages are frozen dataclasses. ``to_json`` and ``from_json`` map them strictly: ``bytes`` become lower-case
hex, tuples become lists, nested dataclasses become objects, ``None`` becomes null.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import typing
from collections.abc import Mapping
from typing import Any, Final, TypeAlias, TypeVar

from protocol.building import Unfit, builder
from protocol.errors import MalformedJson, SchemaMismatch

__all__ = [
    "MAX_INT",
    "Json",
    "canonical_json",
    "decode",
    "encode",
    "from_json",
    "parse_canonical_json",
    "parse_json",
    "sha256",
    "tagged_hash",
    "to_json",
]

Json: TypeAlias = bool | int | str | list[Any] | dict[str, Any] | None
T = TypeVar("T")

# Integers beyond 2^53 lose digits in other languages' JSON readers: larger numbers travel as hex text.
MAX_INT: Final = 2**53 - 1
_MAX_DEPTH: Final = 32
_PLAIN: Final = frozenset({str, int, bool, type(None)})


def sha256(data: bytes) -> bytes:
    """SHA-256 of ``data``, 32 bytes."""
    return hashlib.sha256(data).digest()


def tagged_hash(tag: str, *fields: bytes | int | str) -> bytes:
    """SHA-256 over a domain tag and length-prefixed fields.

    Args:
        tag: versioned domain, for example ``edgeproof/element/v1``.
        fields: bytes as they are, text as UTF-8, integers as eight big-endian bytes.

    Returns:
        32 bytes.

    Raises:
        OverflowError: an integer is negative or does not fit in eight bytes.
    """
    hasher = hashlib.sha256()
    for field in (tag, *fields):
        if isinstance(field, int):
            raw = field.to_bytes(8, "big")
        elif isinstance(field, str):
            raw = field.encode()
        else:
            raw = field
        hasher.update(len(raw).to_bytes(8, "big"))
        hasher.update(raw)
    return hasher.digest()


def canonical_json(value: Json) -> bytes:
    """The one encoding of ``value``.

    Raises:
        MalformedJson: a float, an integer beyond 2^53-1, a key that is no string, or text that is not UTF-8.
    """
    _check(value, 0)
    return _write(value)


def parse_json(raw: bytes | str) -> Json:
    """Read JSON without duplicate keys, floats, huge integers or deep nesting; white space is allowed.

    Raises:
        MalformedJson: with what is wrong.
    """
    try:
        text = raw.decode() if isinstance(raw, bytes) else raw
        value: Json = json.loads(
            text,
            object_pairs_hook=_no_duplicates,
            parse_float=_no_float,
            parse_constant=_no_float,
            parse_int=_small_int,
        )
    except MalformedJson:
        raise
    except (ValueError, RecursionError) as error:
        raise MalformedJson(f"not JSON: {error}") from error
    _check(value, 0)
    return value


def parse_canonical_json(raw: bytes) -> Json:
    """Read ``raw`` and refuse it unless it is exactly what ``canonical_json`` would write.

    Raises:
        MalformedJson: not JSON, or not the canonical form.
    """
    value = parse_json(raw)
    if _write(value) != raw:
        raise MalformedJson("not in canonical form (sorted keys, no white space, UTF-8)")
    return value


def to_json(value: Any) -> Json:
    """The JSON value of a message (see the module's text for the mapping)."""
    kind: Any = type(value)
    if kind in _PLAIN:
        return typing.cast(Json, value)
    if kind is bytes:
        return typing.cast(bytes, value).hex()
    names = _names(kind)
    if names is not None:
        return {
            name: item if type(item := getattr(value, name)) in _PLAIN else to_json(item) for name in names
        }
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return value
    if isinstance(value, bytes):
        return value.hex()
    raise SchemaMismatch(f"a {kind.__name__} has no JSON form")


def from_json(kind: type[T], value: Json, path: str = "$") -> T:
    """The message of type ``kind`` that ``value`` stands for; every field required, none unknown.

    Raises:
        SchemaMismatch: with the path of the field at fault.
    """
    try:
        return typing.cast(T, builder(typing.cast(Any, kind))(value))
    except Unfit as unfit:
        raise SchemaMismatch(f"{path}{unfit.path}: {unfit.wrong}") from unfit.__cause__


def encode(message: Any) -> bytes:
    """Canonical JSON bytes of a message."""
    return canonical_json(to_json(message))


def decode(kind: type[T], raw: bytes) -> T:
    """Read canonical JSON bytes as a message of type ``kind``.

    Raises:
        MalformedJson: the bytes are not canonical JSON.
        SchemaMismatch: the JSON is not such a message.
    """
    return from_json(kind, parse_canonical_json(raw))


@functools.cache
def _names(kind: Any) -> tuple[str, ...] | None:
    """Names of a dataclass's fields; None for another type."""
    if not dataclasses.is_dataclass(kind):
        return None
    return tuple(field.name for field in dataclasses.fields(kind))


_encoder: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"), check_circular=False
)


def _write(value: Json) -> bytes:
    """The encoding of a value that ``_check`` has passed."""
    try:
        return _encoder.encode(value).encode()
    except (UnicodeEncodeError, ValueError) as error:
        raise MalformedJson(f"cannot be encoded: {error}") from error


def _check(value: Any, depth: int) -> None:
    """Refuse what has no canonical form. Every message passes here, most of them more than once."""
    if depth > _MAX_DEPTH:
        raise MalformedJson(f"nested deeper than {_MAX_DEPTH}")
    kind = type(value)
    if kind is str:
        if not value.isascii():
            _check_text(value)
    elif kind is dict:
        below = depth + 1
        for key, item in value.items():
            if not isinstance(key, str):
                raise MalformedJson("a key that is no text")
            if not key.isascii():
                _check_text(key)
            # Short ASCII text makes up most of every message: it is looked at here, without a call.
            if type(item) is not str or below > _MAX_DEPTH or not item.isascii():
                _check(item, below)
    elif kind is list:
        for item in value:
            _check(item, depth + 1)
    elif kind is int:
        if not -MAX_INT <= value <= MAX_INT:
            raise MalformedJson("an integer beyond 2^53-1")
    elif kind is not bool and value is not None:
        _check_subclass(value, depth)


def _check_subclass(value: Any, depth: int) -> None:
    """As ``_check``, for values of derived types, such as enumerations."""
    if isinstance(value, str):
        _check(str(value), depth)
    elif isinstance(value, int):
        _check(int(value), depth)
    elif isinstance(value, list):
        _check(list(value), depth)
    elif isinstance(value, dict):
        _check(dict(value), depth)
    else:
        raise MalformedJson(f"a {type(value).__name__} is no canonical JSON value")


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:  # a lone surrogate: JSON can escape it, UTF-8 cannot carry it
        raise MalformedJson("text that is not UTF-8") from error


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise MalformedJson("a key appears twice")
    return result


def _no_float(text: str) -> Any:
    raise MalformedJson(f"a floating-point number ({text[:20]})")


def _small_int(text: str) -> int:
    if len(text) > 17:
        raise MalformedJson("an integer beyond 2^53-1")
    return int(text)
