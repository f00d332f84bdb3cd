"""Chains and people that the contract tests share."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from contract_people import ADMIN, Interlocked, People, interlocked_chains
from fake_peer import FakePeer
from stream_contract import PACKAGE, Start, contract
from world_state import FakeChain

from chaincode.api import Organisation, RegisterOrganisation
from chaincode.shim import ChaincodeServer, Limits
from identity import ECDSA_P256_SHA256, DevelopmentAuthority, KeyPair, Role, Signer


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


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    now = datetime.now(UTC)
    folder = tmp_path_factory.mktemp("authority")
    authority = DevelopmentAuthority.create("A1", folder / "ca", now=now, lifetime=timedelta(days=2))
    return authority.issue("admin", Role.ADMIN, now=now)


@pytest.fixture
def creator(signer: Signer) -> bytes:
    return signer.serialized()


@pytest.fixture
def start() -> Iterator[Start]:
    """Serves a contract and connects a peer to it; both end with the test."""
    servers: list[ChaincodeServer] = []
    peers: list[FakePeer] = []

    def begin(
        run: Any = contract,
        values: dict[str, bytes] | None = None,
        offer: tuple[int, int] | None = None,
        **limits: int,
    ) -> FakePeer:
        server = ChaincodeServer(run, PACKAGE, "127.0.0.1:0", limits=Limits(**limits))
        server.start()
        servers.append(server)
        peer = FakePeer(server.port, values if values is not None else {}, offer=offer)
        peers.append(peer)
        return peer

    yield begin
    for peer in peers:
        peer.hang_up()
        assert peer.error is None
    for server in servers:
        server.stop(2)
