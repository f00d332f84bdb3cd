"""The trust root is read strictly, though people may format it."""

import json
from dataclasses import replace

import pytest
from statements import make_chain_trust

from accumulator import RSA_2048, default_parameters
from protocol.encodings import to_json
from protocol.errors import MalformedJson, SchemaMismatch
from protocol.trust import TRUST_SCHEMA, Checkpoint, TrustRoot, parse_trust, serialise_trust

MODULUS = RSA_2048.to_bytes(256, "big")
TRUST = TrustRoot(TRUST_SCHEMA, "main", (make_chain_trust("edge-a"), make_chain_trust("main")))


def changed(**fields):
    value = to_json(TRUST)
    value["chains"][0] |= fields
    return json.dumps(value).encode()


def test_round_trip_in_any_formatting():
    raw = serialise_trust(TRUST)
    assert raw.endswith(b"}\n")
    assert parse_trust(raw) == TRUST
    assert parse_trust(json.dumps(to_json(TRUST)).encode()) == TRUST


def test_what_a_chain_is_trusted_for():
    trusted = TRUST.find("edge-a")
    assert trusted is not None
    assert trusted.parameters() == default_parameters("edge-a")
    assert trusted.configuration_blocks() == (b"\x00\x01\x02",)
    assert TRUST.find("edge-z") is None


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"chain": "edge-b"}, "roster"),
        ({"genesis_hash": "00"}, "genesis_hash"),
        ({"config_blocks": ["A"]}, "config_blocks"),
        ({"config_blocks": []}, "no configuration block"),
        ({"policy": 0}, "policy"),
        ({"origin": "somewhere"}, "origin"),
        ({"origin": "ceremony", "modulus": "03"}, "modulus"),
        ({"modulus": ""}, "modulus"),
        ({"modulus": "00" + MODULUS.hex()}, "modulus"),
        ({"modulus": (MODULUS[:-1] + b"\x01").hex()}, "challenge"),
        ({"checkpoint": {"number": 1, "statement": ""}}, "statement"),
        ({"checkpoint": {"number": 0, "statement": "00" * 32}}, "statement"),
        ({"checkpoint": {"number": -1, "statement": ""}}, "number"),
        ({"more": 1}, "more"),
    ],
)
def test_chains_out_of_form(fields, match):
    with pytest.raises(SchemaMismatch, match=match):
        parse_trust(changed(**fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"threshold": 0},
        {"threshold": 3},
        {"version": 0},
        {"keys": {"A": "00"}},
        {"chain": "edge-b"},
    ],
)
def test_rosters_that_name_no_quorum(fields):
    roster = to_json(TRUST.chains[0].roster) | fields
    with pytest.raises(SchemaMismatch):
        parse_trust(changed(roster=roster))


def test_the_root_itself():
    for wrong in (
        {"schema": "edgeproof/trust/v2"},
        {"main": "cloud"},
        {"chains": []},
        {"chains": to_json(TRUST.chains)[::-1]},
        {"chains": [to_json(TRUST.chains)[1]] * 2},
        {"note": "x"},
    ):
        with pytest.raises(SchemaMismatch):
            parse_trust(json.dumps(to_json(TRUST) | wrong).encode())
    for raw in (
        b"",
        b"{",
        serialise_trust(TRUST).replace(b'"main": "main"', b'"main": "main", "main": "main"'),
    ):
        with pytest.raises(MalformedJson):
            parse_trust(raw)


def test_checkpoints():
    kept = replace(TRUST.chains[0], checkpoint=Checkpoint(3, bytes(32)))
    assert parse_trust(serialise_trust(replace(TRUST, chains=(kept, TRUST.chains[1])))).find("edge-a") == kept
