"""The ledger over a real Fabric network: the suite of every backend, then what only it has."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from fabric_harness import FabricHarness
from ledger_harness import Harness
from ledger_suite import CODE, LedgerSuite
from refusals import documented_refusals
from scratch_chaincode import ScratchChaincode
from scratch_contract import Crash, Get, ListKeys, Put, PutMany, Waver

from identity import DevelopmentAuthority, Role, Signer, TlsIdentity
from ledger.errors import (
    ChainNotFound,
    ClockRefused,
    ContractRefused,
    IdentityExpired,
    IdentityRefused,
    IdentityRevoked,
    LedgerError,
    MessageTooLarge,
    SignatureRefused,
    Unavailable,
    UnknownOrganisation,
)
from ledger.fabric import SubmitError
from ledger.fabric_ledger import FabricLedger
from ledger.port import Receipt, evaluate_typed
from network import Endpoint
from network.config_update import change_msp
from network.control import Keeper
from network.updates import update_channel
from protocol.blocks import Transaction, last_configuration, validation_codes
from protocol.encodings import encode

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


# ------------------------------------------------------------------ refusals, each its own error


def _every_way(ledger: FabricLedger) -> list[Callable[[], Any]]:
    return [
        lambda: ledger.submit(Put("a", "1")),
        lambda: ledger.evaluate(Get("a")),
        ledger.information,
        lambda: list(ledger.blocks(0)),
        lambda: ledger.block(0),
        lambda: ledger.wait(0, 5),
        lambda: ledger.find("00" * 32),
    ]


def test_channel_that_does_not_exist(fabric: FabricHarness) -> None:
    for call_ in _every_way(fabric.open(chain="nowhere")):
        with pytest.raises(ChainNotFound, match=r"nowhere|NOT_FOUND"):
            call_()


def test_organisation_of_another_channel(fabric: FabricHarness) -> None:
    for call_ in _every_way(fabric.open_as(fabric.scratch.signer("cloud-operator", Role.CLIENT))):
        with pytest.raises(UnknownOrganisation, match="Check the MSP id"):
            call_()


def test_certificate_of_another_authority(fabric: FabricHarness) -> None:
    for call_ in _every_way(cast(FabricLedger, fabric.stranger())):
        with pytest.raises(IdentityRefused) as caught:
            call_()
        assert type(caught.value) is IdentityRefused


def test_expired_certificate(fabric: FabricHarness) -> None:
    ledger = fabric.expired()
    for call_ in (lambda: ledger.submit(Put("a", "1")), lambda: ledger.evaluate(Get("a"))):
        with pytest.raises(IdentityExpired, match="Renew"):
            call_()


def _revoked(fabric: FabricHarness) -> tuple[FabricLedger, Signer]:
    """Of a member whom the channel's configuration names as revoked since it was last heard."""
    signer = fabric.issue("leaver", now=datetime.now(UTC) - timedelta(minutes=1))
    ledger = fabric.open_as(signer)
    ledger.submit(Put("a", "1"))
    organisation = fabric.organisations[0]
    authority = DevelopmentAuthority.load(fabric.network.layout.authority(organisation))
    revoked = authority.revoke(signer)
    reader = fabric.open()
    height = reader.information().height
    update_channel(fabric.network, fabric.chain, change_msp(organisation, revocation_lists=[revoked]))
    assert reader.wait(height, 20)
    return ledger, signer


def test_revoked_certificate(fabric: FabricHarness) -> None:
    ledger, signer = _revoked(fabric)
    for call_ in (lambda: ledger.submit(Put("a", "1")), lambda: ledger.evaluate(Get("a"))):
        with pytest.raises(IdentityRevoked, match="another one issued"):
            call_()
    with pytest.raises(IdentityRefused):  # who never saw it accepted cannot tell why
        fabric.open_as(signer).submit(Put("a", "1"))
    fabric.open().submit(Put("a", "2"))


class _Forger:
    """Signs other bytes than it is given."""

    def __init__(self, signer: Signer) -> None:
        self.msp_id, self.certificate_pem, self.spki = signer.msp_id, signer.certificate_pem, signer.spki
        self._signer = signer

    def sign(self, message: bytes) -> bytes:
        return self._signer.sign(message + b"!")


def test_tampered_proposal(fabric: FabricHarness) -> None:
    ledger = fabric.open_as(_Forger(fabric.scratch.signer(fabric.organisations[0], Role.CLIENT)))
    for call_ in (lambda: ledger.submit(Put("a", "1")), lambda: ledger.evaluate(Get("a"))):
        with pytest.raises(SignatureRefused, match="sign anew"):
            call_()


def test_tampered_transaction(fabric: FabricHarness) -> None:
    """The orderers look at who submits; the peers, at every byte."""
    gateway = fabric.gateway()
    contract = gateway.get_network(fabric.chain).get_contract(fabric.chaincode)
    transaction = contract.new_proposal("scratch:put", [encode(Put("a", "1"))]).endorse()
    with pytest.raises(SubmitError) as caught:
        gateway.new_signed_transaction(transaction.get_bytes(), b"no signature").submit()
    assert caught.value.is_refused
    assert caught.value.transaction_id == transaction.transaction_id


def test_too_large_a_message(fabric: FabricHarness) -> None:
    """Larger than a block may be."""
    ledger = fabric.open()
    with pytest.raises(MessageTooLarge, match="Send less at once"):
        ledger.submit(PutMany("large", 1, 1, "b" * 11 * 1024 * 1024), timeout=60)
    ledger.submit(Put("a", "1"))


def test_chaincode_that_is_not_there(fabric: FabricHarness) -> None:
    with pytest.raises(Unavailable, match="nothing-here"):
        fabric.open(chaincode="nothing-here").submit(Put("a", "1"))


def test_peer_that_is_not_there(fabric: FabricHarness) -> None:
    peer = fabric.network.peer(fabric.chain, fabric.organisations[0])
    nobody = Endpoint("127.0.0.1:1", peer.tls_roots, peer.server_name)
    ledger = FabricLedger(nobody, fabric.chain, submitter=fabric.scratch.signer(peer_of(fabric), Role.CLIENT))
    started = time.monotonic()
    for call_ in (lambda: ledger.submit(Put("a", "1")), ledger.information, lambda: list(ledger.blocks(0))):
        with pytest.raises(Unavailable):
            call_()
    assert not ledger.wait(0, 0.2)
    assert time.monotonic() - started < 5
    ledger.close()


def peer_of(fabric: FabricHarness) -> str:
    return fabric.organisations[0]


def test_peer_whose_certificate_is_another_s(fabric: FabricHarness) -> None:
    mine = fabric.network.peer(fabric.chain, fabric.organisations[0])
    other = fabric.network.peer(fabric.chain, fabric.organisations[1])
    ledger = FabricLedger(
        Endpoint(mine.address, other.tls_roots, mine.server_name),
        fabric.chain,
        submitter=fabric.scratch.signer(peer_of(fabric), Role.CLIENT),
    )
    with pytest.raises(Unavailable):
        ledger.submit(Put("a", "1"))
    ledger.close()


def test_mutual_tls(fabric: FabricHarness) -> None:
    tls = TlsIdentity.load(fabric.network.layout.client_tls_folder(peer_of(fabric)))
    ledger = fabric.open(client_certificate=tls.certificate_pem, client_key=tls.key_pem)
    receipt = ledger.submit(Put("a", "1"))
    # A peer refuses a request for blocks whose header names another certificate than the connection's.
    assert ledger.block(receipt.block).header.number == receipt.block
    assert ledger.wait(receipt.block, 20)


def test_clock_that_is_wrong(fabric: FabricHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = fabric.open()
    monkeypatch.setattr("ledger.fabric.messages.time", _AnHourAgo)
    for call_ in (lambda: ledger.submit(Put("a", "1")), lambda: ledger.evaluate(Get("a"))):
        with pytest.raises(ClockRefused, match="Set this machine's clock"):
            call_()


class _AnHourAgo:
    @staticmethod
    def time_ns() -> int:
        return time.time_ns() - 3600 * 10**9


def test_every_documented_refusal_happens_and_says_what_to_do(
    fabric: FabricHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, plain = Put("a", "1"), fabric.open()

    def late() -> None:
        with monkeypatch.context() as patch:
            patch.setattr("ledger.fabric.messages.time", _AnHourAgo)
            plain.submit(put)

    def lonely() -> None:
        fabric.under_endorsed().submit(put)

    own = fabric.scratch.signer(fabric.organisations[0], Role.CLIENT)
    ways: dict[str, Callable[[], Any]] = {
        "UnknownOrganisation": lambda: fabric.open_as(
            fabric.scratch.signer("cloud-operator", Role.CLIENT)
        ).submit(put),
        "IdentityRefused": lambda: fabric.stranger().submit(put),
        "IdentityExpired": lambda: fabric.expired().submit(put),
        "IdentityRevoked": lambda: _revoked(fabric)[0].submit(put),
        "SignatureRefused": lambda: fabric.open_as(_Forger(own)).submit(put),
        "ClockRefused": late,
        "MessageTooLarge": lambda: plain.submit(PutMany("large", 1, 1, "b" * 11 * 1024 * 1024), timeout=60),
        "ChainNotFound": lambda: fabric.open(chain="nowhere").submit(put),
        "ContractRefused": lambda: plain.submit(Crash("hunter2")),
        "EndorsementMismatch": lambda: plain.submit(Waver("a")),
        "EndorsementPolicyFailure": lonely,
        "Unavailable": lambda: fabric.open(chaincode="nothing-here").submit(put),
    }
    documented = documented_refusals()
    assert set(documented) == set(ways)
    for name, way in ways.items():
        with pytest.raises(LedgerError) as caught:
            way()
        assert type(caught.value).__name__ == name
        assert caught.value.advice in documented[name]
        assert caught.value.advice in str(caught.value)
        assert caught.value.transaction, name
        if isinstance(caught.value, ContractRefused):
            assert caught.value.code == "internal-error"
            assert "hunter2" not in str(caught.value)
    plain.submit(put)


# ------------------------------------------------------------------ load, and what goes away meanwhile


def test_two_hundred_endorsements_at_once(fabric: FabricHarness) -> None:
    ledger = fabric.open()
    value = "v" * 32 * 1024
    with ThreadPoolExecutor(200) as pool:
        receipts = list(pool.map(lambda n: ledger.submit(Put(f"k{n}", value), timeout=60), range(200)))
    assert len({receipt.transaction for receipt in receipts}) == 200
    assert evaluate_typed(ledger, ListKeys("k", "l", 0, "")).text.count(",") == 199


def test_who_endorsed_is_remembered(fabric: FabricHarness) -> None:
    ledger = fabric.open()
    for number in range(2):
        ledger.submit(Put("named", str(number)))
        assert sorted(ledger._opened().endorsers.known) == sorted(fabric.organisations)


def test_evaluate_after_wait_sees_that_height(fabric: FabricHarness) -> None:
    writer, reader = fabric.open(), fabric.open(fabric.organisations[1])
    for index in range(8):
        receipt = writer.submit(Put("a", str(index)))
        assert reader.wait(receipt.block, 20)
        assert evaluate_typed(reader, Get("a")).text == str(index)
        assert reader.information().height > receipt.block


def test_waiting_threads_are_woken_at_once(fabric: FabricHarness) -> None:
    writer, reader = fabric.open(), fabric.open(fabric.organisations[1])
    height = reader.information().height
    woken: list[float] = []
    threads = [
        threading.Thread(target=lambda: reader.wait(height, 20) and woken.append(time.monotonic()))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    writer.submit(Put("a", "1"))
    committed = time.monotonic()
    for thread in threads:
        thread.join()
    assert len(woken) == 8
    assert max(woken) - committed < 0.5


def test_closing_wakes_who_waits(fabric: FabricHarness) -> None:
    ledger = fabric.open()
    height = ledger.information().height
    threading.Timer(0.2, ledger.close).start()
    started = time.monotonic()
    with pytest.raises(Unavailable, match="closed"):
        ledger.wait(height, 20)
    assert time.monotonic() - started < 5


def test_without_its_orderer_nothing_is_recorded_and_then_all_goes_on(fabric: FabricHarness) -> None:
    ledger = fabric.open()
    (orderer,) = fabric.network.topology.select(chain=fabric.chain, kind="orderer")
    keeper = Keeper.ensure(fabric.network.root)
    keeper.stop([orderer.name])
    try:
        height = ledger.information().height
        started = time.monotonic()
        with pytest.raises(Unavailable) as caught:
            ledger.submit(Put("a", "1"), timeout=20)
        assert time.monotonic() - started < 10
        assert ledger.find(caught.value.transaction) is None
        assert ledger.information().height == height
    finally:
        keeper.start([orderer.name])
    deadline = time.monotonic() + 40
    while True:  # the peer's own connection to the orderer takes its time to come back
        try:
            ledger.submit(Put("a", "2"), timeout=20)
            break
        except Unavailable:
            assert time.monotonic() < deadline
    assert evaluate_typed(ledger, Get("a")).text == "2"


def test_a_peer_killed_under_load_loses_and_doubles_nothing(fabric: FabricHarness) -> None:
    """Its own peer: the one that submits for it, waits for it and tells it the outcome."""
    ledger = fabric.open()
    (peer,) = fabric.network.topology.select(chain=fabric.chain, kind="peer", msp_id=peer_of(fabric))
    keeper = Keeper.ensure(fabric.network.root)
    stop = threading.Event()
    receipts: list[Receipt] = []
    refused: list[LedgerError] = []

    def work(name: int) -> None:
        index = 0
        while not stop.is_set():
            try:
                receipts.append(ledger.submit(Put(f"w/{name}/{index}", "x"), timeout=30))
            except Unavailable as error:
                refused.append(error)
                time.sleep(0.2)
            index += 1

    with ThreadPoolExecutor(8) as pool:
        pending = [pool.submit(work, name) for name in range(8)]
        time.sleep(1.0)
        (state,) = [entry for entry in keeper.states() if entry.name == peer.name]
        assert state.pid is not None
        os.kill(state.pid, signal.SIGKILL)
        killed = len(receipts)
        deadline = time.monotonic() + 40
        while len(receipts) < killed + 40 and time.monotonic() < deadline:
            time.sleep(0.05)
        stop.set()
        for future in pending:
            future.result()
    assert len(receipts) >= killed + 40
    # Acknowledged is committed, once; refused is not recorded.
    transactions = [receipt.transaction for receipt in receipts]
    valid = [
        Transaction.from_envelope(raw).identifier
        for block in ledger.blocks(1)
        if last_configuration(block) != block.header.number
        for code, raw in zip(validation_codes(block), block.data.data, strict=True)
        if code == CODE.VALID
    ]
    assert len(set(valid)) == len(valid)
    assert set(transactions) <= set(valid)
    assert not {error.transaction for error in refused} & set(valid)
