"""One worker process for all tests of this room: importing torch takes seconds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from training.pool import ForkedWorker


@pytest.fixture(scope="session")
def torch_worker() -> Iterator[ForkedWorker]:
    with ForkedWorker(timeout_s=120) as worker:
        yield worker
