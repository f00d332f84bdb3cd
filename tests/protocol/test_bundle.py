"""The bundle's one encoding: every list in order, nothing twice, nothing unknown."""

import hashlib
import json
from dataclasses import replace

import pytest
from fake_blocks import FakeChain, configuration, envelope
from hypothesis import given
from hypothesis import strategies as st
from statements import Signers, make_statement

from protocol.anchors import AnchorSignature, LatestAnchor
from protocol.blocks import header_hash
from protocol.bundle import (
    BUNDLE_SCHEMA,
    BatchEvidence,
    BlockEvidence,
    Bundle,
    Holding,
    LeafEvidence,
    ProvenElement,
    assemble,
    parse_bundle,
    serialise_bundle,
)
from protocol.commitments import data_set_digest
from protocol.elements import Element
from protocol.encodings import canonical_json, to_json
from protocol.errors import EncodingError, MalformedJson, SchemaMismatch
from protocol.readings import RecordLeaf, SignedReading


def digest(label: object) -> bytes:
    return hashlib.sha256(repr(label).encode()).digest()


def proven(chain: str = "edge-a", number: int = 1, **changes) -> ProvenElement:
    return replace(
        ProvenElement(number, chain, 1, 0, 0, digest("envelope"), '{"é":1}', 1, 12, b"\x05" * 64), **changes
    )


def leaf(index: int, path: tuple[bytes, ...] = ()) -> LeafEvidence:
    reading = SignedReading(
        "meter-1", "meter-1", "ed25519", 1760000000, f"n{index}", digest(index), "text/plain", bytes(64)
    )
    return LeafEvidence(index, RecordLeaf(digest(("record", index)), digest("key"), reading), path)


def batch(chain: str = "edge-a", number: int = 1, leaves: tuple[LeafEvidence, ...] | None = None):
    return BatchEvidence(chain, number, leaves or (leaf(0), leaf(1)))


def block_evidence(chain: str = "edge-a", number: int = 1) -> BlockEvidence:
    made = FakeChain()
    made.add(configuration())
    made.add(envelope("f"), envelope("g"))
    return BlockEvidence.of(chain, made.blocks[number])


SIGNED = [
    Signers(chain).sign(make_statement(chain, number)) for chain in ("edge-a", "main") for number in (1, 2)
]
MANIFESTS = sorted([(digest("b"), digest("a")), (digest("c"),), ()], key=data_set_digest)
FULL = Bundle(
    schema=BUNDLE_SCHEMA,
    profile="full",
    kind="model",
    chain="main",
    subject="run-1:10",
    statements=tuple(SIGNED),
    elements=(proven(number=1), proven(number=2), proven("main")),
    batches=(batch(), batch(number=2, leaves=(leaf(1, (digest("x"),)), leaf(4, (digest("y"),))))),
    manifests=tuple(MANIFESTS),
    holdings=(Holding("edge-b", 1, 0, digest("s")), Holding("edge-b", 1, 1, digest("t"))),
    blocks=(block_evidence(number=0), block_evidence(), block_evidence("edge-b")),
    configurations=(block_evidence(), block_evidence("edge-b")),
)
LISTS = ("statements", "elements", "batches", "manifests", "holdings", "blocks", "configurations")


def refused(value: object, match: str | None = None) -> None:
    with pytest.raises(SchemaMismatch, match=match):
        parse_bundle(canonical_json(value))


def test_round_trip():
    assert parse_bundle(serialise_bundle(FULL)) == FULL
    empty = assemble(profile="compact", kind="record", chain="edge-a", subject="ab" * 32)
    assert parse_bundle(serialise_bundle(empty)) == empty


@pytest.mark.parametrize("name", LISTS)
def test_every_list_has_one_order_and_nothing_twice(name):
    value = to_json(FULL)
    entries = value[name]
    refused(value | {name: entries[::-1]}, "sorted")
    refused(value | {name: [entries[0], *entries]}, "twice")
    refused(value | {name: [*entries[1:], entries[0]]}, "sorted")


def test_two_parts_for_one_place_are_refused():
    with pytest.raises(ValueError, match="elements"):
        assemble(
            profile="compact",
            kind="record",
            chain="edge-a",
            subject="ab" * 32,
            elements=[proven(), proven(offset=14)],
        )


def test_assembling_sorts_and_drops_repetitions():
    parts = {name: list(getattr(FULL, name)) for name in LISTS}
    shuffled = {name: (entries + entries)[::-1] for name, entries in parts.items()}
    head = {"profile": "full", "kind": "model", "chain": "main", "subject": "run-1:10"}
    assert assemble(**head, **shuffled) == FULL


def test_signatures_and_latest_anchors_are_sorted():
    signed = SIGNED[0]
    swapped = replace(signed, signatures=signed.signatures[::-1])
    with pytest.raises(ValueError, match="signatures"):
        replace(FULL, statements=(swapped,))
    doubled = replace(signed, signatures=(signed.signatures[0],) * 2)
    with pytest.raises(ValueError, match="signatures"):
        replace(FULL, statements=(doubled,))
    latest = (LatestAnchor("edge-b", 1, digest(1)), LatestAnchor("edge-a", 1, digest(2)))
    with pytest.raises(ValueError, match="latest"):
        replace(FULL, statements=(replace(signed, statement=replace(signed.statement, latest=latest)),))


def test_a_manifest_names_no_record_twice_and_keeps_its_order():
    with pytest.raises(ValueError, match="twice"):
        replace(FULL, manifests=((digest("a"), digest("a")),))
    with pytest.raises(ValueError, match="32 bytes"):
        replace(FULL, manifests=((b"short",),))
    assert (digest("b"), digest("a")) in parse_bundle(serialise_bundle(FULL)).manifests


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "edgeproof/bundle/v2"},
        {"profile": "tiny"},
        {"kind": "records"},
        {"chain": "Edge"},
        {"subject": "run-1"},
        {"subject": "run-1:0"},
        {"subject": "run-1:01"},
        {"subject": "run-1:1:2"},
        {"subject": "Run:1"},
        {"subject": "run-1:1\n"},
        {"kind": "record"},
        {"kind": "record", "subject": "AB" * 32},
        {"kind": "record", "subject": "ab" * 31},
        {"note": "informative"},
    ],
)
def test_heads_out_of_form(change):
    refused(to_json(FULL) | change)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("elements", {"number": 0}),
        ("elements", {"block": -1}),
        ("elements", {"code": -1}),
        ("elements", {"anchor": 0}),
        ("elements", {"offset": -2}),
        ("elements", {"chain": "a b"}),
        ("elements", {"envelope_hash": "00"}),
        ("elements", {"envelope_hash": "AB" * 32}),
        ("elements", {"witness": "0"}),
        ("elements", {"more": 1}),
        ("batches", {"number": 0}),
        ("batches", {"leaves": []}),
        ("holdings", {"statement": ""}),
        ("holdings", {"index": -1}),
        ("blocks", {"data_hash": ""}),
        ("blocks", {"previous_hash": "00" * 32}),
        ("blocks", {"envelopes": []}),
        ("blocks", {"envelopes": ["AAA"]}),
        ("blocks", {"envelopes": ["AB=="]}),
        ("blocks", {"envelopes": ["AA==\n"]}),
        ("blocks", {"envelopes": ["AA-_"]}),
        ("blocks", {"envelopes": ["é==="]}),
        ("blocks", {"signatures": "A"}),
        ("statements", {"signatures": 1}),
    ],
)
def test_parts_out_of_form(name, change):
    value = to_json(FULL)
    value[name][0] |= change
    refused(value, name)


def test_leaves_are_the_whole_batch_or_have_paths():
    one = (digest("p"),)
    for leaves in (
        (leaf(1), leaf(2)),
        (leaf(0), leaf(2)),
        (leaf(0), leaf(1, one)),
        (leaf(1, one), leaf(0, one)),
        (leaf(0, one), leaf(0, one)),
    ):
        with pytest.raises(ValueError, match="leaves"):
            batch(leaves=leaves)
    assert batch(leaves=(leaf(0),)).whole
    assert not batch(leaves=(leaf(3, one),)).whole
    with pytest.raises(ValueError, match="path"):
        leaf(0, (b"short",))


def test_a_proven_element_is_the_element_it_claims():
    payload = hashlib.sha256('{"é":1}'.encode()).digest()
    assert proven(number=5).element() == Element("edge-a", 5, 1, 0, 0, digest("envelope"), payload)


def test_block_evidence_gives_the_block_back_without_what_nobody_signed():
    made = FakeChain()
    made.add(configuration())
    original = made.add(envelope("f"), envelope("g"))
    original.metadata.metadata[0] = b"signatures"
    again = BlockEvidence.of("edge-a", original).block()
    assert header_hash(again.header) == header_hash(original.header)
    assert list(again.data.data) == list(original.data.data)
    assert list(again.metadata.metadata) == [b"signatures"]


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda raw: raw + b"\n",
        lambda raw: b" " + raw,
        lambda raw: raw.replace(b'":', b'": ', 1),
        lambda raw: json.dumps(json.loads(raw), sort_keys=True).encode(),
        lambda raw: json.dumps(dict(reversed(json.loads(raw).items())), separators=(",", ":")).encode(),
        lambda raw: raw.replace(b'{"batches"', b'{"chain":"main","batches"', 1),
        lambda raw: raw[:-1] + b',"subject":"run-1:10"}',
        lambda raw: raw.replace("é".encode(), b"\\u00e9"),
        lambda raw: raw.replace(b'"anchor":1', b'"anchor":1.0', 1),
        lambda raw: raw[:-1],
        lambda raw: b"",
        lambda raw: b"\x89PNG",
    ],
)
def test_any_other_spelling_is_refused(rewrite):
    with pytest.raises(MalformedJson):
        parse_bundle(rewrite(serialise_bundle(FULL)))


RAW = serialise_bundle(FULL)


@given(st.integers(0, len(RAW) - 1), st.binary(min_size=1, max_size=3), st.integers(0, 2))
def test_damaged_files_give_a_typed_error_or_another_bundle(position, patch, removed):
    damaged = RAW[:position] + patch + RAW[position + removed :]
    try:
        bundle = parse_bundle(damaged)
    except EncodingError:
        return
    assert serialise_bundle(bundle) == damaged


def test_signature_types_are_the_anchors_own():
    assert isinstance(parse_bundle(RAW).statements[0].signatures[0], AnchorSignature)
