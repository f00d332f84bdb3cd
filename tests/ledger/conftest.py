"""A fake peer's gateway."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fake_gateway import FakeGateway


@pytest.fixture
def fake() -> Iterator[FakeGateway]:
    made = FakeGateway()
    made.start()
    yield made
    made.stop()
