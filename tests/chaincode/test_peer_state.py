"""The world state over the stream, as a peer that speaks it over loopback serves it."""

from __future__ import annotations

import pytest
from fake_peer import Message
from stream_contract import Start, refusal

from chaincode.context import Context


def test_writes_arrive_after_the_contract_and_are_not_seen_by_it(start: Start, creator: bytes) -> None:
    peer = start(values={"a": b"1"})
    response = peer.call(creator, b"put", b"a=2", transaction="t1")
    assert (response.status, response.payload) == (200, b"1")
    assert [kind for _, kind in peer.log] == ["GET_STATE", "GET_STATE", "PUT_STATE"]
    assert peer.values == {"a": b"2"}
    peer.call(creator, b"delete", b"a", transaction="t2")
    assert peer.values == {}
    assert peer.call(creator, b"get", b"a", transaction="t3").payload == b"-"


@pytest.mark.parametrize(
    ("offer", "requests"),
    [
        (None, ["GET_STATE"] * 5 + ["PUT_STATE", "DEL_STATE", "PUT_STATE", "DEL_STATE", "PUT_STATE"]),
        ((0, 0), ["GET_STATE"] * 5 + ["PUT_STATE", "DEL_STATE", "PUT_STATE", "DEL_STATE", "PUT_STATE"]),
        ((1000, 1000), ["GET_STATE_MULTIPLE", "WRITE_BATCH_STATE"]),
        ((5, 5), ["GET_STATE_MULTIPLE", "WRITE_BATCH_STATE"]),
        ((2, 4), ["GET_STATE_MULTIPLE"] * 3 + ["WRITE_BATCH_STATE"] * 2),
        ((0, 1000), ["GET_STATE"] * 5 + ["WRITE_BATCH_STATE"]),
    ],
)
def test_many_keys_go_together_as_far_as_the_peer_offers_it(
    start: Start, creator: bytes, offer: tuple[int, int] | None, requests: list[str]
) -> None:
    peer = start(values={"b": b"2", "d": b"4"}, offer=offer)
    response = peer.call(creator, b"many", b"a,b,c,d,e")
    assert (response.status, response.payload) == (200, b"-;2;-;4;-")
    assert [kind for _, kind in peer.log] == requests
    assert peer.values == {"a": b"new0", "c": b"new2", "e": b"new4"}
    peer.log.clear()
    assert peer.call(creator, b"get", b"a").payload == b"new0"
    assert [kind for _, kind in peer.log] == ["GET_STATE"], "nothing is written where nothing was put"


def test_a_large_write_is_split_below_the_streams_limit(start: Start, creator: bytes) -> None:
    def contract(context: Context, function: str, argument: bytes) -> bytes:
        for number in range(12):
            context.state.put(f"k{number}", bytes([number]) * 10 * 1024 * 1024)
        return b""

    peer = start(run=contract, offer=(1000, 1000))
    assert peer.call(creator, b"put", b"").status == 200
    assert {kind for _, kind in peer.log} == {"WRITE_BATCH_STATE"}
    assert [peer.values[f"k{number}"][0] for number in range(12)] == list(range(12))


@pytest.mark.parametrize("key", ["a", "e"])
def test_a_failure_among_many_keys_is_no_success(start: Start, creator: bytes, key: str) -> None:
    peer = start(offer=(3, 3))
    peer.refused.add(key)
    response = peer.call(creator, b"many", b"a,b,c,d,e")
    assert refusal(response) == "peer-refused"
    assert "secret" not in response.message
    assert peer.values == {}
    assert refusal(peer.call(creator, b"put", f"{key}=1".encode())) == "peer-refused"


def test_a_ready_that_cannot_be_read_offers_nothing(start: Start, creator: bytes) -> None:
    peer = start()
    peer.send(Message(type=Message.READY, payload=b"\xff"))
    assert peer.call(creator, b"many", b"a,b").payload == b"-;-"
    assert [kind for _, kind in peer.log] == ["GET_STATE"] * 2 + ["PUT_STATE"] * 2


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 6, 7, 10])
def test_a_range_is_read_page_by_page(start: Start, creator: bytes, size: int) -> None:
    values = {f"k{number:02}": b"v%d" % number for number in range(size)}
    peer = start(values={**values, "j": b"before", "l": b"after"})
    expected = ";".join(f"{key}={value.decode()}" for key, value in values.items())
    assert peer.call(creator, b"range", b"k,l,").payload.decode() == expected
    assert not peer.iterators
    pages = [kind for _, kind in peer.log]
    assert pages == ["GET_STATE_BY_RANGE"] + ["QUERY_STATE_NEXT"] * (max(size - 1, 0) // 3)


def test_a_range_that_is_left_early_closes_the_peers_iterator(start: Start, creator: bytes) -> None:
    peer = start(values={f"k{number}": b"v" for number in range(9)})
    assert peer.call(creator, b"range", b"k,l,2").payload == b"k0=v;k1=v"
    assert [kind for _, kind in peer.log] == ["GET_STATE_BY_RANGE", "QUERY_STATE_CLOSE"]
    assert not peer.iterators


def test_an_empty_start_does_not_reach_composite_keys(start: Start, creator: bytes) -> None:
    peer = start(values={"\x00composite\x00": b"c", "a": b"1"})
    assert peer.call(creator, b"range", b",,").payload == b"a=1"


@pytest.mark.parametrize("call", [(b"get", b"bad"), (b"put", b"bad=1"), (b"put", b"late=1")])
def test_an_error_of_the_peer_is_no_success(start: Start, creator: bytes, call: tuple[bytes, bytes]) -> None:
    peer = start()
    peer.refused.add("bad")
    peer.unwritable.add("late")
    peer.values["late"] = b"0"
    response = peer.call(creator, *call)
    assert refusal(response) == "peer-refused"
    assert "secret" not in response.message
    assert peer.values == {"late": b"0"}
