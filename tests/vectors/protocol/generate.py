"""Writes vectors.json: golden vectors of the protocol, from its own code.

Run `python tests/vectors/protocol/generate.py` from the repository's root after a deliberate change of a
wire constant. `check.py` recomputes everything without this project's code. rfc6962.json and rfc9421.json
beside it are published by others and never generated.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from fabric_protos.common import common_pb2

from protocol.anchors import AnchorStatement, LatestAnchor, Roster
from protocol.blocks import data_hash, header_hash
from protocol.commitments import (
    aggregate_commitment,
    authorisation_bytes,
    data_set_digest,
    manifest_bytes,
    rebase_bytes,
    recipe_digest,
    step_commitment,
)
from protocol.elements import Element
from protocol.encodings import canonical_json, encode, tagged_hash, to_json
from protocol.merkle import consistency_path, inclusion_path, tree_root
from protocol.readings import RecordLeaf, SignedReading
from protocol.signature_base import http_headers, record_id, signature_base

TARGET = Path(__file__).with_name("vectors.json")


@dataclass(frozen=True)
class Recipe:
    """Stands for any recipe."""

    code: str
    epochs: int


@dataclass(frozen=True)
class Input:
    """Stands for any accepted step."""

    chain: str
    result: bytes


@dataclass(frozen=True)
class Enrol:
    """Stands for any authorised message."""

    FUNCTION: ClassVar[str] = "devices:enrol"
    device: str
    key: bytes
    possession: bytes
    authorisation: str


def digest(label: str) -> bytes:
    return hashlib.sha256(label.encode()).digest()


def canonical() -> list[Any]:
    values: list[Any] = [
        None,
        True,
        0,
        -(2**53) + 1,
        "",
        'quote " slash / backslash \\ line \n control \x01 del \x7f é \U0001f600',
        [],
        {},
        {"b": [1, {"z": None, "a": False}], "a": "é", "é": 1, "\uffee": 2, "\U0001f600": 3},
    ]
    return [{"value": value, "encoding": canonical_json(value).hex()} for value in values]


def tagged() -> list[Any]:
    lists: list[list[bytes | int | str]] = [
        [],
        [""],
        ["a1", "2"],
        ["a", "12"],
        [b"\x00\xff", 0, 2**64 - 1, "é"],
    ]
    return [
        {
            "tag": "edgeproof/test/v1",
            "fields": [
                {"bytes": field.hex()} if isinstance(field, bytes) else {"value": field} for field in fields
            ],
            "hash": tagged_hash("edgeproof/test/v1", *fields).hex(),
        }
        for fields in lists
    ]


def merkle() -> list[Any]:
    entries = []
    for size in (0, 1, 2, 3, 7, 16, 21):
        leaves = [b"leaf %d" % number for number in range(size)]
        entries.append(
            {
                "leaves": [leaf.hex() for leaf in leaves],
                "root": tree_root(leaves).hex(),
                "inclusion": [[node.hex() for node in inclusion_path(leaves, at)] for at in range(size)],
                "consistency": [
                    [node.hex() for node in consistency_path(leaves, old, size)] for old in range(size + 1)
                ],
            }
        )
    return entries


def elements() -> list[Any]:
    samples = [
        Element("main", 1, 0, 0, 0, digest("genesis"), digest("")),
        Element("edge-a", 70000, 2**33, 511, 11, digest("envelope"), digest("payload")),
    ]
    return [{"element": to_json(sample), "digest": sample.digest().hex()} for sample in samples]


def anchors() -> list[Any]:
    latest = (LatestAnchor("edge-a", 3, digest("a")), LatestAnchor("edge-b", 1, digest("b")))
    samples = [
        AnchorStatement(
            chain=chain,
            number=2,
            first=11,
            last=30,
            news=7,
            height=9,
            header_hash=digest("header"),
            parameters=digest("parameters"),
            value_before=digest("before") * 8,
            value_after=digest("after") * 8,
            tree_root=digest("root"),
            latest=found,
        )
        for chain, found in (("main", latest), ("edge-a", ()))
    ]
    return [
        {
            "statement": to_json(sample),
            "encoding": encode(sample).hex(),
            "digest": sample.digest().hex(),
            "signing_bytes": sample.signing_bytes().hex(),
        }
        for sample in samples
    ]


def readings() -> list[Any]:
    entries = []
    for keyid, algorithm in (("meter-7", "ed25519"), ("meter-7@gw-1", "ecdsa-p256-sha256")):
        reading = SignedReading(
            device="meter-7",
            keyid=keyid,
            algorithm=algorithm,
            created=1760000000,
            nonce="n-1_A",
            content_digest=digest("content"),
            content_type='text/plain; charset="utf-8"',
            signature=digest("r") + digest("s"),
        )
        leaf = RecordLeaf(record_id("edge-a", reading), digest("key"), reading)
        entries.append(
            {
                "chain": "edge-a",
                "reading": to_json(reading),
                "base": signature_base("edge-a", reading).decode(),
                "record": leaf.record.hex(),
                "headers": http_headers("edge-a", reading),
                "key": leaf.key.hex(),
                "leaf": encode(leaf).hex(),
            }
        )
    return entries


def commitments() -> dict[str, Any]:
    records = [digest("record 2"), digest("record 1")]
    recipe = Recipe("edgeproof/sgd/v1", 2)
    inputs = [Input("edge-a", digest("a")), Input("edge-b", digest("b"))]
    result, parent, aggregate = digest("result"), digest("parent"), digest("aggregate")
    data, recipe_hash = data_set_digest(records), recipe_digest(recipe)
    message = Enrol("meter-7", digest("key"), b"signature", "signature")
    roster = Roster("edge-a", 2, 2, {"Org2MSP": digest("key 2"), "Org1MSP": digest("key 1")})
    return {
        "records": [record.hex() for record in records],
        "manifest": manifest_bytes(records).decode(),
        "data": data.hex(),
        "recipe": to_json(recipe),
        "recipe_digest": recipe_hash.hex(),
        "result": result.hex(),
        "parent": parent.hex(),
        "aggregate": aggregate.hex(),
        "number": 3,
        "run": "run-1",
        "step": step_commitment(result, parent, aggregate, data, recipe_hash, 3, "run-1").hex(),
        "inputs": to_json(inputs),
        "aggregate_step": aggregate_commitment(result, parent, inputs, recipe_hash, 3, "run-1").hex(),
        "message": to_json(message),
        "function": message.FUNCTION,
        "authorisation": authorisation_bytes("edge-a", message).hex(),
        "rebase": rebase_bytes(result, parent).hex(),
        "roster": to_json(roster),
        "roster_digest": roster.digest().hex(),
    }


def headers() -> list[Any]:
    entries = []
    for number, previous in ((0, b""), (127, digest("h")), (128, digest("h")), (2**63, digest("h"))):
        envelopes = [b"one", b"two"]
        header = common_pb2.BlockHeader(number=number, previous_hash=previous, data_hash=data_hash(envelopes))
        entries.append(
            {
                # Text: a block number may be beyond what JSON readers keep.
                "number": str(number),
                "previous_hash": previous.hex(),
                "envelopes": [envelope.hex() for envelope in envelopes],
                "data_hash": header.data_hash.hex(),
                "header_hash": header_hash(header).hex(),
            }
        )
    return entries


def vectors() -> dict[str, Any]:
    """All golden vectors."""
    return {
        "canonical_json": canonical(),
        "tagged_hash": tagged(),
        "merkle": merkle(),
        "elements": elements(),
        "anchors": anchors(),
        "readings": readings(),
        "commitments": commitments(),
        "headers": headers(),
    }


def text() -> str:
    """The file's text."""
    return json.dumps(vectors(), indent=1) + "\n"


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
