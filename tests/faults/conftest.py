"""Kills, and what they were: printed at the end, and kept below build/faults.

``EDGEPROOF_FAULT_SEED`` sets the seed of everything that is left to chance.
"""

from __future__ import annotations

import os
import random

import pytest
from fleet_tally import Tally

SEED = int(os.environ.get("EDGEPROOF_FAULT_SEED") or random.SystemRandom().randrange(2**32))
TALLY = Tally(SEED)


@pytest.fixture
def tally() -> Tally:
    print(f"EDGEPROOF_FAULT_SEED={SEED}")  # shown with a failure
    return TALLY


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Chance of its own for each test, so that one test alone repeats what it did among all."""
    return random.Random(f"{SEED} {request.node.name}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not TALLY.kills:
        return
    terminalreporter.section("faults")
    terminalreporter.line(TALLY.line())
    if config.option.markexpr == "faults":
        TALLY.write(config.rootpath / "build" / "faults")
