"""What the probe does again, and what it does not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from prepared_network import prepared

from chaincode.api import GetOrganisation, RegisterOrganisation, RegisterSource
from chaincode.payloads import encode_result
from edgeproof import ready
from edgeproof.wiring import Parts
from ledger.errors import ContractRefused, LedgerError, Unavailable, invalid_transaction
from ledger.port import ChainInformation, Receipt
from network import Network
from network.errors import NotReady

MVCC_READ_CONFLICT, POLICY_FAILURE = 11, 10


class Chain:
    """Knows what it is told, after it has failed a few times."""

    chain = "edge-a"

    def __init__(self, faults: Sequence[LedgerError]) -> None:
        self.faults = [*faults]
        self.known: dict[str, Any] = {}
        self.tried = 0

    def submit(self, message: Any, *, timeout: float = 30.0) -> Receipt:
        self.tried += 1
        if self.faults:
            raise self.faults.pop(0)
        if isinstance(message, RegisterOrganisation):
            self.known[message.organisation.msp_id] = message.organisation
            return Receipt("tx", 1, encode_result(message.FUNCTION, message.organisation))
        assert isinstance(message, RegisterSource)
        self.known[message.source.chain] = message.source
        return Receipt("tx", 1, encode_result(message.FUNCTION, message.source))

    def evaluate(self, message: Any) -> bytes:
        name = message.msp_id if isinstance(message, GetOrganisation) else message.chain
        if name not in self.known:
            raise ContractRefused("not-found", name, 404)
        return encode_result(message.FUNCTION, self.known[name])

    def information(self) -> ChainInformation:
        return ChainInformation(self.chain, 2, b"")

    def wait(self, height: int, timeout: float) -> bool:
        return True

    def close(self) -> None:
        pass


@pytest.fixture
def network(tmp_path: Path) -> Network:
    prepared(tmp_path / "network", "dev")
    return Network(tmp_path / "network")


def probed(
    network: Network, monkeypatch: pytest.MonkeyPatch, *faults: LedgerError, timeout_s: float = 20.0
) -> Chain:
    chain = Chain(faults)
    monkeypatch.setattr(Parts, "ledger", lambda *_: chain)
    try:
        ready.probe(network, "edge-a", timeout_s=timeout_s)
    finally:
        assert not chain.faults or timeout_s < 1
    return chain


def test_a_conflict_passes(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hosts, or two calls, register the same at once: one of them loses, and tries again."""
    conflict = invalid_transaction(MVCC_READ_CONFLICT)
    chain = probed(network, monkeypatch, conflict, Unavailable("starting"), conflict)
    operator = network.chain("edge-a").operator
    assert chain.known[operator].msp_id == operator


@pytest.mark.parametrize(
    "fault", [ContractRefused("forbidden", "no", 403), invalid_transaction(POLICY_FAILURE)]
)
def test_a_verdict_stays(network: Network, monkeypatch: pytest.MonkeyPatch, fault: LedgerError) -> None:
    with pytest.raises(type(fault)):
        probed(network, monkeypatch, fault)


def test_there_is_an_end(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = [Unavailable("starting")] * 10
    with pytest.raises(NotReady, match="starting"):
        probed(network, monkeypatch, *faults, timeout_s=0.3)
