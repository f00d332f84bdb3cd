"""JSON Schema (2020-12) of the message types, made from the dataclasses themselves.

``python -m protocol.schema docs/bundle-v1.schema.json`` writes the bundle's. It says what JSON Schema can
say; order, uniqueness by key and everything cryptographic are beyond it.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import sys
import textwrap
import types
import typing
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from protocol.constraints import Choices, Length, Minimum, Pattern, limits_of
from protocol.encodings import MAX_INT, Json

__all__ = ["json_schema", "serialise_schema"]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(kind: type, title: str) -> Json:
    """The schema of ``kind``; each nested dataclass is a definition, each attribute docstring a description.

    Raises:
        TypeError: a field of a type that the codec does not know.
    """
    definitions: dict[str, Json] = {}
    root = _definition(kind, definitions)
    return {"$schema": _DIALECT, "title": title, **root, "$defs": dict(sorted(definitions.items()))}


def serialise_schema(schema: Json) -> str:
    """The schema as the file in docs/ has it."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _definition(kind: type, definitions: dict[str, Json]) -> dict[str, Json]:
    hints = typing.get_type_hints(kind, include_extras=True)
    described = _descriptions(kind)
    properties: dict[str, Json] = {}
    for field in dataclasses.fields(kind):
        entry = _type(hints[field.name], definitions)
        if field.name in described:
            entry = {"description": described[field.name], **entry}
        properties[field.name] = entry
    return {
        "description": _flat((kind.__doc__ or "").partition("\n\n")[0]),
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _type(hint: Any, definitions: dict[str, Json]) -> dict[str, Json]:
    origin = typing.get_origin(hint)
    if origin is Annotated:
        entry = _type(typing.get_args(hint)[0], definitions)
        for limit in limits_of(hint):
            entry |= _limit(limit)
        return entry
    if origin is tuple:
        return {"type": "array", "items": _type(typing.get_args(hint)[0], definitions)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _type(typing.get_args(hint)[1], definitions)}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_type(choice, definitions) for choice in typing.get_args(hint)]}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if hint.__name__ not in definitions:
            definitions[hint.__name__] = None  # a place held against recursion
            definitions[hint.__name__] = _definition(hint, definitions)
        return {"$ref": f"#/$defs/{hint.__name__}"}
    return _scalar(hint)


def _scalar(hint: Any) -> dict[str, Json]:
    if hint is bytes:
        return {"type": "string", "pattern": "^(?:[0-9a-f]{2})*$"}
    if hint is bool:
        return {"type": "boolean"}
    if hint is int:
        return {"type": "integer", "minimum": -MAX_INT, "maximum": MAX_INT}
    if hint is type(None):
        return {"type": "null"}
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return {"type": "string", "enum": [item.value for item in hint]}
    if hint is str:
        return {"type": "string"}
    raise TypeError(f"{hint!r} is no message type")


def _limit(limit: Any) -> dict[str, Json]:
    match limit:
        case Length(size):
            return {"pattern": f"^[0-9a-f]{{{2 * size}}}$"}
        case Minimum(least):
            return {"minimum": least}
        case Pattern(expression):
            return {"pattern": f"^(?:{expression})$"}
        case Choices(values):
            return {"const": values[0]} if len(values) == 1 else {"enum": list(values)}
    raise TypeError(f"{limit!r} has no form in JSON Schema")


def _descriptions(kind: type) -> dict[str, str]:
    """The string below each attribute of a class, which Python itself throws away."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for before, after in zip(tree.body, tree.body[1:], strict=False):
        match before, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = _flat(text)
    return found


def _flat(text: str) -> str:
    return " ".join(text.split())


def main(arguments: list[str]) -> None:
    """Write the bundle's schema to the file that is named."""
    from protocol.bundle import BUNDLE_SCHEMA, Bundle

    (target,) = arguments
    Path(target).write_text(serialise_schema(json_schema(Bundle, BUNDLE_SCHEMA)), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
