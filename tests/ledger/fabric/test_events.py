"""Streams: from a block on, over lost connections, from a checkpoint."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import grpc
import pytest
from fake_gateway import FakeGateway
from grpc_fault import Fault

from ledger.fabric import (
    Backoff,
    Endpoint,
    EventsError,
    FileCheckpointer,
    Identity,
    InMemoryCheckpointer,
    Sign,
    connect,
)

Member = tuple[Identity, Sign]
QUICK = Backoff(first=0.01, longest=0.05)


async def take(events: Any, count: int) -> list[Any]:
    async def collect() -> list[Any]:
        return [await anext(events) for _ in range(count)]

    return await asyncio.wait_for(collect(), 20)


def test_blocks_of_each_kind(fake: FakeGateway, endpoint: Endpoint, member: Member) -> None:
    for _ in range(3):
        fake.append()

    async def play() -> None:
        async with connect(endpoint, member[0], sign=member[1]) as gateway:
            network = gateway.get_network("chain")
            async with network.get_block_events(start_block=1) as events:
                assert [block.header.number for block in await take(events, 3)] == [1, 2, 3]
            async with network.get_filtered_block_events(start_block="newest") as events:
                assert [block.number for block in await take(events, 1)] == [3]
                fake.append()
                assert [block.number for block in await take(events, 1)] == [4]
            async with network.get_block_and_private_data_events(start_block=0) as events:
                assert [found.block.header.number for found in await take(events, 2)] == [0, 1]
            bounded = network.get_block_events(start_block=2, stop_block="newest")
            assert [block.header.number async for block in bounded] == [2, 3, 4]

    asyncio.run(play())


def test_blocks_go_on_after_lost_connections(fake: FakeGateway, endpoint: Endpoint, member: Member) -> None:
    async def play() -> None:
        async with connect(endpoint, member[0], sign=member[1]) as gateway:
            network = gateway.get_network("chain")
            seen: list[int] = []
            async with network.get_block_events(start_block=0, reconnect=QUICK) as events:
                for round_ in range(4):
                    seen += [block.header.number for block in await take(events, 1)]
                    fake.break_streams()
                    if round_ == 2:
                        await asyncio.to_thread(fake.stop)
                        fake.append()
                        fake.start()
                    fake.append()
                    fake.append()
                seen += [block.header.number for block in await take(events, len(fake.blocks) - 4)]
            assert seen == list(range(len(fake.blocks)))

    asyncio.run(play())
    assert len(fake.streams) >= 4


@pytest.mark.parametrize(
    ("method", "arguments"),
    [("get_block_events", ()), ("get_filtered_block_events", ()), ("get_chaincode_events", ("basic",))],
)
def test_a_stream_lost_before_anything_came_skips_nothing(
    fake: FakeGateway, endpoint: Endpoint, member: Member, method: str, arguments: tuple[str, ...]
) -> None:
    fake.append()

    async def play() -> list[int]:
        async with connect(endpoint, member[0], sign=member[1], tls_certificate_hash=b"h" * 32) as gateway:
            network = gateway.get_network("chain")
            async with getattr(network, method)(*arguments, reconnect=QUICK) as events:
                first = asyncio.create_task(take(events, 1))
                await asyncio.sleep(0.5)  # it is open
                with fake.changed:
                    fake.break_streams()
                    fake.append()
                    fake.append()
                seen = [*await first, *await take(events, 3 if arguments else 1)]
        if method == "get_block_events":
            return [block.header.number for block in seen]
        return [each.block_number if arguments else each.number for each in seen]

    assert asyncio.run(play()) == ([2, 2, 3, 3] if arguments else [2, 3])
    assert all(
        header.tls_cert_hash == b"h" * 32 for header in fake.streams if hasattr(header, "tls_cert_hash")
    )


def test_a_lost_stream_is_told_where_that_is_wanted(
    fake: FakeGateway, endpoint: Endpoint, member: Member
) -> None:
    async def play() -> None:
        async with connect(endpoint, member[0], sign=member[1]) as gateway:
            events = gateway.get_network("chain").get_block_events(start_block=0, reconnect=None)
            await take(events, 1)
            fake.break_streams()
            with pytest.raises(EventsError) as caught:
                await take(events, 1)
            assert caught.value.code == grpc.StatusCode.UNAVAILABLE

    asyncio.run(play())


@pytest.mark.parametrize("method", ["get_block_events", "get_chaincode_events"])
def test_what_no_connection_mends_is_raised(
    fake: FakeGateway, endpoint: Endpoint, member: Member, method: str
) -> None:
    async def play() -> None:
        async with connect(endpoint, member[0], sign=member[1]) as gateway:
            network = gateway.get_network("other")
            arguments = () if method == "get_block_events" else ("basic",)
            with pytest.raises(EventsError) as caught:
                await take(getattr(network, method)(*arguments, start_block=0), 1)
            assert not caught.value.is_passing
            if method == "get_block_events":
                assert caught.value.deliver_status == "NOT_FOUND"

    asyncio.run(play())


def test_mutual_tls_hash_is_in_every_header(fake: FakeGateway, endpoint: Endpoint, member: Member) -> None:
    async def play() -> None:
        async with connect(endpoint, member[0], sign=member[1], tls_certificate_hash=b"h" * 32) as gateway:
            events = gateway.get_network("chain").get_block_events(start_block=0, reconnect=QUICK)
            await take(events, 1)
            fake.break_streams()
            fake.append()
            await take(events, 1)

    asyncio.run(play())
    assert [header.tls_cert_hash for header in fake.streams] == [b"h" * 32] * 2


def test_chaincode_events_lose_and_repeat_nothing(
    fake: FakeGateway, endpoint: Endpoint, member: Member
) -> None:
    for _ in range(3):
        fake.append()

    async def play() -> None:
        async with connect(endpoint, member[0], sign=member[1]) as gateway:
            network = gateway.get_network("chain")
            async with network.get_chaincode_events("basic", start_block=0, reconnect=QUICK) as events:
                seen = await take(events, 3)  # the middle of a block
                fake.break_streams()
                seen += await take(events, 5)
            names = [event.transaction_id for event in seen]
            assert names == [f"{block}-{index}" for block in range(4) for index in range(2)]
            assert (seen[1].event_name, seen[1].payload, seen[1].chaincode_name) == ("made", b"1", "basic")

    asyncio.run(play())


def test_chaincode_events_from_a_checkpoint(
    fake: FakeGateway, endpoint: Endpoint, member: Member, tmp_path: Path
) -> None:
    fake.append()

    async def play() -> None:
        async with connect(endpoint, member[0], sign=member[1]) as gateway:
            network = gateway.get_network("chain")
            seen: list[str] = []
            for _ in range(4):  # a restart after every event
                cursor = FileCheckpointer(tmp_path / "cursor.json")
                async with network.get_chaincode_events("basic", start_block=0, checkpoint=cursor) as events:
                    (event,) = await take(events, 1)
                    seen.append(event.transaction_id)
                    cursor.checkpoint_transaction(event.block_number, event.transaction_id)
            assert seen == ["0-0", "0-1", "1-0", "1-1"]

    asyncio.run(play())


def test_blocks_from_a_checkpoint(fake: FakeGateway, endpoint: Endpoint, member: Member) -> None:
    fake.append()
    cursor = InMemoryCheckpointer()
    cursor.checkpoint_block(0)

    async def play() -> None:
        async with connect(endpoint, member[0], sign=member[1]) as gateway:
            events = gateway.get_network("chain").get_block_events(start_block=0, checkpoint=cursor)
            assert (await take(events, 1))[0].header.number == 1

    asyncio.run(play())


def test_the_first_connection_is_waited_for_too(
    fake: FakeGateway, endpoint: Endpoint, member: Member
) -> None:
    fake.faults["Deliver"].append(Fault(grpc.StatusCode.UNAVAILABLE))
    fake.stop()
    threading.Timer(0.3, fake.start).start()

    async def play() -> None:
        async with connect(endpoint, member[0], sign=member[1]) as gateway:
            events = gateway.get_network("chain").get_block_events(start_block=0, reconnect=QUICK)
            assert (await take(events, 1))[0].header.number == 0

    asyncio.run(play())


def test_back_off_grows_and_is_bounded() -> None:
    pauses = [Backoff(0.1, 2.0).pause(attempt) for attempt in range(1, 100)]
    assert 0.05 <= pauses[0] <= 0.1
    assert all(pause <= 2.0 for pause in pauses)
    assert min(pauses[10:]) >= 1.0
