"""Chains and people that the contract tests share."""

from __future__ import annotations

import pytest
from contract_people import ADMIN, Interlocked, People, interlocked_chains
from world_state import FakeChain

from chaincode.api import Organisation, RegisterOrganisation
from identity import ECDSA_P256_SHA256, KeyPair


@pytest.fixture
def chain() -> FakeChain:
    return FakeChain("edge-a")


@pytest.fixture
def people(chain: FakeChain) -> People:
    """Owner A1 is registered; no device yet."""
    owner = KeyPair.generate(ECDSA_P256_SHA256)
    chain.submit(RegisterOrganisation(Organisation("A1", "Orchard", owner.spki)), ADMIN)
    return People(chain, owner, {})


@pytest.fixture
def chains() -> Interlocked:
    return interlocked_chains()
