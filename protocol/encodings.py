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
import re
import types
import typing
from collections.abc import Mapping
from typing import Any, Final, TypeAlias, TypeVar, Union

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
_HEX: Final = re.compile(r"(?:[0-9a-f]{2})*\Z")


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
    try:
        return json.dumps(
            value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
        ).encode()
    except (UnicodeEncodeError, ValueError) as error:
        raise MalformedJson(f"cannot be encoded: {error}") from error


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
    if canonical_json(value) != raw:
        raise MalformedJson("not in canonical form (sorted keys, no white space, UTF-8)")
    return value


def to_json(value: Any) -> Json:
    """The JSON value of a message (see the module's text for the mapping)."""
    if value is None or isinstance(value, bool | int | str):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    raise SchemaMismatch(f"a {type(value).__name__} has no JSON form")


def from_json(kind: type[T], value: Json, path: str = "$") -> T:
    """The message of type ``kind`` that ``value`` stands for; every field required, none unknown.

    Raises:
        SchemaMismatch: with the path of the field at fault.
    """
    return typing.cast(T, _build(kind, value, path))


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
def _fields(kind: type) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _build(kind: Any, value: Json, path: str) -> Any:
    origin = typing.get_origin(kind)
    if origin in (Union, types.UnionType):
        choices = typing.get_args(kind)
        if value is None and type(None) in choices:
            return None
        (inner,) = [choice for choice in choices if choice is not type(None)]
        return _build(inner, value, path)
    if origin is tuple:
        if not isinstance(value, list):
            raise SchemaMismatch(f"{path}: a list is wanted")
        item = typing.get_args(kind)[0]
        return tuple(_build(item, entry, f"{path}[{position}]") for position, entry in enumerate(value))
    if origin is dict or origin is Mapping:
        if not isinstance(value, dict):
            raise SchemaMismatch(f"{path}: an object is wanted")
        item = typing.get_args(kind)[1]
        return {key: _build(item, entry, f"{path}.{key}") for key, entry in value.items()}
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _build_dataclass(kind, value, path)
    return _build_scalar(kind, value, path)


def _build_dataclass(kind: type, value: Json, path: str) -> Any:
    if not isinstance(value, dict):
        raise SchemaMismatch(f"{path}: an object is wanted")
    fields = _fields(kind)
    if unknown := sorted(value.keys() - fields.keys()):
        raise SchemaMismatch(f"{path}: unknown field {unknown[0]!r}")
    if missing := sorted(fields.keys() - value.keys()):
        raise SchemaMismatch(f"{path}: field {missing[0]!r} is missing")
    built = {name: _build(hint, value[name], f"{path}.{name}") for name, hint in fields.items()}
    try:
        return kind(**built)
    except ValueError as error:  # a dataclass may check its own fields in __post_init__
        raise SchemaMismatch(f"{path}: {error}") from error


def _build_scalar(kind: Any, value: Json, path: str) -> Any:
    if kind is bytes:
        if not isinstance(value, str) or _HEX.match(value) is None:
            raise SchemaMismatch(f"{path}: lower-case hex is wanted")
        return bytes.fromhex(value)
    if kind is bool:
        if not isinstance(value, bool):
            raise SchemaMismatch(f"{path}: true or false is wanted")
        return value
    if kind is int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise SchemaMismatch(f"{path}: an integer is wanted")
        return value
    if isinstance(kind, type) and issubclass(kind, str):
        if not isinstance(value, str):
            raise SchemaMismatch(f"{path}: text is wanted")
        try:
            return kind(value)
        except ValueError as error:  # a StrEnum that does not know the word
            raise SchemaMismatch(f"{path}: {error}") from error
    raise TypeError(f"{path}: {kind!r} is no message type")


def _check(value: Any, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise MalformedJson(f"nested deeper than {_MAX_DEPTH}")
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, str):
        _check_text(value)
        return
    if isinstance(value, int):
        if abs(value) > MAX_INT:
            raise MalformedJson("an integer beyond 2^53-1")
        return
    if isinstance(value, list):
        for item in value:
            _check(item, depth + 1)
        return
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise MalformedJson("a key that is no text")
            _check_text(key)
            _check(item, depth + 1)
        return
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
