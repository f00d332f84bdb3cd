"""How several processes share the suite: one has every test of the one real Fabric network.

All others go by file, as fixtures are made once a file; tests that bring up a network of their own are among
them. The process that hands the tests out knows their names alone, so each worker marks them there, as
pytest-xdist does for its own groups (which it keeps in an attribute that pytest 9.2 no longer has).
"""

from __future__ import annotations

from typing import Any, Final

import pytest
from xdist.scheduler import LoadScopeScheduling

_SHARED: Final = "@fabric"


class _Scheduling(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return _SHARED if nodeid.endswith(_SHARED) else nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return _Scheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        mark = item.get_closest_marker("fabric")
        shared = mark is not None and not mark.kwargs.get("own_network", False)
        if "fabric_network" in getattr(item, "fixturenames", ()) and not shared:
            raise pytest.UsageError(f"{item.nodeid} uses the one network and is not marked so")
        if shared and hasattr(config, "workerinput"):
            item._nodeid += _SHARED
