"""How several processes share the suite: one has every test of real Fabric, and so the one network.

All others go by file, as fixtures are made once a file. pytest-xdist's own groups are kept in an attribute
that pytest 9.2 no longer has; so what goes together follows from names here.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

_ROOT = Path(__file__).resolve().parents[2]
_FABRIC = "fabric"
_PARAMETER = re.compile(r"\[(?:.*-)?fabric(?:-.*)?\]")


def needs_network(nodeid: str) -> bool:
    """Whether a test is of real Fabric: its file marks it so, or it is the ``fabric`` one of a series."""
    return _marks(nodeid.partition("::")[0]) or _PARAMETER.search(nodeid) is not None


@cache
def _marks(file: str) -> bool:
    return "mark.fabric" in (_ROOT / file).read_text("utf-8")


class _Scheduling(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return _FABRIC if needs_network(nodeid) else nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return _Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    astray = [
        item.nodeid
        for item in items
        if item.get_closest_marker(_FABRIC) is not None and not needs_network(item.nodeid)
    ]
    if astray:
        raise pytest.UsageError(f"tests of real Fabric that do not say so by their file or name: {astray}")
