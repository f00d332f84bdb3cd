"""The signature base against RFC 9421's own examples, and the readings' profile of it."""

import base64
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from http_signatures import base_of, signature_parameters
from hypothesis import given
from hypothesis import strategies as st

from identity.errors import InvalidSignature
from identity.keys import KeyPair, verify_key
from identity.signatures import parse_public_key, raw_to_der
from protocol.errors import ContentDigestMismatch, InvalidSignatureBase, MalformedHeaders, WrongChain
from protocol.readings import SignedReading
from protocol.signature_base import (
    http_headers,
    parse_http_headers,
    record_id,
    signature_base,
    verify_reading,
)

EXAMPLES = json.loads((Path(__file__).parents[1] / "vectors/protocol/rfc9421.json").read_text())["bases"]
BODY = b'{"pixels":[0,1,2],"label":3}'
NAMES = ("Content-Digest", "Content-Type", "Edgeproof-Chain", "Signature-Input", "Signature")

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}", fullmatch=True)


@st.composite
def readings(draw):
    device = draw(names)
    return SignedReading(
        device=device,
        keyid=device + draw(st.just("") | names.map(lambda name: "@" + name)),
        algorithm=draw(st.sampled_from(["ed25519", "ecdsa-p256-sha256"])),
        created=draw(st.integers(0, 10**15 - 1)),
        nonce=draw(st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)),
        content_digest=hashlib.sha256(BODY).digest(),
        content_type=draw(st.sampled_from(["application/json", "image/png", 'text/plain; charset="utf-8"'])),
        signature=draw(st.binary(min_size=64, max_size=64)),
    )


def reading(**changes):
    plain = SignedReading(
        device="meter-7",
        keyid="meter-7",
        algorithm="ed25519",
        created=1760000000,
        nonce="n-1_A",
        content_digest=hashlib.sha256(BODY).digest(),
        content_type="application/json",
        signature=bytes(64),
    )
    return replace(plain, **changes)


def base_of_example(example):
    parameters = signature_parameters([name for name, _ in example["components"]], example["parameters"])
    return base_of(example["components"], parameters)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["section"])
def test_published_bases(example):
    assert base_of_example(example) == "\n".join(example["base"]).encode()


def test_published_ed25519_signature():
    (example,) = [example for example in EXAMPLES if example.get("algorithm") == "ed25519"]
    key, signature = base64.b64decode(example["key"]), base64.b64decode(example["signature"])
    verify_key(key, "ed25519", base_of_example(example), signature)
    with pytest.raises(InvalidSignature):
        verify_key(key, "ed25519", base_of_example(example) + b"\n", signature)


def test_published_ecdsa_signature():
    (example,) = [example for example in EXAMPLES if example.get("algorithm") == "ecdsa-p256-sha256"]
    key = parse_public_key(base64.b64decode(example["key"]))
    signature = base64.b64decode(example["signature"])
    # Verified without the rule of low S, which the RFC does not have.
    key.verify(raw_to_der(signature), base_of_example(example), ec.ECDSA(hashes.SHA256()))


@given(readings())
def test_the_profile_is_what_the_general_rules_make(signed):
    digest = base64.b64encode(signed.content_digest).decode()
    covered = [
        ('"content-digest"', f"sha-256=:{digest}:"),
        ('"content-type"', signed.content_type),
        ('"edgeproof-chain"', "edge-a"),
    ]
    parameters = signature_parameters(
        [identifier for identifier, _ in covered],
        [
            ("created", signed.created),
            ("nonce", signed.nonce),
            ("keyid", signed.keyid),
            ("alg", signed.algorithm),
            ("tag", "edgeproof-reading-v1"),
        ],
    )
    assert signature_base("edge-a", signed) == base_of(covered, parameters)


def test_the_profile_line_by_line():
    digest = base64.b64encode(hashlib.sha256(BODY).digest()).decode()
    assert signature_base("edge-a", reading(keyid="meter-7@gw-1")).decode().split("\n") == [
        f'"content-digest": sha-256=:{digest}:',
        '"content-type": application/json',
        '"edgeproof-chain": edge-a',
        '"@signature-params": ("content-digest" "content-type" "edgeproof-chain");created=1760000000'
        ';nonce="n-1_A";keyid="meter-7@gw-1";alg="ed25519";tag="edgeproof-reading-v1"',
    ]


@pytest.mark.parametrize("algorithm", ["ed25519", "ecdsa-p256-sha256"])
def test_a_signed_reading_travels_over_http_and_verifies(algorithm):
    key = KeyPair.generate(algorithm)
    unsigned = reading(algorithm=algorithm)
    signed = replace(unsigned, signature=key.sign(signature_base("edge-a", unsigned)))
    received = parse_http_headers(http_headers("edge-a", signed), BODY, "edge-a")
    assert received == signed
    verify_reading("edge-a", received, key.spki)
    for altered in (
        replace(signed, created=signed.created + 1),
        replace(signed, nonce="other"),
        replace(signed, keyid="meter-7@gw"),
        replace(signed, device="meter-8", keyid="meter-8"),
        replace(signed, content_type="text/plain"),
        replace(signed, content_digest=bytes(32)),
        replace(signed, signature=signed.signature[::-1]),
        replace(signed, algorithm="ed25519" if algorithm != "ed25519" else "ecdsa-p256-sha256"),
    ):
        with pytest.raises(InvalidSignature):
            verify_reading("edge-a", altered, key.spki)
    with pytest.raises(InvalidSignature):
        verify_reading("edge-b", signed, key.spki)
    with pytest.raises(InvalidSignature):
        verify_reading("edge-a", signed, KeyPair.generate(algorithm).spki)


@given(readings(), st.sampled_from(["main", "edge-a"]))
def test_headers_round_trip(signed, chain):
    headers = http_headers(chain, signed)
    assert parse_http_headers(headers, BODY) == signed
    assert parse_http_headers(headers, BODY, chain) == signed
    shouted = [(name.upper(), value) for name, value in headers.items()]
    assert parse_http_headers([("Host", "edge"), *shouted, ("Accept", "*/*")], BODY) == signed


@given(readings(), readings(), st.sampled_from(["edge-a", "edge-b"]))
def test_record_ids_tell_readings_apart_but_not_signatures(first, second, chain):
    same = replace(first, signature=b"") == replace(second, signature=b"") and chain == "edge-a"
    assert (record_id("edge-a", first) == record_id(chain, second)) == same
    assert record_id("edge-a", first) == record_id("edge-a", replace(first, signature=b""))
    assert record_id("edge-a", first) == hashlib.sha256(signature_base("edge-a", first)).digest()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"device": ""}, "device"),
        ({"device": "-a", "keyid": "-a"}, "device"),
        ({"device": "a/b", "keyid": "a/b"}, "device"),
        ({"device": "a@b", "keyid": "a@b"}, "device"),
        ({"device": "a" * 65, "keyid": "a" * 65}, "device"),
        ({"device": 'a"b', "keyid": 'a"b'}, "device"),
        ({"device": "a\nb", "keyid": "a\nb"}, "device"),
        ({"device": "é", "keyid": "é"}, "device"),
        ({"keyid": "meter-8"}, "keyid"),
        ({"keyid": "meter-7@"}, "keyid"),
        ({"keyid": "meter-7@a@b"}, "keyid"),
        ({"keyid": "meter-7@gw\n"}, "keyid"),
        ({"keyid": ""}, "keyid"),
        ({"algorithm": "rsa-v1_5-sha256"}, "algorithm"),
        ({"algorithm": ""}, "algorithm"),
        ({"created": -1}, "created"),
        ({"created": 10**15}, "created"),
        ({"nonce": ""}, "nonce"),
        ({"nonce": "a" * 65}, "nonce"),
        ({"nonce": "a b"}, "nonce"),
        ({"nonce": "a\n"}, "nonce"),
        ({"content_digest": bytes(31)}, "content_digest"),
        ({"content_digest": b""}, "content_digest"),
        ({"content_type": ""}, "content_type"),
        ({"content_type": "json"}, "content_type"),
        ({"content_type": " text/plain"}, "content_type"),
        ({"content_type": "text/plain "}, "content_type"),
        ({"content_type": "text/plain\n"}, "content_type"),
        ({"content_type": 'text/plain\n"edgeproof-chain": edge-b'}, "content_type"),
        ({"content_type": "text/plain; a"}, "content_type"),
        ({"content_type": "text/plain; a=é"}, "content_type"),
        ({"content_type": "text/" + "a" * 124}, "content_type"),
    ],
)
def test_fields_outside_their_grammar(changes, field):
    with pytest.raises(InvalidSignatureBase) as caught:
        signature_base("edge-a", reading(**changes))
    assert caught.value.field == field


@pytest.mark.parametrize("chain", ["", "Edge", "edge a", "1edge", "a" * 64, "edge\n", "édge"])
def test_chains_outside_their_grammar(chain):
    with pytest.raises(InvalidSignatureBase) as caught:
        signature_base(chain, reading())
    assert caught.value.field == "chain"


def test_headers_need_a_signature():
    with pytest.raises(InvalidSignatureBase):
        http_headers("edge-a", reading(signature=bytes(63)))


def test_body_and_chain_are_compared():
    headers = http_headers("edge-a", reading())
    with pytest.raises(ContentDigestMismatch):
        parse_http_headers(headers, BODY + b" ")
    with pytest.raises(WrongChain):
        parse_http_headers(headers, BODY, "edge-b")


@pytest.mark.parametrize("name", NAMES)
def test_each_header_is_needed_once(name):
    headers = http_headers("edge-a", reading())
    without = {key: value for key, value in headers.items() if key != name}
    with pytest.raises(MalformedHeaders) as caught:
        parse_http_headers(without, BODY)
    assert caught.value.field == name
    with pytest.raises(MalformedHeaders, match="twice"):
        parse_http_headers([*headers.items(), (name.lower(), headers[name])], BODY)
    with pytest.raises(InvalidSignatureBase):
        parse_http_headers(headers | {name: headers[name] * 200}, BODY)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("Content-Digest", "sha-256", "sha-512"),
        ("Content-Digest", "sha-256", "SHA-256"),
        ("Content-Digest", ":", ""),
        ("Content-Digest", "=:", "=: , sha-512=:AA==:"),
        ("Signature", "reading", "sig1"),
        ("Signature", "==:", ":"),
        ("Signature", ":AAAA", ":AAA"),
        ("Signature", "AA==:", "AB==:"),  # spare bits of the last base64 character
        ("Signature-Input", "reading=", "sig1="),
        ("Signature-Input", '"content-digest" "content-type"', '"content-type" "content-digest"'),
        ("Signature-Input", ' "edgeproof-chain"', ""),
        ("Signature-Input", '"edgeproof-chain")', '"edgeproof-chain" "@method")'),
        ("Signature-Input", "created=1760000000", "created=01760000000"),
        ("Signature-Input", "created=1760000000", "created=-1"),
        ("Signature-Input", "created=1760000000", "created=1760000000.0"),
        ("Signature-Input", "created=1760000000", "created=1760000000;expires=1"),
        ("Signature-Input", ';created=1760000000;nonce="n-1_A"', ';nonce="n-1_A";created=1760000000'),
        ("Signature-Input", 'nonce="n-1_A"', "nonce=n-1_A"),
        ("Signature-Input", 'nonce="n-1_A"', 'nonce="n\\"1"'),
        ("Signature-Input", ';alg="ed25519"', ""),
        ("Signature-Input", "edgeproof-reading-v1", "edgeproof-reading-v2"),
        ("Signature-Input", ";keyid", "; keyid"),
        ("Signature-Input", "reading=", "a=(),reading="),
    ],
)
def test_other_spellings_of_the_headers(name, old, new):
    headers = http_headers("edge-a", reading())
    assert old in headers[name]
    with pytest.raises(MalformedHeaders) as caught:
        parse_http_headers(headers | {name: headers[name].replace(old, new, 1)}, BODY)
    assert caught.value.field == name


printable = st.text(max_size=80)


@given(st.dictionaries(st.sampled_from(NAMES), printable), st.binary(max_size=8))
def test_garbage_headers_give_a_typed_error(garbage, body):
    with pytest.raises(InvalidSignatureBase):
        parse_http_headers(garbage, body)


@given(readings(), st.sampled_from(NAMES), st.data())
def test_mutated_headers_give_a_typed_error_or_what_they_say(signed, name, data):
    headers = http_headers("edge-a", signed)
    value = headers[name]
    start = data.draw(st.integers(0, len(value)))
    end = data.draw(st.integers(start, min(len(value), start + 3)))
    mutated = headers | {name: value[:start] + data.draw(st.text(max_size=3)) + value[end:]}
    try:
        received = parse_http_headers(mutated, BODY)
    except InvalidSignatureBase:
        return
    # What is accepted has one spelling, and says exactly what was sent.
    assert http_headers(mutated["Edgeproof-Chain"], received) == mutated


def test_general_builder_refuses_what_would_forge_a_line():
    with pytest.raises(InvalidSignatureBase):
        base_of([('"date"', "x\ny")], "()")
    with pytest.raises(InvalidSignatureBase):
        base_of([('"date"', "x"), ('"date"', "y")], "()")
    with pytest.raises(InvalidSignatureBase):
        base_of([('"date"', "é")], "()")
    with pytest.raises(InvalidSignatureBase):
        signature_parameters([], [("created", 10**15)])
    with pytest.raises(InvalidSignatureBase):
        signature_parameters([], [("nonce", "a\n")])
    assert signature_parameters(['"a"'], [("nonce", 'a"\\')]) == '("a");nonce="a\\"\\\\"'
