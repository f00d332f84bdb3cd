"""How several processes share the suite: one has every test of the one real Fabric network.

All others go by file, as fixtures are made once a file; tests that bring up a network of their own are among
them. Who hands the tests out knows their names alone, and pytest-xdist's own groups are kept in an attribute
that pytest 9.2 no longer has; so the marks are read from the files.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
from xdist.scheduler import LoadScopeScheduling

_ROOT: Final = Path(__file__).resolve().parents[2]
_FABRIC: Final = "fabric"
_MARK: Final = f"pytest.mark.{_FABRIC}"
_OWN: Final = "own_network"
_PARAMETER: Final = re.compile(r"\[(?:.*-)?fabric(?:-.*)?\]")


def needs_network(nodeid: str) -> bool:
    """Whether a test is of the one network: its function, class or file is marked so without a network of its
    own, or it is the ``fabric`` one of a series."""
    if _PARAMETER.search(nodeid) is not None:
        return True
    file, *names = nodeid.partition("[")[0].split("::")
    marks = _marks(file)
    places = ("::".join(names[:depth]) for depth in range(len(names), -1, -1))
    return next((marks[place] for place in places if place in marks), False)


@cache
def _marks(file: str) -> dict[str, bool]:
    """By function, class, or nothing for the whole file: whether it is of the one network."""
    return dict(_found(ast.parse((_ROOT / file).read_text("utf-8")).body, ""))


def _found(body: Iterable[ast.stmt], inside: str) -> Iterator[tuple[str, bool]]:
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            name = f"{inside}::{statement.name}" if inside else statement.name
            yield from ((name, shared) for shared in _shared(statement.decorator_list))
            if isinstance(statement, ast.ClassDef):
                yield from _found(statement.body, name)
        elif isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "pytestmark":
            value = statement.value
            marks = value.elts if isinstance(value, ast.List) else [value]
            yield from ((inside, shared) for shared in _shared(marks))


def _shared(marks: Iterable[ast.expr]) -> Iterator[bool]:
    for text in map(ast.unparse, marks):
        if text.partition("(")[0] == _MARK:
            yield _OWN not in text


class _Scheduling(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return _FABRIC if needs_network(nodeid) else nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than processors: much of the suite waits, for processes, blocks and disks."""
    return len(os.sched_getaffinity(0)) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return _Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    astray = []
    for item in items:
        mark = item.get_closest_marker(_FABRIC)
        shared = mark is not None and not mark.kwargs.get(_OWN, False)
        if shared != needs_network(item.nodeid) or (
            not shared and "fabric_network" in getattr(item, "fixturenames", ())
        ):
            astray.append(item.nodeid)
    if astray:
        raise pytest.UsageError(f"tests of the one network that do not say so by file or name: {astray}")
