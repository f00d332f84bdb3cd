"""Messages from JSON values: for each type a function that builds it, made once and kept.

Most of a gateway's and a contract's work passes here, a field at a time. Looking a field's type up anew for
every value would cost more than checking the value.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, Union

__all__ = ["Builder", "Unfit", "builder"]

Builder: TypeAlias = Callable[[Any], Any]
"""Makes a value of its type from JSON, or raises ``Unfit``."""

_HEX: Final = re.compile(r"(?:[0-9a-f]{2})*\Z")


class Unfit(Exception):
    """A value does not fit its type. The path of the field grows on the way up, where a fault is rare."""

    def __init__(self, wrong: str) -> None:
        super().__init__(wrong)
        self.wrong = wrong
        self.path = ""

    def below(self, step: str) -> Unfit:
        """The same fault, seen from one level above."""
        self.path = step + self.path
        return self


@functools.cache
def builder(kind: Any) -> Builder:
    """What makes values of ``kind`` from JSON, raising ``Unfit``. Found once a type: types are few."""
    origin = typing.get_origin(kind)
    if origin in (Union, types.UnionType):
        choices = typing.get_args(kind)
        (inner,) = [choice for choice in choices if choice is not type(None)]
        build = builder(inner)
        return _optional(build) if type(None) in choices else build
    if origin is tuple:
        return _list_builder(builder(typing.get_args(kind)[0]))
    if origin is dict or origin is Mapping:
        return _object_builder(builder(typing.get_args(kind)[1]))
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _dataclass_builder(kind)
    if kind in _SCALARS:
        return _SCALARS[kind]
    if isinstance(kind, type) and issubclass(kind, str):
        return _word_builder(kind)
    raise TypeError(f"{kind!r} is no message type")


def _optional(inner: Builder) -> Builder:
    return lambda value: None if value is None else inner(value)


def _list_builder(item: Builder) -> Builder:
    def build(value: Any) -> Any:
        if not isinstance(value, list):
            raise Unfit("a list is wanted")
        built = []
        try:
            for entry in value:
                built.append(item(entry))  # the length is the position of a fault
        except Unfit as unfit:
            raise unfit.below(f"[{len(built)}]") from unfit.__cause__
        return tuple(built)

    return build


def _object_builder(item: Builder) -> Builder:
    def build(value: Any) -> Any:
        if not isinstance(value, dict):
            raise Unfit("an object is wanted")
        built = {}
        key = ""
        try:
            for key, entry in value.items():
                built[key] = item(entry)
        except Unfit as unfit:
            raise unfit.below(f".{key}") from unfit.__cause__
        return built

    return build


def _dataclass_builder(kind: type) -> Builder:
    def build(value: Any) -> Any:
        if not isinstance(value, dict):
            raise Unfit("an object is wanted")
        # Here and not above: a type may hold itself.
        builders = _field_builders(kind)
        if value.keys() != builders.keys():
            if unknown := sorted(value.keys() - builders.keys()):
                raise Unfit(f"unknown field {unknown[0]!r}")
            raise Unfit(f"field {min(builders.keys() - value.keys())!r} is missing")
        built = {}
        name = ""
        try:
            for name, field in builders.items():
                built[name] = field(value[name])
        except Unfit as unfit:
            raise unfit.below(f".{name}") from unfit.__cause__
        try:
            return kind(**built)
        except ValueError as error:  # a dataclass may check its own fields in __post_init__
            raise Unfit(str(error)) from error

    return build


@functools.cache
def _field_builders(kind: type) -> dict[str, Builder]:
    hints = typing.get_type_hints(kind)
    return {field.name: builder(hints[field.name]) for field in dataclasses.fields(kind)}


def _word_builder(kind: type[str]) -> Builder:
    def build(value: Any) -> Any:
        if not isinstance(value, str):
            raise Unfit("text is wanted")
        try:
            return kind(value)
        except ValueError as error:  # a StrEnum that does not know the word
            raise Unfit(str(error)) from error

    return build


def _bytes(value: Any) -> bytes:
    if not isinstance(value, str) or _HEX.match(value) is None:
        raise Unfit("lower-case hex is wanted")
    return bytes.fromhex(value)


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Unfit("true or false is wanted")
    return value


def _int(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise Unfit("an integer is wanted")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Unfit("text is wanted")
    return value


_SCALARS: Final[Mapping[Any, Builder]] = {bytes: _bytes, bool: _bool, int: _int, str: _text}
