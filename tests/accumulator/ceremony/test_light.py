"""The ceremony costs nobody anything who does not hold one, and touches neither clock, disk nor socket."""

import ast
import subprocess
import sys
from pathlib import Path

import accumulator.ceremony

FOLDER = Path(accumulator.ceremony.__file__).parent


def test_the_accumulator_does_not_import_the_ceremony():
    script = "import sys, accumulator; print([name for name in sys.modules if 'ceremony' in name])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_state_machine_imports_nothing_that_reaches_outside():
    allowed = {"accumulator", "collections", "dataclasses", "enum", "functools", "gmpy2", "hashlib", "math"}
    allowed.add("typing")
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert {name.partition(".")[0] for name in names} <= allowed, (path.name, names)
