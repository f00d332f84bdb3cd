"""The JSON Schema in docs/ says what the dataclasses say, field by field."""

import copy
import dataclasses
import json
import typing
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import pytest
from jsonschema import Draft202012Validator
from world import build_world

from protocol.bundle import BUNDLE_SCHEMA, Bundle, parse_bundle, serialise_bundle
from protocol.errors import SchemaMismatch
from protocol.schema import json_schema, main, serialise_schema
from protocol.trust import TrustRoot, parse_trust, serialise_trust

FILE = Path(__file__).parents[2] / "docs/bundle-v1.schema.json"
SCHEMA = json.loads(FILE.read_text())
VALIDATOR = Draft202012Validator(SCHEMA)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    world = build_world(tmp_path_factory.mktemp("world"))
    try:
        made = [
            world.prover.record_bundle("edge-a", world.records["edge-a"][at], profile=profile)
            for at in (0, 2)
            for profile in ("compact", "full")
        ]
        return [*map(serialise_bundle, made)], serialise_trust(world.trust())
    finally:
        world.close()


def test_the_file_is_what_the_types_give(tmp_path):
    Draft202012Validator.check_schema(SCHEMA)
    assert json_schema(Bundle, BUNDLE_SCHEMA) == SCHEMA
    main([str(tmp_path / "schema.json")])
    assert (tmp_path / "schema.json").read_bytes() == FILE.read_bytes()
    assert serialise_schema(SCHEMA) == FILE.read_text()


def message_types(kind, found):
    """Every dataclass that a message type leads to."""
    if typing.get_origin(kind) is Annotated:
        message_types(typing.get_args(kind)[0], found)
    elif typing.get_args(kind):
        for inner in typing.get_args(kind):
            message_types(inner, found)
    elif dataclasses.is_dataclass(kind) and kind not in found:
        found.add(kind)
        for hint in typing.get_type_hints(kind).values():
            message_types(hint, found)
    return found


def test_schema_and_dataclasses_agree_field_by_field():
    kinds = message_types(Bundle, set())
    definitions = {**SCHEMA["$defs"], "Bundle": SCHEMA}
    assert {kind.__name__ for kind in kinds} == set(definitions)
    for kind in kinds:
        entry = definitions[kind.__name__]
        names = [field.name for field in dataclasses.fields(kind)]
        assert list(entry["properties"]) == names
        assert entry["required"] == names
        assert entry["additionalProperties"] is False


def test_real_bundles_fit(bundles):
    for raw in bundles[0]:
        VALIDATOR.validate(json.loads(raw))
        assert serialise_bundle(parse_bundle(raw)) == raw


def test_real_trust_roots_fit(bundles):
    validator = Draft202012Validator(json_schema(TrustRoot, "edgeproof/trust/v1"))
    validator.validate(json.loads(bundles[1]))
    assert serialise_trust(parse_trust(bundles[1])) == bundles[1]


def places(value, path=()):
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from places(inner, (*path, position))


def put(value, path, new):
    for step in path[:-1]:
        value = value[step]
    value[path[-1]] = new


def test_what_the_schema_refuses_the_codec_refuses(bundles):
    """The schema is never stricter than the codec: a stranger's validator refuses nothing that we accept."""
    value = json.loads(bundles[0][0])
    tried = 0
    for path in places(value):
        if not path:
            continue
        for new in (None, 1, -1, "", "zz", "AB", [], {}, True, [1], {"x": 1}):
            other = copy.deepcopy(value)
            put(other, path, new)
            if VALIDATOR.is_valid(other):
                continue
            tried += 1
            with pytest.raises(SchemaMismatch):
                parse_bundle(
                    json.dumps(other, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
                )
    assert tried > 500


class Colour(StrEnum):
    RED = "red"


@dataclasses.dataclass(frozen=True)
class Sample:
    """A sample.

    With more text.
    """

    flag: bool
    """Said
    in two lines."""
    colour: Colour
    table: dict[str, bytes]
    maybe: int | None


def test_types_that_the_bundle_does_not_use():
    schema = json_schema(Sample, "sample")
    assert schema["description"] == "A sample."
    assert schema["properties"]["flag"] == {"description": "Said in two lines.", "type": "boolean"}
    assert schema["properties"]["colour"] == {"type": "string", "enum": ["red"]}
    assert schema["properties"]["table"]["additionalProperties"]["type"] == "string"
    assert [choice["type"] for choice in schema["properties"]["maybe"]["anyOf"]] == ["integer", "null"]


@dataclasses.dataclass(frozen=True)
class NoMessage:
    number: float


def test_what_is_no_message_type():
    with pytest.raises(TypeError):
        json_schema(NoMessage, "none")
