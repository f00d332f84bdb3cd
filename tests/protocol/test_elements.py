"""Views of real envelopes; digests; what is news."""

from dataclasses import replace
from hashlib import sha256

import pytest
from fabric_protos.common import common_pb2
from fake_blocks import configuration, envelope, make_block, result
from hypothesis import given
from hypothesis import strategies as st

from protocol.elements import Element, ElementView, element_of, is_news, result_of, views
from protocol.encodings import canonical_json, tagged_hash
from protocol.errors import InvalidBlock

ELEMENT = Element("edge-a", 7, 3, 1, 0, sha256(b"e").digest(), sha256(b"p").digest())


def view(function: str, payload: bytes = b"", code: int = 0, chaincode: str = "edgeproof") -> ElementView:
    block = make_block(5, bytes(32), [envelope(function, payload=payload, chaincode=chaincode)], [code])
    return views(block)[0]


def accepted(news: int) -> bytes:
    return result("interlock:accept", {"chain": "edge-a", "news": news, "number": 1, "statement": "00" * 32})


def test_a_transaction_is_read_whole():
    raw = envelope(
        "records:submit", b'{"a":1}', b'{"root":""}', transaction="tx-1", creator=b"me", timestamp_ms=12345
    )
    (seen,) = views(make_block(4, bytes(32), [raw]))
    assert seen == ElementView(
        4, 0, 0, raw, b'{"root":""}', "tx-1", "records:submit", b'{"a":1}', b"me", 12345, "edgeproof",
        kind=common_pb2.HeaderType.ENDORSER_TRANSACTION,
    )  # fmt: skip


def test_configuration_has_no_payload():
    raw = configuration(b"orderer")
    (seen,) = views(make_block(0, b"", [raw]))
    assert seen == ElementView(
        0, 0, 0, raw, b"", "", "", b"", b"orderer", 0, "", kind=common_pb2.HeaderType.CONFIG
    )  # fmt: skip


def test_what_is_not_valid_keeps_its_call_and_loses_its_payload():
    raws = [envelope("records:submit", payload=b"x"), envelope("records:submit", payload=b"x", status=500)]
    invalid, failed = views(make_block(4, bytes(32), raws, [11, 0]))
    assert (invalid.code, invalid.function, invalid.payload) == (11, "records:submit", b"")
    assert (failed.code, failed.function, failed.payload) == (0, "records:submit", b"")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff",
        b"not a message",
        envelope("f", payload=b"x", actions=0),
        envelope("f", payload=b"x", actions=2),
        envelope("f", payload=b"x")[:-20],
        common_pb2.Envelope(payload=b"\xff\xff").SerializeToString(),
    ],
)
def test_unreadable_envelopes_are_elements_all_the_same(raw):
    good = envelope("f", payload=b"x")
    broken, seen = views(make_block(4, bytes(32), [raw, good]))
    assert (broken.envelope, broken.index, broken.function, broken.payload) == (raw, 0, "", b"")
    assert (seen.index, seen.function) == (1, "f")
    assert is_news(broken, main=True)
    assert is_news(broken, main=False)


@given(st.binary(max_size=200))
def test_views_never_fail_on_an_envelope(raw):
    (seen,) = views(make_block(4, bytes(32), [raw], [254]))
    assert seen.envelope == raw
    assert seen.payload == b""


@given(st.data())
def test_views_never_fail_on_a_damaged_transaction(data):
    raw = bytearray(envelope("interlock:accept", b"{}", accepted(1)))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    (seen,) = views(make_block(4, bytes(32), [bytes(raw)]))
    is_news(seen, main=True)


def test_a_function_name_that_is_no_text_is_no_function():
    raw = envelope("interlock:cut").replace(b"interlock:cut", b"interlock\xffcut")
    (seen,) = views(make_block(4, bytes(32), [raw]))
    assert (seen.function, seen.chaincode) == ("", "")


def test_a_block_without_codes_never_passed_a_peer():
    block = make_block(4, bytes(32), [envelope("f"), envelope("g")], [0])
    with pytest.raises(InvalidBlock):
        views(block)


def test_the_digest_as_it_is_specified():
    assert ELEMENT.digest() == tagged_hash(
        "edgeproof/element/v1", "edge-a", 7, 3, 1, 0, sha256(b"e").digest(), sha256(b"p").digest()
    )


@pytest.mark.parametrize(
    "change",
    [
        {"chain": "edge-b"},
        {"number": 8},
        {"block": 4},
        {"index": 2},
        {"code": 1},
        {"envelope_hash": bytes(32)},
        {"payload_hash": bytes(32)},
    ],
)
def test_the_digest_binds_every_field(change):
    assert replace(ELEMENT, **change).digest() != ELEMENT.digest()


def test_negative_numbers_have_no_digest():
    with pytest.raises(OverflowError):
        replace(ELEMENT, number=-1).digest()


def test_element_of_hashes_envelope_and_payload():
    seen = view("records:submit", b"p")
    element = element_of("edge-a", 9, seen)
    assert element == Element("edge-a", 9, 5, 0, 0, sha256(seen.envelope).digest(), sha256(b"p").digest())


@pytest.mark.parametrize(
    ("function", "payload", "code", "on_edge", "on_main"),
    [
        ("records:submit", b"{}", 0, True, True),
        ("records:submit", b"{}", 11, True, True),
        ("interlockx:cut", b"{}", 0, True, True),
        ("", b"", 0, True, True),
        ("interlock:cut", b"{}", 0, False, False),
        ("interlock:cut", b"{}", 11, False, False),
        ("interlock:sign", b"{}", 0, False, False),
        ("interlock:sign", b"{}", 11, False, False),
        ("interlock:registerSource", b"{}", 0, False, True),
        ("interlock:replaceRoster", b"{}", 0, False, True),
        ("interlock:rebase", b"{}", 0, False, True),
        ("interlock:accept", accepted(3), 0, False, True),
        ("interlock:accept", accepted(0), 0, False, False),
        ("interlock:accept", accepted(False), 0, False, True),
        ("interlock:accept", b"unreadable", 0, False, True),
        ("interlock:accept", accepted(3), 11, False, False),
    ],
)
def test_what_is_news(function, payload, code, on_edge, on_main):
    seen = view(function, payload, code)
    assert is_news(seen, main=False) is on_edge
    assert is_news(seen, main=True) is on_main


def test_another_chaincode_interlocks_nothing():
    seen = view("interlock:cut", result("interlock:cut", {"number": 1}), chaincode="other")
    assert is_news(seen, main=False)
    assert is_news(seen, main=True)
    assert result_of(seen, "interlock:cut") is None


def test_results_name_their_function():
    payload = result("interlock:cut", {"number": 1})
    assert result_of(view("interlock:cut", payload), "interlock:cut") == {"number": 1}
    assert result_of(view("interlock:cut", payload), "interlock:sign") is None
    assert result_of(view("interlock:sign", payload), "interlock:sign") is None
    assert result_of(view("interlock:cut", payload, code=11), "interlock:cut") is None
    for broken in (
        b"",
        b"{",
        b"[]",
        b" " + payload,
        canonical_json({"result": [], "type": "interlock:cut"}),
        canonical_json({"result": {}, "type": "interlock:cut", "more": 1}),
    ):
        assert result_of(view("interlock:cut", broken), "interlock:cut") is None
