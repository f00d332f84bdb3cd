"""What a field may hold, and the one form of base64."""

from dataclasses import dataclass
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.constraints import (
    Base64,
    ChainId,
    Choices,
    Count,
    Digest,
    Name,
    Ordinal,
    check_ascending,
    check_distinct,
    check_fields,
    from_base64,
    to_base64,
)


@dataclass(frozen=True)
class Sample:
    digest: Digest = bytes(32)
    count: Count = 0
    ordinal: Ordinal = 1
    chain: ChainId = "edge-a"
    name: Name = "meter.1"
    raw: Base64 = ""
    kind: Annotated[str, Choices(("a", "b"))] = "a"
    many: tuple[Digest, ...] = ()
    free: str = ""

    def __post_init__(self) -> None:
        check_fields(self)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("digest", bytes(31)),
        ("digest", bytes(33)),
        ("count", -1),
        ("ordinal", 0),
        ("chain", "Edge"),
        ("chain", "edge\n"),
        ("chain", ""),
        ("name", "a/b"),
        ("name", "a@b"),
        ("raw", "A"),
        ("kind", "c"),
        ("many", (bytes(32), bytes(31))),
    ],
)
def test_a_field_outside_its_limits_is_named(field, value):
    with pytest.raises(ValueError, match=field):
        Sample(**{field: value})


def test_fields_without_limits_are_free():
    assert Sample(free="anything", many=(bytes(32),)).free == "anything"


@given(st.binary(max_size=70))
def test_base64_round_trips(raw):
    assert from_base64(to_base64(raw)) == raw
    assert Sample(raw=to_base64(raw)).raw == to_base64(raw)


@pytest.mark.parametrize(
    "text", ["A", "AA", "AAA", "AB==", "AAB=", "AA==\n", " AA==", "AA=A", "AA-_", "====", "é==="]
)
def test_other_spellings_of_base64(text):
    with pytest.raises(ValueError, match=r"base64|ASCII"):
        from_base64(text)
    with pytest.raises(ValueError, match=r"raw|base64"):
        Sample(raw=text)


@given(st.text(max_size=8))
def test_base64_text_is_refused_or_is_the_one_form(text):
    try:
        raw = from_base64(text)
    except ValueError:
        return
    assert to_base64(raw) == text


@given(st.lists(st.integers(0, 4), max_size=5))
def test_orders(keys):
    if keys != sorted(set(keys)):
        with pytest.raises(ValueError, match="keys"):
            check_ascending(keys, "keys")
    else:
        check_ascending(keys, "keys")
    if len(set(keys)) != len(keys):
        with pytest.raises(ValueError, match="keys"):
            check_distinct(keys, "keys")
    else:
        check_distinct(keys, "keys")
