"""The ledger over a real Fabric network: the suite of every backend, then what only it has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fabric_harness import FabricHarness
from ledger_suite import Harness, LedgerSuite
from scratch_chaincode import ScratchChaincode

pytestmark = pytest.mark.fabric


@pytest.fixture
def fabric(scratch_chaincode: ScratchChaincode, tmp_path: Path) -> Iterator[FabricHarness]:
    made = FabricHarness(scratch_chaincode, tmp_path)
    yield made
    made.close()


@pytest.fixture
def ledger_factory(fabric: FabricHarness) -> Callable[[], Harness]:
    return lambda: fabric


class TestFabric(LedgerSuite):
    """The suite over real peers."""
