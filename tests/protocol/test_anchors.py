"""Statements and rosters: their digests bind every field."""

from dataclasses import fields, replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statements import Signers, make_statement

from protocol.anchors import AnchorStatement, LatestAnchor, Roster, SignedStatement
from protocol.encodings import decode, encode, tagged_hash
from protocol.errors import SchemaMismatch

STATEMENT = make_statement("main", 3)
OTHERS = {
    "chain": "edge-a",
    "number": 4,
    "first": 1,
    "last": 99,
    "news": 0,
    "height": 1,
    "header_hash": bytes(32),
    "parameters": bytes(32),
    "value_before": bytes(256),
    "value_after": bytes(256),
    "tree_root": bytes(32),
    "latest": (LatestAnchor("edge-a", 1, bytes(32)),),
}


def test_every_field_is_tried():
    assert set(OTHERS) == {field.name for field in fields(AnchorStatement)}


@pytest.mark.parametrize("name", sorted(OTHERS))
def test_the_digest_binds_every_field(name):
    other = replace(STATEMENT, **{name: OTHERS[name]})
    assert other.digest() != STATEMENT.digest()
    assert other.signing_bytes() != STATEMENT.signing_bytes()


def test_digest_and_signed_bytes_as_they_are_specified():
    digest = tagged_hash("edgeproof/anchor/v1", encode(STATEMENT))
    assert STATEMENT.digest() == digest
    assert STATEMENT.signing_bytes() == b"edgeproof/anchor-signature/v1\x00" + digest


def test_signed_statements_round_trip():
    signed = Signers("main").sign(STATEMENT)
    assert decode(SignedStatement, encode(signed)) == signed
    with pytest.raises(SchemaMismatch):
        decode(AnchorStatement, encode(signed))


keys = st.dictionaries(st.text(max_size=4), st.binary(max_size=4), max_size=3)


@given(keys, keys)
def test_rosters_differ_by_any_key(first, second):
    rosters = [Roster("main", 1, 2, chosen) for chosen in (first, second)]
    assert (rosters[0].digest() == rosters[1].digest()) == (first == second)


def test_roster_digests_and_fingerprints():
    roster = Roster("main", 1, 2, {"B": b"2", "A": b"1"})
    assert roster.digest() == Roster("main", 1, 2, {"A": b"1", "B": b"2"}).digest()
    for other in ({"chain": "edge-a"}, {"version": 2}, {"threshold": 1}):
        assert replace(roster, **other).digest() != roster.digest()
    assert roster.fingerprint("A") == sha256(b"1").digest()
