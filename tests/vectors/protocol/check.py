"""Checks vectors.json with the standard library alone: nothing of this project, own JSON writer, own trees.

Run `python -I -S tests/vectors/protocol/check.py [FILE]`. Exit code 0: everything holds; 1: the first
disagreement is printed.
"""

import base64
import hashlib
import json
import sys
from pathlib import Path


def sha(data):
    return hashlib.sha256(data).digest()


def expect(what, found, wanted):
    if found != wanted:
        print(f"{what}: {found!r} where {wanted!r} is written")
        sys.exit(1)


# Canonical JSON, written out by hand (RFC 8259; keys by code point).

ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def text(value):
    return '"' + "".join(ESCAPES.get(c, c if c >= " " else f"\\u{ord(c):04x}") for c in value) + '"'


def canonical(value):
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return text(value)
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    keys = sorted(value, key=lambda key: [ord(c) for c in key])
    return "{" + ",".join(text(key) + ":" + canonical(value[key]) for key in keys) + "}"


def message(value):
    return canonical(value).encode("utf-8")


def tagged(tag, *fields):
    out = b""
    for field in (tag, *fields):
        if isinstance(field, str):
            field = field.encode("utf-8")
        elif isinstance(field, int):
            field = bytes((field >> shift) & 255 for shift in range(56, -8, -8))
        out += bytes((len(field) >> shift) & 255 for shift in range(56, -8, -8)) + field
    return sha(out)


# RFC 6962, section 2.1, as it is written there.


def split(size):
    half = 1
    while half * 2 < size:
        half *= 2
    return half


def root(leaves):
    if not leaves:
        return sha(b"")
    if len(leaves) == 1:
        return sha(b"\x00" + leaves[0])
    k = split(len(leaves))
    return sha(b"\x01" + root(leaves[:k]) + root(leaves[k:]))


def path(m, leaves):
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), root(leaves[k:])]
    return [*path(m - k, leaves[k:]), root(leaves[:k])]


def subproof(m, leaves, whole):
    if m == len(leaves):
        return [] if whole else [root(leaves)]
    k = split(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], whole), root(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), root(leaves[:k])]


def check_merkle(entry):
    leaves = [bytes.fromhex(leaf) for leaf in entry["leaves"]]
    expect("root", root(leaves).hex(), entry["root"])
    expect("paths", len(entry["inclusion"]), len(leaves))
    for at, nodes in enumerate(entry["inclusion"]):
        expect(f"path of {at}", [node.hex() for node in path(at, leaves)], nodes)
    expect("proofs", len(entry["consistency"]), len(leaves) + 1)
    for old, nodes in enumerate(entry["consistency"]):
        proof = subproof(old, leaves, True) if old else []
        expect(f"consistency from {old}", [node.hex() for node in proof], nodes)


def check_tagged(entry):
    fields = [
        bytes.fromhex(field["bytes"]) if "bytes" in field else field["value"] for field in entry["fields"]
    ]
    expect("tagged hash", tagged(entry["tag"], *fields).hex(), entry["hash"])


def check_element(entry):
    names = ("chain", "number", "block", "index", "code")
    fields = [entry["element"][name] for name in names]
    hashes = [bytes.fromhex(entry["element"][name]) for name in ("envelope_hash", "payload_hash")]
    expect("element", tagged("edgeproof/element/v1", *fields, *hashes).hex(), entry["digest"])


def check_anchor(entry):
    encoding = message(entry["statement"])
    expect("statement", encoding.hex(), entry["encoding"])
    digest = tagged("edgeproof/anchor/v1", encoding)
    expect("statement's digest", digest.hex(), entry["digest"])
    signed = b"edgeproof/anchor-signature/v1\x00" + digest
    expect("signed bytes", signed.hex(), entry["signing_bytes"])


def check_reading(entry):
    reading = entry["reading"]

    def encoded(name):
        return base64.b64encode(bytes.fromhex(reading[name])).decode()

    parameters = '("content-digest" "content-type" "edgeproof-chain");created=' + str(reading["created"])
    for name, field in (("nonce", "nonce"), ("keyid", "keyid"), ("alg", "algorithm")):
        parameters += f';{name}="{reading[field]}"'
    parameters += ';tag="edgeproof-reading-v1"'
    digest = f"sha-256=:{encoded('content_digest')}:"
    base = (
        f'"content-digest": {digest}\n"content-type": {reading["content_type"]}\n'
        f'"edgeproof-chain": {entry["chain"]}\n"@signature-params": {parameters}'
    )
    expect("signature base", base, entry["base"])
    expect("record id", sha(base.encode("ascii")).hex(), entry["record"])
    headers = {
        "Content-Digest": digest,
        "Content-Type": reading["content_type"],
        "Edgeproof-Chain": entry["chain"],
        "Signature-Input": "reading=" + parameters,
        "Signature": f"reading=:{encoded('signature')}:",
    }
    expect("headers", headers, entry["headers"])
    leaf = {"record": entry["record"], "key": entry["key"], "reading": reading}
    expect("leaf", message(leaf).hex(), entry["leaf"])


def check_commitments(entry):
    manifest = canonical(entry["records"])
    expect("manifest", manifest, entry["manifest"])
    expect("data set", sha(manifest.encode()).hex(), entry["data"])
    recipe = tagged("edgeproof/recipe/v1", message(entry["recipe"]))
    expect("recipe", recipe.hex(), entry["recipe_digest"])
    result, parent, aggregate, data = (
        bytes.fromhex(entry[name]) for name in ("result", "parent", "aggregate", "data")
    )
    number, run = entry["number"], entry["run"]
    step = tagged("edgeproof/step/v1", result, parent, aggregate, data, recipe, number, run)
    expect("step", step.hex(), entry["step"])
    inputs = [message(one) for one in entry["inputs"]]
    version = tagged("edgeproof/aggregate/v1", result, parent, recipe, number, run, len(inputs), *inputs)
    expect("aggregate", version.hex(), entry["aggregate_step"])
    shown = {
        name: value for name, value in entry["message"].items() if name not in ("possession", "authorisation")
    }
    signed = message({"chain": "edge-a", "function": entry["function"], "message": shown})
    expect("authorisation", (b"edgeproof/authorisation/v1\x00" + signed).hex(), entry["authorisation"])
    rebase = b"edgeproof/rebase-signature/v1\x00" + tagged("edgeproof/rebase/v1", result, parent)
    expect("rebase", rebase.hex(), entry["rebase"])
    roster = tagged("edgeproof/roster/v1", message(entry["roster"]))
    expect("roster", roster.hex(), entry["roster_digest"])


def check_header(entry):
    envelopes = [bytes.fromhex(envelope) for envelope in entry["envelopes"]]
    expect("data hash", sha(b"".join(envelopes)).hex(), entry["data_hash"])
    number = int(entry["number"])
    integer = number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big")
    if integer[0] & 128:
        integer = b"\x00" + integer  # DER: the top bit is the sign
    body = b""
    for tag, value in (
        (2, integer),
        (4, bytes.fromhex(entry["previous_hash"])),
        (4, bytes.fromhex(entry["data_hash"])),
    ):
        body += bytes([tag, len(value)]) + value
    expect("header hash", sha(bytes([48, len(body)]) + body).hex(), entry["header_hash"])


def main(arguments):
    name = arguments[0] if arguments else Path(__file__).with_name("vectors.json")
    vectors = json.loads(Path(name).read_text(encoding="utf-8"))
    count = 0
    for entry in vectors["canonical_json"]:
        expect("canonical JSON", message(entry["value"]).hex(), entry["encoding"])
        count += 1
    for kind, check in (
        ("tagged_hash", check_tagged),
        ("merkle", check_merkle),
        ("elements", check_element),
        ("anchors", check_anchor),
        ("readings", check_reading),
        ("headers", check_header),
    ):
        for entry in vectors[kind]:
            check(entry)
            count += 1
    check_commitments(vectors["commitments"])
    print(f"{count + 1} vectors agree")


if __name__ == "__main__":
    main(sys.argv[1:])
