"""The chaincode server beside real peers: TLS, loss and return, many keys, long ranges."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from fabric_harness import FabricHarness
from fake_peer import FakePeer
from scratch_chaincode import ScratchChaincode
from scratch_contract import Get, ListKeys, Put, PutMany

from chaincode.shim import ChaincodeServer, TlsFiles
from identity import Role
from ledger.errors import Unavailable
from ledger.port import Receipt, evaluate_typed
from network.topology import Node

pytestmark = pytest.mark.fabric

_LONGEST_PAUSE_S = 10.0


@pytest.fixture
def fabric(scratch_chaincode: ScratchChaincode, tmp_path: Path) -> Iterator[FabricHarness]:
    made = FabricHarness(scratch_chaincode, tmp_path)
    yield made
    made.close()


def _peer(fabric: FabricHarness, msp_id: str) -> Node:
    (peer,) = fabric.network.topology.select(chain=fabric.chain, kind="peer", msp_id=msp_id)
    return peer


def _tls(fabric: FabricHarness, msp_id: str) -> tuple[bytes, bytes, bytes]:
    """Key, certificate and authority of an organisation's peer."""
    folder = fabric.network.layout.node(_peer(fabric, msp_id).name) / "tls"
    roots = fabric.network.layout.tls_roots(msp_id).read_bytes()
    return (folder / "key.pem").read_bytes(), (folder / "cert.pem").read_bytes(), roots


def test_a_caller_of_another_organisation_is_not_taken_for_the_peer(fabric: FabricHarness) -> None:
    own, other = fabric.organisations
    address = f"localhost:{fabric.scratch.ports[own]}"
    key, certificate, roots = _tls(fabric, own)
    other_key, other_certificate, _ = _tls(fabric, other)
    named = [("grpc.ssl_target_name_override", _peer(fabric, own).name)]
    good = grpc.ssl_channel_credentials(roots, key, certificate)
    with grpc.secure_channel(address, good, named) as channel:
        grpc.channel_ready_future(channel).result(5)
    for credentials in (
        grpc.ssl_channel_credentials(roots, other_key, other_certificate),
        grpc.ssl_channel_credentials(roots),
    ):
        channel = grpc.secure_channel(address, credentials, named)
        with channel, pytest.raises(grpc.FutureTimeoutError):
            grpc.channel_ready_future(channel).result(0.5)
    fabric.open().submit(Put("a", "1"))


def test_a_server_with_another_organisations_certificate_gets_no_call(fabric: FabricHarness) -> None:
    own, other = fabric.organisations
    ledger = fabric.open()
    ledger.submit(Put("a", "1"))
    fabric.scratch.servers[own].stop(1)
    key, certificate, _ = _tls(fabric, other)
    calls: list[str] = []

    def steal(context: object, function: str, argument: bytes) -> bytes:
        calls.append(function)
        return b"stolen"

    impostor = ChaincodeServer(
        steal,
        fabric.scratch._package.package_id,
        f"127.0.0.1:{fabric.scratch.ports[own]}",
        tls=TlsFiles(key, certificate),
    )
    impostor.start()
    try:
        with pytest.raises(Unavailable):
            ledger.submit(Put("a", "2"), timeout=5)
    finally:
        impostor.stop(0)
        fabric.scratch.serve(_peer(fabric, own))
    assert calls == []
    _until_it_answers(fabric)
    assert evaluate_typed(ledger, Get("a")).text == "3"


def _until_it_answers(fabric: FabricHarness) -> float:
    """Seconds until a transaction of both organisations goes through again."""
    started = time.monotonic()
    ledger = fabric.open()
    while True:
        try:
            ledger.submit(Put("a", "3"), timeout=5)
            return time.monotonic() - started
        except Unavailable:
            assert time.monotonic() - started < _LONGEST_PAUSE_S
            time.sleep(0.05)


@pytest.mark.parametrize("grace", [0.0, 5.0])
def test_a_server_that_goes_under_load_and_comes_back_loses_and_doubles_nothing(
    fabric: FabricHarness, grace: float
) -> None:
    own = fabric.organisations[0]
    ledger = fabric.open()
    stop = threading.Event()
    done: dict[str, Receipt] = {}
    refused: list[str] = []

    def work(name: int) -> None:
        index = 0
        while not stop.is_set():
            key = f"w/{name}/{index:04}"
            try:
                done[key] = ledger.submit(Put(key, "x"), timeout=30)
            except Unavailable:
                refused.append(key)
                time.sleep(0.05)
            index += 1

    with ThreadPoolExecutor(8) as pool:
        pending = [pool.submit(work, name) for name in range(8)]
        time.sleep(0.7)
        fabric.scratch.servers[own].stop(grace)
        before = len(done)
        gone = time.monotonic()
        while (
            not refused and time.monotonic() - gone < _LONGEST_PAUSE_S
        ):  # what waits for its block is no matter
            time.sleep(0.02)
        fabric.scratch.serve(_peer(fabric, own))
        pause = _until_it_answers(fabric)
        while len(done) < before + 24 and not any(future.done() for future in pending):
            time.sleep(0.02)
        stop.set()
        for future in pending:
            future.result()
    assert refused, "both organisations must endorse"
    assert pause < 3
    assert len({receipt.transaction for receipt in done.values()}) == len(done)
    kept = evaluate_typed(ledger, ListKeys("w/", "w0", 0, "")).text.split(",")
    assert set(kept) == set(done)


def test_ranges_longer_than_the_peers_pages(fabric: FabricHarness) -> None:
    ledger = fabric.open()
    ledger.submit(PutMany("k", 350, 10, ""))
    every = sorted(f"k/{index}" for index in range(350))
    assert evaluate_typed(ledger, ListKeys("k/", "k0", 0, "")).text.split(",") == every
    # Left early, in the midst of a page and at its end; the transaction commits all the same.
    for limit in (1, 99, 100, 101, 250):
        assert evaluate_typed(ledger, ListKeys("k/", "k0", limit, "")).text.split(",") == every[:limit]
        ledger.submit(ListKeys("k/", "k0", limit, "into"))
        assert evaluate_typed(ledger, Get("into")).text == str(limit)


def test_more_keys_than_the_peer_takes_at_once(fabric: FabricHarness) -> None:
    """Fabric's peer takes 1,000 in a request; read, written, and read again as they were written."""
    ledger = fabric.open()
    for length in (10, 20):
        ledger.submit(PutMany("k", 2500, 10, ""), timeout=60)
        for index in (0, 999, 1000, 1999, 2000, 2499):
            assert evaluate_typed(ledger, Get(f"k/{index}")).text == "v" * length
    assert evaluate_typed(ledger, ListKeys("k/", "k0", 0, "")).text.count(",") == 2499


def test_concurrent_batches_of_many_keys(fabric: FabricHarness) -> None:
    ledger = fabric.open()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: ledger.submit(PutMany(f"k{n}", 512, 300, ""), timeout=60), range(8)))
    for number in range(8):
        found = evaluate_typed(ledger, ListKeys(f"k{number}/", f"k{number}0", 0, "")).text
        assert found.count(",") == 511


def test_a_second_connection_may_come_beside_the_peers(fabric: FabricHarness) -> None:
    """As after a loss that only one side has noticed."""
    own = fabric.organisations[0]
    key, certificate, roots = _tls(fabric, own)
    ledger = fabric.open(own, Role.CLIENT)
    ledger.submit(Put("a", "1"))
    other = FakePeer(
        fabric.scratch.ports[own],
        {"a": b"other"},
        credentials=grpc.ssl_channel_credentials(roots, key, certificate),
    )
    assert other.package == fabric.scratch._package.package_id
    ledger.submit(Put("a", "2"))
    other.hang_up()
    ledger.submit(Put("a", "3"))
    assert evaluate_typed(ledger, Get("a")).text == "3"
