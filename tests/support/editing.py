"""Editing bundles as a colluding chain could have made them: payloads change, nothing else follows."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from protocol.bundle import Bundle, ProvenElement
from protocol.encodings import canonical_json

Edit = Callable[[dict[str, Any]], None]


def kind_of(element: ProvenElement) -> str:
    """The function that made an element's payload."""
    return str(json.loads(element.payload)["type"])


def result_of(element: ProvenElement) -> dict[str, Any]:
    """The result in an element's payload."""
    return dict(json.loads(element.payload)["result"])


def edited(
    bundle: Bundle,
    function: str,
    edit: Edit,
    where: Callable[[ProvenElement, dict[str, Any]], bool] = lambda element, result: True,
    **fields: object,
) -> Bundle:
    """The bundle with the first fitting element's result edited in place, and its own fields replaced."""
    elements = list(bundle.elements)
    for position, element in enumerate(elements):
        if kind_of(element) == function and where(element, result_of(element)):
            result = result_of(element)
            edit(result)
            payload = canonical_json({"result": result, "type": function}).decode()
            elements[position] = replace(element, payload=payload, **fields)
            return replace(bundle, elements=tuple(sorted(elements, key=lambda one: one.key)))
    raise LookupError(f"no {function} in the bundle")
