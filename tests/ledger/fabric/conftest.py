"""Where the fake peer is, and a member to speak to it."""

from __future__ import annotations

import pytest
from fake_gateway import FakeGateway, new_member

from ledger.fabric.connection import Endpoint
from ledger.fabric.identities import Identity, Sign


@pytest.fixture
def endpoint(fake: FakeGateway) -> Endpoint:
    return Endpoint(f"127.0.0.1:{fake.port}")


@pytest.fixture(scope="session")
def member() -> tuple[Identity, Sign]:
    return new_member()
