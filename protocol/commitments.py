"""What signatures and training steps commit to (seed 003, equation (2), and what it forgot to bind).

Everything takes plain fields: the messages themselves belong to the contracts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from protocol.encodings import canonical_json, encode, parse_canonical_json, sha256, tagged_hash, to_json
from protocol.errors import SchemaMismatch

__all__ = [
    "aggregate_commitment",
    "authorisation_bytes",
    "data_set_digest",
    "manifest_bytes",
    "parse_manifest",
    "rebase_bytes",
    "recipe_digest",
    "step_commitment",
]

_SIGNED_PARTS: Final = frozenset({"authorisation", "possession"})


def manifest_bytes(records: Sequence[bytes]) -> bytes:
    """A data set's manifest: the canonical JSON list of its record ids in the data set's order."""
    return canonical_json([record.hex() for record in records])


def parse_manifest(raw: bytes) -> tuple[bytes, ...]:
    """The record ids of a manifest.

    Raises:
        MalformedJson: not canonical JSON.
        SchemaMismatch: not a list of distinct record ids.
    """
    value = parse_canonical_json(raw)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise SchemaMismatch("a manifest is a list of record ids")
    try:
        records = tuple(bytes.fromhex(item) for item in value)
    except ValueError as error:
        raise SchemaMismatch("a record id is lower-case hex") from error
    if any(len(record) != 32 for record in records) or manifest_bytes(records) != raw:
        raise SchemaMismatch("a record id is 32 bytes in lower-case hex")
    if len(set(records)) != len(records):
        raise SchemaMismatch("a manifest names a record twice")
    return records


def data_set_digest(records: Sequence[bytes]) -> bytes:
    """SHA-256 of the data set's manifest, 32 bytes: its address in the store and d of equation (2)."""
    return sha256(manifest_bytes(records))


def recipe_digest(recipe: Any) -> bytes:
    """Digest of a run's recipe (any message), 32 bytes."""
    return tagged_hash("edgeproof/recipe/v1", encode(recipe))


def step_commitment(
    result: bytes, parent: bytes, aggregate: bytes, data: bytes, recipe: bytes, number: int, run: str
) -> bytes:
    """Equation (2) of seed 003, hash(M_{i+1} || M_i || M_O || d_{i+1} || i+1), and what it forgot to bind.

    Fields are length-prefixed under a tag; recipe and run are bound too.

    Args:
        result: tree hash of M_{i+1}.
        parent: tree hash of M_i.
        aggregate: tree hash of M_O.
        data: ``data_set_digest`` of d_{i+1}.
        recipe: ``recipe_digest``.
        number: i + 1.
        run: the run's name.

    Returns:
        32 bytes.
    """
    return tagged_hash("edgeproof/step/v1", result, parent, aggregate, data, recipe, number, run)


def aggregate_commitment(
    result: bytes, parent: bytes, inputs: Sequence[Any], recipe: bytes, version: int, run: str
) -> bytes:
    """What an aggregate commits to, 32 bytes.

    Args:
        result: tree hash of this version.
        parent: tree hash of version - 1.
        inputs: the messages that name each accepted step, sorted by chain.
        recipe: ``recipe_digest``.
        version: the round.
        run: the run's name.
    """
    encoded = [encode(entry) for entry in inputs]
    return tagged_hash("edgeproof/aggregate/v1", result, parent, recipe, version, run, len(encoded), *encoded)


def authorisation_bytes(chain: str, message: Any) -> bytes:
    """What an owner signs (at enrolment the device too): chain, function, message without signatures."""
    fields = to_json(message)
    if not isinstance(fields, dict):
        raise SchemaMismatch("an authorised message is an object")
    content = {name: value for name, value in fields.items() if name not in _SIGNED_PARTS}
    signed = canonical_json({"chain": chain, "function": type(message).FUNCTION, "message": content})
    return b"edgeproof/authorisation/v1\x00" + signed


def rebase_bytes(replaces: bytes, statement: bytes) -> bytes:
    """What a quorum signs to replace a wrong head: the wrong head's digest and the new statement's."""
    return b"edgeproof/rebase-signature/v1\x00" + tagged_hash("edgeproof/rebase/v1", replaces, statement)
