"""By what an element is found again: the function that made its payload, and the key fields of the result.

Pure. Only valid elements count, and only payloads that name the function that was called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from protocol.elements import ElementView, result_of

__all__ = ["ACCEPTED", "ANCHOR", "keys_of"]

ANCHOR: Final = "interlock:accept"
"""Kind of accepted anchors; key ``<chain>/<number>``."""
ACCEPTED: Final = "accepted"
"""Kind of votes after which a subject stood accepted; key ``<subject>/<run>/<number>``."""

_KEYS: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "organisations:register": lambda result: f"{result['msp_id']}",
    "devices:enrol": lambda result: f"{result['device']}",
    "devices:grant": lambda result: f"{result['device']}@{result['gateway']}",
    ANCHOR: lambda result: f"{result['chain']}/{result['number']}",
    "runs:create": lambda result: f"{result['run']}",
    "runs:adopt": lambda result: f"{result['run']}",
    "steps:submit": lambda result: f"{result['run']}/{result['number']}/{result['attempt']}",
    "models:commit": lambda result: f"{result['run']}/{result['version']}/{result['attempt']}",
    "models:publish": lambda result: f"{result['run']}/{result['version']}",
}


def keys_of(view: ElementView) -> tuple[tuple[str, str], ...]:
    """Kind and key under which an element is found; none for what cannot be read or is not valid."""
    result = result_of(view, view.function)
    if result is None:
        return ()
    try:
        if view.function == "attestations:attest":
            if result["state"] != "accepted":
                return ()
            return ((ACCEPTED, f"{result['subject']}/{result['run']}/{result['number']}"),)
        key = _KEYS.get(view.function)
        return () if key is None else ((view.function, key(result)),)
    except KeyError:
        return ()  # a payload of another shape than this version's: nothing is found by it
