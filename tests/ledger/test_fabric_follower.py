"""Waiting for blocks, against a peer of the tests' own making."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import grpc
import pytest
from fake_gateway import FakeGateway, Fault, new_member

from ledger.fabric import GatewayClosed, GatewayError, sync
from ledger.fabric.loops import loop_thread
from ledger.fabric_follower import Follower


@pytest.fixture
def fake() -> Iterator[FakeGateway]:
    made = FakeGateway()
    made.start()
    yield made
    made.stop()


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
    fake.faults["DeliverFiltered"].append(Fault(grpc.StatusCode.PERMISSION_DENIED))
    follower = follow(gateway)
    with pytest.raises(GatewayError):
        follower.wait(0, 5)
    assert follower.wait(0, 5)
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
