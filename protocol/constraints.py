"""What a message's fields may hold, written once: checked when it is made, and said in its JSON Schema.

A field's type is annotated (``Digest``, ``Ordinal``, …); ``check_fields`` in ``__post_init__`` enforces it.
The codec turns the ``ValueError`` into ``SchemaMismatch``.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import functools
import re
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Final

from protocol import names

__all__ = [
    "Base64",
    "ChainId",
    "Choices",
    "Count",
    "Digest",
    "Length",
    "Minimum",
    "Name",
    "Ordinal",
    "Pattern",
    "check_ascending",
    "check_distinct",
    "check_fields",
    "from_base64",
    "to_base64",
]


@dataclass(frozen=True)
class Length:
    """Exactly so many bytes."""

    size: int


@dataclass(frozen=True)
class Minimum:
    """An integer not below ``value``."""

    value: int


@dataclass(frozen=True)
class Pattern:
    """Text that matches as a whole."""

    expression: str


@dataclass(frozen=True)
class Choices:
    """Text that is one of these."""

    values: tuple[str, ...]


BASE64_PATTERN: Final = r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)?"

Digest = Annotated[bytes, Length(32)]
Count = Annotated[int, Minimum(0)]
Ordinal = Annotated[int, Minimum(1)]
ChainId = Annotated[str, Pattern(names.CHAIN)]
Name = Annotated[str, Pattern(names.NAME)]
Base64 = Annotated[str, Pattern(BASE64_PATTERN)]
"""Base64 with padding; the one form for the bytes (spare bits are zero)."""


def to_base64(raw: bytes) -> str:
    """Base64 text with padding."""
    return base64.b64encode(raw).decode("ascii")


def from_base64(text: str) -> bytes:
    """The bytes of canonical base64 text.

    Raises:
        ValueError: anything that ``to_base64`` would not write.
    """
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"not base64: {error}") from error
    if to_base64(raw) != text:
        raise ValueError("base64 with spare bits set")
    return raw


def check_fields(message: object) -> None:
    """Check every annotated field of a dataclass, and the items of annotated tuples.

    Raises:
        ValueError: naming the field.
    """
    kind: type = type(message)
    for name, limit, many in _limits(kind):
        value = getattr(message, name)
        for item in value if many else (value,):
            _check(name, limit, item)


def check_ascending(keys: Iterable[Any], what: str) -> None:
    """See that keys rise strictly: sorted, and none twice.

    Raises:
        ValueError: naming ``what``.
    """
    for left, right in pairwise(keys):
        if not left < right:
            raise ValueError(f"{what} are not sorted, or one is there twice")


def check_distinct(keys: Iterable[Any], what: str) -> None:
    """See that no key is there twice.

    Raises:
        ValueError: naming ``what``.
    """
    listed = list(keys)
    if len(set(listed)) != len(listed):
        raise ValueError(f"{what}: one is there twice")


def limits_of(hint: Any) -> tuple[Any, ...]:
    """The limits that an annotated type carries; () for a plain one."""
    return tuple(typing.get_args(hint)[1:]) if typing.get_origin(hint) is Annotated else ()


@functools.cache
def _limits(kind: type) -> tuple[tuple[str, Any, bool], ...]:
    found: list[tuple[str, Any, bool]] = []
    hints = typing.get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        found += [(field.name, limit, False) for limit in limits_of(hint)]
        if typing.get_origin(hint) is tuple:
            found += [(field.name, limit, True) for limit in limits_of(typing.get_args(hint)[0])]
    return tuple(found)


def _check(name: str, limit: Any, value: Any) -> None:
    match limit:
        case Length(size) if len(value) != size:
            raise ValueError(f"{name} has {len(value)} bytes, not {size}")
        case Minimum(least) if value < least:
            raise ValueError(f"{name} is below {least}")
        case Choices(values) if value not in values:
            raise ValueError(f"{name} is none of {', '.join(values)}")
        case Pattern(expression) if not _matches(expression, value):
            raise ValueError(f"{name} is not in its form")


def _matches(expression: str, value: str) -> bool:
    if re.fullmatch(expression, value) is None:
        return False
    if expression == BASE64_PATTERN:
        from_base64(value)
    return True
