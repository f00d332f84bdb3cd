"""Waiting for blocks, against a peer of the tests' own making."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import grpc
import pytest
from fabric_protos.peer import transaction_pb2
from fake_gateway import FakeGateway, new_member
from grpc_fault import Fault

from ledger.fabric import GatewayClosed, GatewayError, Status, sync
from ledger.fabric.loops import loop_thread
from ledger.fabric_follower import Follower


@pytest.fixture
def gateway(fake: FakeGateway) -> Iterator[sync.Gateway]:
    from ledger.fabric import Endpoint

    identity, sign = new_member()
    with sync.connect(Endpoint(f"127.0.0.1:{fake.port}"), identity, sign=sign) as opened:
        yield opened


def follow(gateway: sync.Gateway, channel: str = "chain") -> Follower:
    return Follower(gateway.inner.get_network(channel), loop_thread())


def test_it_is_woken_by_the_block(fake: FakeGateway, gateway: sync.Gateway) -> None:
    follower = follow(gateway)
    assert follower.wait(0, 5)
    assert not follower.wait(1, 0.05)
    threading.Timer(0.2, fake.append).start()
    started = time.monotonic()
    assert follower.wait(1, 20)
    assert 0.1 < time.monotonic() - started < 2
    assert len(fake.streams) == 1
    follower.close()


def test_it_outlives_its_stream(fake: FakeGateway, gateway: sync.Gateway) -> None:
    follower = follow(gateway)
    assert follower.wait(0, 5)
    fake.break_streams()
    fake.append()
    assert follower.wait(1, 20)
    fake.stop()
    fake.append()
    assert not follower.wait(2, 0.3)
    fake.start()
    assert follower.wait(2, 20)
    follower.close()


def test_what_cannot_be_mended_is_raised_and_asked_again_later(
    fake: FakeGateway, gateway: sync.Gateway
) -> None:
    nowhere = follow(gateway, "other")
    for _ in range(2):
        with pytest.raises(GatewayError, match="NOT_FOUND"):
            nowhere.wait(0, 5)
    # Several: a call refused while its request is still written may fail as INTERNAL, which is tried anew.
    fake.faults["DeliverFiltered"].extend([Fault(grpc.StatusCode.PERMISSION_DENIED)] * 9)
    follower = follow(gateway)
    with pytest.raises(GatewayError):
        follower.wait(0, 5)
    fake.faults["DeliverFiltered"].clear()
    assert follower.wait(0, 5)
    follower.close()


def test_a_key_that_fails_ends_the_stream_and_the_next_one_works(fake: FakeGateway) -> None:
    from ledger.fabric import Endpoint

    identity, sign = new_member()
    away = threading.Event()

    def sign_while_there(digest: bytes) -> bytes:
        if away.is_set():
            raise OSError("the key is away")
        signature = sign(digest)
        assert isinstance(signature, bytes)
        return signature

    with sync.connect(Endpoint(f"127.0.0.1:{fake.port}"), identity, sign=sign_while_there) as opened:
        follower = follow(opened)
        assert follower.wait(0, 5)
        away.set()
        fake.break_streams()
        for _ in range(2):
            with pytest.raises(GatewayError, match="the key is away"):
                follower.wait(1, 5)
        away.clear()
        fake.append()
        assert follower.wait(1, 20)
        follower.close()


def test_heights_learnt_otherwise_count(fake: FakeGateway, gateway: sync.Gateway) -> None:
    follower = follow(gateway)
    assert not follower.has_seen
    follower.seen(7)
    assert follower.has_seen
    assert follower.wait(6, 0)
    follower.seen(3)
    assert follower.wait(6, 0)
    follower.close()


def test_closing_wakes_everybody(gateway: sync.Gateway) -> None:
    follower = follow(gateway)
    caught: list[GatewayError] = []

    def wait() -> None:
        try:
            follower.wait(99, 20)
        except GatewayError as error:
            caught.append(error)

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    follower.close()
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()
    assert caught
    assert all(isinstance(error, GatewayClosed) for error in caught)


def test_it_tells_what_became_of_transactions(fake: FakeGateway, gateway: sync.Gateway) -> None:
    loop = loop_thread()
    follower = follow(gateway)
    contract = gateway.inner.get_network("chain").get_contract("basic")

    async def submit() -> tuple[Status | None, str]:
        transaction = await contract.new_proposal("write", ["a"]).endorse()
        expected = follower.expect(transaction.transaction_id)
        await transaction.submit()
        status = None if expected is None else await asyncio.wait_for(expected, 10)
        return status, transaction.transaction_id

    # Nothing has been seen yet: what was committed before the first block that comes would be missed.
    assert loop.run(submit())[0] is None
    assert follower.wait(1, 10)
    fake.codes.append(transaction_pb2.TxValidationCode.MVCC_READ_CONFLICT)
    for code in (transaction_pb2.TxValidationCode.MVCC_READ_CONFLICT, transaction_pb2.TxValidationCode.VALID):
        status, identifier = loop.run(submit())
        assert status == Status(identifier, fake.find(identifier)[0], code)
    assert not follower._expected
    assert "CommitStatus" not in fake.calls

    async def leave() -> asyncio.Future[Status] | None:
        return follower.expect("never")

    left = loop.run(leave())
    assert left is not None
    follower.close()

    async def cancelled() -> bool:
        return (await asyncio.wait((left,), timeout=5)) and left.cancelled()

    assert loop.run(cancelled())
