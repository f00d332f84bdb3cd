"""One value, one sequence of bytes."""

import dataclasses
import json
from dataclasses import dataclass
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.encodings import (
    MAX_INT,
    canonical_json,
    decode,
    encode,
    from_json,
    parse_canonical_json,
    parse_json,
    sha256,
    tagged_hash,
    to_json,
)
from protocol.errors import EncodingError, MalformedJson, SchemaMismatch


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Inner:
    name: str
    raw: bytes


@dataclass(frozen=True)
class Outer:
    number: int
    flag: bool
    colour: Colour
    inner: Inner
    many: tuple[Inner, ...]
    rows: tuple[tuple[bytes, ...], ...]
    table: dict[str, bytes]
    maybe: Inner | None


@dataclass(frozen=True)
class Even:
    number: int

    def __post_init__(self):
        if self.number % 2:
            raise ValueError("number is odd")


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INT, MAX_INT) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=20,
)
inners = st.builds(Inner, text, st.binary(max_size=8))
outers = st.builds(
    Outer,
    st.integers(-MAX_INT, MAX_INT),
    st.booleans(),
    st.sampled_from(Colour),
    inners,
    st.lists(inners, max_size=3).map(tuple),
    st.lists(st.lists(st.binary(max_size=3), max_size=3).map(tuple), max_size=3).map(tuple),
    st.dictionaries(text, st.binary(max_size=3), max_size=3),
    st.none() | inners,
)
SAMPLE = Outer(
    3, True, Colour.RED, Inner("é", b"\x00\xff"), (Inner("", b""),), ((b"a",), ()), {"k": b"v"}, None
)


@given(values)
def test_canonical_json_round_trips(value):
    raw = canonical_json(value)
    assert parse_canonical_json(raw) == value
    assert canonical_json(parse_canonical_json(raw)) == raw


@given(values)
def test_any_other_spelling_is_refused(value):
    for raw in (
        json.dumps(value).encode(),
        json.dumps(value, indent=1).encode(),
        canonical_json(value) + b"\n",
    ):
        if raw != canonical_json(value):
            assert parse_json(raw) == value
            with pytest.raises(MalformedJson):
                parse_canonical_json(raw)


@given(st.binary(max_size=60) | text.map(str.encode))
def test_arbitrary_bytes_give_a_typed_error_or_the_one_encoding(raw):
    try:
        value = parse_canonical_json(raw)
    except EncodingError:
        return
    assert canonical_json(value) == raw


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":1,"a":1}',
        b'{"a":1,"\\u0061":2}',
        b'{"b":1,"a":1}',
        b'{"a": 1}',
        b"1.0",
        b"1e2",
        b"-0",
        b"01",
        b"+1",
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"9007199254740992",
        b"-9007199254740992",
        b"1" * 5000,
        b'"\\u00e9"',
        b'"\\/"',
        b'"\\ud800"',
        b'"\xff"',
        b"\xef\xbb\xbf1",
        b" 1",
        b"1 ",
        b"",
        b"{",
        b"[1,]",
        b"'a'",
        b"[" * 100000,
        b"[" * 40 + b"]" * 40,
        b'{"a":NaN}',
        b"\x001",
    ],
)
def test_non_canonical_bytes(raw):
    with pytest.raises(MalformedJson):
        parse_canonical_json(raw)


@pytest.mark.parametrize(
    "raw", [b'{"a":1,"a":1}', b"1.5", b"NaN", b"9007199254740992", b'"\\ud800"', b"[" * 100000]
)
def test_what_even_the_lenient_reader_refuses(raw):
    with pytest.raises(MalformedJson):
        parse_json(raw)


@pytest.mark.parametrize(
    "value", [1.0, float("nan"), {1: "a"}, b"raw", (1,), MAX_INT + 1, "\ud800", {"\ud800": 1}, [object()]]
)
def test_what_has_no_canonical_form(value):
    with pytest.raises(MalformedJson):
        canonical_json(value)


def test_keys_are_sorted_by_code_point_and_text_is_utf8():
    assert (
        canonical_json({"é": 1, "z": 2, "\U0001f600": 3, "\uffee": 4})
        == '{"z":2,"é":1,"\uffee":4,"\U0001f600":3}'.encode()
    )


@given(outers)
def test_messages_round_trip(message):
    assert decode(Outer, encode(message)) == message


@given(outers, outers)
def test_two_messages_have_two_encodings(first, second):
    assert (encode(first) == encode(second)) == (first == second)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"number": True}, r"\$\.number"),
        ({"number": "3"}, r"\$\.number"),
        ({"flag": 1}, r"\$\.flag"),
        ({"colour": "green"}, r"\$\.colour"),
        ({"colour": 1}, r"\$\.colour"),
        ({"inner": None}, r"\$\.inner"),
        ({"inner": {"name": "a", "raw": "AB"}}, r"\$\.inner\.raw"),
        ({"inner": {"name": "a", "raw": "abc"}}, r"\$\.inner\.raw"),
        ({"inner": {"name": "a", "raw": "ab\n"}}, r"\$\.inner\.raw"),
        ({"inner": {"name": "a", "raw": 7}}, r"\$\.inner\.raw"),
        ({"inner": {"name": "a"}}, r"\$\.inner: .*raw.*missing"),
        ({"inner": {"name": "a", "raw": "", "more": 1}}, r"\$\.inner: unknown.*more"),
        ({"many": {}}, r"\$\.many"),
        ({"many": [{"name": "a", "raw": ""}, 1]}, r"\$\.many\[1\]"),
        ({"rows": [["00"], "00"]}, r"\$\.rows\[1\]"),
        ({"table": []}, r"\$\.table"),
        ({"table": {"k": "0"}}, r"\$\.table\.k"),
        ({"maybe": []}, r"\$\.maybe"),
        ({"extra": 1}, r"\$: unknown field 'extra'"),
    ],
)
def test_schema_mismatches_name_the_path(change, path):
    with pytest.raises(SchemaMismatch, match=path):
        from_json(Outer, to_json(SAMPLE) | change)


def test_each_missing_field_is_named():
    for field in dataclasses.fields(Outer):
        value = to_json(SAMPLE)
        del value[field.name]
        with pytest.raises(SchemaMismatch, match=field.name):
            from_json(Outer, value)


def test_a_messages_own_checks_become_typed_errors():
    assert decode(Even, b'{"number":2}') == Even(2)
    with pytest.raises(SchemaMismatch, match="odd"):
        decode(Even, b'{"number":3}')


def test_what_is_no_message():
    with pytest.raises(SchemaMismatch):
        to_json(object())
    with pytest.raises(TypeError):
        from_json(float, 1)


fields = st.lists(st.binary(max_size=6) | text | st.integers(0, 2**64 - 1), max_size=5)


def meaning(field):
    """What a field stands for once its kind is forgotten: the tag fixes the kinds."""
    if isinstance(field, int):
        return field.to_bytes(8, "big")
    return field.encode() if isinstance(field, str) else field


@given(fields, fields)
def test_no_two_lists_of_fields_share_a_hash(first, second):
    same = [meaning(field) for field in first] == [meaning(field) for field in second]
    assert (tagged_hash("t", *first) == tagged_hash("t", *second)) == same


def test_fields_do_not_run_into_one_another():
    hashes = {
        tagged_hash("t", "a1", "2"),
        tagged_hash("t", "a", "12"),
        tagged_hash("t", "a12"),
        tagged_hash("t", "a12", ""),
        tagged_hash("t", "", "a12"),
        tagged_hash("ta", "1", "2"),
        tagged_hash("t"),
        tagged_hash("", "t"),
    }
    assert len(hashes) == 8


def test_integers_outside_eight_bytes_are_refused():
    for number in (-1, 2**64):
        with pytest.raises(OverflowError):
            tagged_hash("t", number)


def test_sha256():
    assert sha256(b"abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
