"""Strict reading of YAML: every value knows its line and its path, every key is known or refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import yaml

from network.errors import TopologyError

__all__ = ["Value", "read_document"]

_MAX_BYTES = 1024 * 1024


class Value:
    """One value of a document, with the words to say what is wrong with it."""

    def __init__(self, file: str, path: str, node: yaml.Node) -> None:
        self._file = file
        self._path = path
        self._node = node

    def refuse(self, problem: str) -> NoReturn:
        """Raise the error that names this value's file, line and path.

        Raises:
            TopologyError: always.
        """
        raise TopologyError(f"{self._file}:{self._node.start_mark.line + 1}: {self._path}: {problem}")

    def fields(self, required: set[str], optional: set[str] | None = None) -> dict[str, Value]:
        """A mapping with exactly these keys.

        Raises:
            TopologyError: no mapping; a key missing, unknown or doubled.
        """
        found = dict(self.entries())
        known = required | (optional or set())
        for key, value in found.items():
            if key not in known:
                value.refuse(f"unknown key; known here: {', '.join(sorted(known))}")
        for key in sorted(required):
            if key not in found:
                self.refuse(f"{key!r} is missing")
        return found

    def entries(self) -> Iterator[tuple[str, Value]]:
        """Keys and values of a mapping, in the document's order.

        Raises:
            TopologyError: no mapping, or a key that is no text or doubled.
        """
        if not isinstance(self._node, yaml.MappingNode):
            self.refuse("a mapping is wanted")
        seen = set()
        for key_node, value_node in self._node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.value in seen:
                self.refuse("keys must be plain text, each once")
            seen.add(key_node.value)
            path = key_node.value if self._path == "document" else f"{self._path}.{key_node.value}"
            yield key_node.value, Value(self._file, path, value_node)

    def items(self, *, least: int = 0) -> list[Value]:
        """The values of a list.

        Raises:
            TopologyError: no list, or one shorter than ``least``.
        """
        if not isinstance(self._node, yaml.SequenceNode):
            self.refuse("a list is wanted")
        if len(self._node.value) < least:
            self.refuse(f"at least {least} wanted")
        return [Value(self._file, f"{self._path}[{i}]", node) for i, node in enumerate(self._node.value)]

    def text(self, pattern: str = r".+", meaning: str = "text") -> str:
        """A scalar that fits ``pattern`` whole.

        Raises:
            TopologyError: it does not; the error says ``meaning``.
        """
        if not isinstance(self._node, yaml.ScalarNode) or re.fullmatch(pattern, self._node.value) is None:
            self.refuse(f"{meaning} is wanted")
        return str(self._node.value)

    def number(self, least: int, most: int) -> int:
        """A whole number within bounds, both included.

        Raises:
            TopologyError: anything else.
        """
        number = int(self.text(r"[0-9]{1,12}", f"a whole number from {least} to {most}"))
        if not least <= number <= most:
            self.refuse(f"a whole number from {least} to {most} is wanted")
        return number

    def choice(self, *values: str) -> str:
        """One of the given words.

        Raises:
            TopologyError: anything else.
        """
        return self.text("|".join(re.escape(value) for value in values), " or ".join(values))


def read_document(path: Path) -> Value:
    """Read one YAML document.

    Raises:
        TopologyError: the file cannot be read, or is no single YAML document.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise TopologyError(f"{path} cannot be read: {error.strerror}") from error
    if len(raw) > _MAX_BYTES:
        raise TopologyError(f"{path} is larger than {_MAX_BYTES} bytes")
    try:
        node = yaml.compose(raw, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise TopologyError(f"{path} is no YAML document: {error}") from error
    if node is None:
        raise TopologyError(f"{path} is empty")
    return Value(str(path), "document", node)
