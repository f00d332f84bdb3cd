"""docs/accumulator-attacks.md names tests that exist, and every attack that is carried out."""

import ast
import re
from functools import cache
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
PAGE = (TESTS.parent / "docs" / "accumulator-attacks.md").read_text()
NAMED = re.findall(r"`([a-z_/0-9]+\.py)::(\w+)`", PAGE)


@cache
def names_in(path):
    module = ast.parse((TESTS / path).read_text())
    return frozenset(
        node.name
        for node in module.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )


def test_every_named_test_exists():
    assert NAMED
    assert [f"{path}::{name}" for path, name in NAMED if name not in names_in(path)] == []


def test_every_row_names_a_test():
    rows = [
        line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| What holds |")
    ]
    bare = [row for row in rows if "::test_" not in row and not row.startswith("| Attack |")]
    assert bare == []


def test_every_attack_is_in_the_table():
    named = {name for path, name in NAMED if path == "accumulator/test_attacks.py"}
    assert named == names_in("accumulator/test_attacks.py")
