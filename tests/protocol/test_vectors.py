"""The golden vectors are what the code computes, and what the standard library computes without it."""

import copy
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "vectors" / "protocol"
VECTORS = json.loads((FOLDER / "vectors.json").read_text())


def check(*arguments):
    # -I -S: no site-packages and no current folder, so nothing of this project can be imported.
    return subprocess.run(
        [sys.executable, "-I", "-S", str(FOLDER / "check.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_code_computes_the_vectors():
    spec = importlib.util.spec_from_file_location("protocol_vectors", FOLDER / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    # The generator's dataclasses look their own module up.
    sys.modules["protocol_vectors"] = generate
    spec.loader.exec_module(generate)
    assert generate.text() == (FOLDER / "vectors.json").read_text()


def test_the_independent_checker_agrees():
    done = check()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("vectors agree\n")


@pytest.mark.parametrize("kind", sorted(VECTORS))
def test_the_independent_checker_can_disagree(kind, tmp_path):
    altered = copy.deepcopy(VECTORS)
    entry = altered[kind] if isinstance(altered[kind], dict) else altered[kind][-1]
    name = next(
        name
        for name in ("encoding", "hash", "root", "digest", "record", "step", "header_hash")
        if name in entry
    )
    entry[name] = entry[name][:-1] + ("0" if entry[name][-1] != "0" else "1")
    (tmp_path / "altered.json").write_text(json.dumps(altered))
    done = check(tmp_path / "altered.json")
    assert done.returncode == 1
    assert "is written" in done.stdout
