"""Fabric's own Node client as the benchmark runs it: whatever it does, the benchmark goes on or says why."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.errors import MeasurementFailed
from benchmarks.fabric.node import NodeClient

ANSWERS = "import time\ninput()\nprint('{\"ready\": true}', flush=True)\ninput()\n"


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the client's program is looked for; Python runs it in Node's place."""
    monkeypatch.setattr("benchmarks.fabric.node._install", lambda folder: None)
    monkeypatch.setattr("benchmarks.fabric.node._program", lambda name: sys.executable)
    return tmp_path / "load.mjs"


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("time.sleep(60)", "nothing came within 2 s"),
        ("print('out of memory', flush=True)", r"it said 'out of memory\\n'"),
        ("print('[]', flush=True)", r"it said '\[\]\\n'"),
        ("raise SystemExit(3)", "it ended with code 3"),
    ],
)
def test_a_client_that_does_not_answer_is_told(
    client: Path, does: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.write_text(ANSWERS + does)
    monkeypatch.setattr("benchmarks.fabric.node._ANSWER_S", 2.0)
    with NodeClient(client.parent, {}) as node:
        with pytest.raises(MeasurementFailed, match=said):
            node.run(1, 32, 1)
        assert node._process.poll() is not None


def test_answers_are_given_back(client: Path) -> None:
    client.write_text(ANSWERS + "print('{\"times\": [1]}', flush=True)")
    with NodeClient(client.parent, {}) as node:
        assert node.run(1, 32, 1) == {"times": [1]}
