from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pytest

from protocol.building import Unfit, builder


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Tree:
    name: str
    children: tuple[Tree, ...]
    colours: Mapping[str, Colour]
    raw: bytes | None


def tree(name: str, *children: Any, raw: str | None = None) -> dict[str, Any]:
    return {"name": name, "children": list(children), "colours": {"a": "red"}, "raw": raw}


def test_a_type_may_hold_itself() -> None:
    built = builder(Tree)(tree("root", tree("leaf", raw="00ff")))
    assert built == Tree("root", (Tree("leaf", (), {"a": Colour.RED}, b"\x00\xff"),), {"a": Colour.RED}, None)
    assert isinstance(built.colours["a"], Colour)


@pytest.mark.parametrize(
    ("value", "path", "wrong"),
    [
        (tree("root", tree("leaf"), tree("leaf", raw="0g")), ".children[1].raw", "lower-case hex is wanted"),
        (tree("root", tree("leaf", 7)), ".children[0].children[0]", "an object is wanted"),
        (tree("root") | {"colours": {"a": "red", "b": "blue"}}, ".colours.b", "'blue' is not a valid Colour"),
        (tree("root") | {"other": 1, "another": 2}, "", "unknown field 'another'"),
        ({"name": "root", "children": []}, "", "field 'colours' is missing"),
        (tree("root") | {"name": True}, ".name", "text is wanted"),
        (tree("root") | {"children": {}}, ".children", "a list is wanted"),
    ],
)
def test_a_fault_is_named_with_its_place(value: Any, path: str, wrong: str) -> None:
    with pytest.raises(Unfit) as caught:
        builder(Tree)(value)
    assert (caught.value.path, caught.value.wrong) == (path, wrong)


@pytest.mark.parametrize("kind", [float, list, object, int | str])
def test_other_types_are_no_messages(kind: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        builder(kind)
