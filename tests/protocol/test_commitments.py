"""What is signed and committed to binds every field."""

import hashlib
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.commitments import (
    aggregate_commitment,
    authorisation_bytes,
    data_set_digest,
    manifest_bytes,
    parse_manifest,
    rebase_bytes,
    recipe_digest,
    step_commitment,
)
from protocol.encodings import encode, parse_canonical_json, tagged_hash
from protocol.errors import EncodingError, SchemaMismatch

A, B, C, D, E = (bytes([number]) * 32 for number in range(1, 6))
records = st.lists(st.binary(min_size=32, max_size=32), unique=True, max_size=5)


@dataclass(frozen=True)
class Request:
    FUNCTION: ClassVar[str] = "devices:enrol"
    device: str
    key: bytes
    possession: bytes
    authorisation: str


@dataclass(frozen=True)
class OtherRequest:
    FUNCTION: ClassVar[str] = "devices:grant"
    device: str
    key: bytes
    possession: bytes
    authorisation: str


@dataclass(frozen=True)
class Input:
    chain: str
    result: bytes


@given(records)
def test_manifests_round_trip(ids):
    raw = manifest_bytes(ids)
    assert parse_manifest(raw) == tuple(ids)
    assert data_set_digest(ids) == hashlib.sha256(raw).digest()


@given(records, records)
def test_data_sets_differ_by_content_and_order(first, second):
    assert (data_set_digest(first) == data_set_digest(second)) == (first == second)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"[1]",
        b'["00"]',
        b'["' + b"zz" * 32 + b'"]',
        b'["' + b"AB" * 32 + b'"]',
        b'[ "' + b"00" * 32 + b'"]',
        b'["' + b"00" * 32 + b'","' + b"00" * 32 + b'"]',
        b'["' + b"00 " * 32 + b'"]',
    ],
)
def test_what_is_no_manifest(raw):
    with pytest.raises(EncodingError):
        parse_manifest(raw)


def test_step_commitment_as_it_is_specified():
    expected = tagged_hash("edgeproof/step/v1", A, B, C, D, E, 7, "run-1")
    assert step_commitment(A, B, C, D, E, 7, "run-1") == expected
    assert (
        step_commitment(result=A, parent=B, aggregate=C, data=D, recipe=E, number=7, run="run-1") == expected
    )


def test_step_commitment_binds_each_field():
    fields = [A, B, C, D, E, 7, "run-1"]
    seen = {step_commitment(*fields)}
    for position in range(len(fields)):
        for other in (
            (b"\x09" * 32, A if position != 0 else B)
            if position < 5
            else (8,)
            if position == 5
            else ("run-2",)
        ):
            altered = list(fields)
            altered[position] = other
            if altered != fields:
                seen.add(step_commitment(*altered))
    assert len(seen) == 1 + 5 * 2 + 2


def test_aggregate_commitment_binds_each_field_and_the_inputs_order():
    inputs = [Input("edge-a", A), Input("edge-b", B)]
    base = aggregate_commitment(A, B, inputs, C, 1, "run-1")
    encoded = [encode(entry) for entry in inputs]
    assert base == tagged_hash("edgeproof/aggregate/v1", A, B, C, 1, "run-1", 2, *encoded)
    others = {
        aggregate_commitment(B, B, inputs, C, 1, "run-1"),
        aggregate_commitment(A, A, inputs, C, 1, "run-1"),
        aggregate_commitment(A, B, inputs, D, 1, "run-1"),
        aggregate_commitment(A, B, inputs, C, 2, "run-1"),
        aggregate_commitment(A, B, inputs, C, 1, "run-2"),
        aggregate_commitment(A, B, inputs[::-1], C, 1, "run-1"),
        aggregate_commitment(A, B, inputs[:1], C, 1, "run-1"),
        aggregate_commitment(A, B, [], C, 1, "run-1"),
        aggregate_commitment(A, B, [Input("edge-a", A), Input("edge-b", A)], C, 1, "run-1"),
    }
    assert len(others | {base}) == 10


def test_authorisations_bind_chain_function_and_fields_but_no_signature():
    request = Request("meter-1", b"key", b"", "")
    signed = authorisation_bytes("edge-a", request)
    head, _, body = signed.partition(b"\x00")
    assert head == b"edgeproof/authorisation/v1"
    assert parse_canonical_json(body) == {
        "chain": "edge-a",
        "function": "devices:enrol",
        "message": {"device": "meter-1", "key": b"key".hex()},
    }
    assert authorisation_bytes("edge-a", replace(request, possession=b"s", authorisation="s")) == signed
    others = {
        authorisation_bytes("edge-b", request),
        authorisation_bytes("edge-a", replace(request, device="meter-2")),
        authorisation_bytes("edge-a", replace(request, key=b"other")),
        authorisation_bytes("edge-a", OtherRequest("meter-1", b"key", b"", "")),
    }
    assert len(others | {signed}) == 5


def test_only_messages_are_authorised():
    with pytest.raises(SchemaMismatch):
        authorisation_bytes("edge-a", [1])


def test_recipes_and_rebases():
    assert recipe_digest(Input("a", A)) == tagged_hash("edgeproof/recipe/v1", encode(Input("a", A)))
    assert recipe_digest(Input("a", A)) != recipe_digest(Input("a", B))
    assert len({rebase_bytes(A, B), rebase_bytes(B, A), rebase_bytes(A, C)}) == 3
    assert rebase_bytes(A, B).startswith(b"edgeproof/rebase-signature/v1\x00")
