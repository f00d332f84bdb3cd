"""Altering a JSON tree at every leaf in turn."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

_HEX = re.compile(r"(?:[0-9a-f]{2})+")


def mutations(tree: Any) -> Iterator[tuple[str, str, Any]]:
    """Path, kind of change, and the whole tree with that one change.

    Scalars are changed, list entries are removed, doubled and swapped with the next, fields are removed and
    added. Text that is JSON itself (a response payload) is also changed at each of its own leaves, in its
    canonical form.
    """
    for path, steps in _nodes(tree, "", ()):
        node = _at(tree, steps)
        for kind, value in _changes(node):
            if value != node:
                yield path, kind, _replaced(tree, steps, value)
        if (payload := _json_in(node)) is not None:
            for inner, kind, value in mutations(payload):
                text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
                yield f"{path}>{inner}", kind, _replaced(tree, steps, text)


def pattern(path: str) -> str:
    """The path with every list position left open."""
    return re.sub(r"\[\d+\]", "[]", path)


def _nodes(node: Any, path: str, steps: tuple[Any, ...]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    yield path or "$", steps
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _nodes(value, f"{path}.{key}".lstrip("."), (*steps, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _nodes(value, f"{path}[{index}]", (*steps, index))


def _changes(node: Any) -> Iterator[tuple[str, Any]]:
    match node:
        case bool():
            yield "flip", not node
        case int():
            yield "more", node + 1
            yield "less", node - 1
        case "":
            yield "append", "00"
        case str():
            at = len(node) // 2
            other = ("0" if node[at] != "0" else "1") if _HEX.fullmatch(node) else _other(node[at])
            yield "change", node[:at] + other + node[at + 1 :]
            yield "shorten", node[:-2]
        case list():
            for index in range(len(node)):
                yield "remove", [*node[:index], *node[index + 1 :]]
                yield "double", [*node[: index + 1], *node[index:]]
                if index + 1 < len(node):
                    yield "swap", [*node[:index], node[index + 1], node[index], *node[index + 2 :]]
        case dict():
            for key in node:
                yield "remove", {name: value for name, value in node.items() if name != key}
            yield "add", {**node, "zz": 1}
        case None:
            yield "set", 1


def _other(character: str) -> str:
    return "B" if character == "A" else "A"


def _json_in(node: Any) -> Any:
    """The object that a text is, if it is one."""
    if not isinstance(node, str) or not node.startswith("{"):
        return None
    try:
        return json.loads(node)
    except ValueError:
        return None


def _at(tree: Any, steps: tuple[Any, ...]) -> Any:
    for step in steps:
        tree = tree[step]
    return tree


def _replaced(tree: Any, steps: tuple[Any, ...], value: Any) -> Any:
    """A copy of the tree with one node replaced; only the way to it is copied."""
    if not steps:
        return value
    root = copy.copy(tree)
    node = root
    for step in steps[:-1]:
        node[step] = copy.copy(node[step])
        node = node[step]
    node[steps[-1]] = value
    return root
