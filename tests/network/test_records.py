from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from network.halt import down
from network.records import ProcessId, Record, Records


def own_record(name: str) -> Record:
    own = ProcessId.of(os.getpid())
    assert own is not None
    return Record(name, "node", "local", own, ("sleep", "1"), {"PATH": "/bin"}, 1.5, ("a",), "00")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    records = Records(tmp_path / "run")
    records.write(own_record("a"))
    assert records.read("a") == own_record("a")
    assert records.living() == [own_record("a")]
    records.remove("a")
    assert records.read("a") is None


@pytest.mark.parametrize(
    "junk",
    [b"", b"{", b"[]", b"null", b'"a"', b"[" * 100_000, b'{"name": "junk"}', b"\xff"],
)
def test_what_is_no_record_is_ignored(tmp_path: Path, junk: bytes) -> None:
    records = Records(tmp_path / "run")
    records.write(own_record("a"))
    (tmp_path / "run" / "junk.json").write_bytes(junk)
    assert records.read("junk") is None
    assert records.all() == [own_record("a")]


@pytest.mark.parametrize(
    "process",
    [
        [],
        {},
        {"pid": 1, "started": 1},
        {"pid": "../self", "started": 1, "boot": ""},
        {"pid": float("inf"), "started": 1, "boot": ""},
    ],
)
def test_a_record_without_a_process_is_ignored(tmp_path: Path, process: object) -> None:
    records = Records(tmp_path / "run")
    records.write(own_record("a"))
    path = tmp_path / "run" / "a.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"process": process}))
    assert records.read("a") is None


def test_a_record_under_another_name_is_ignored_and_its_process_never_signalled(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as foreign:
        process = ProcessId.of(foreign.pid)
        assert process is not None
        records = Records(tmp_path / "run")
        records.write(replace(own_record("a"), process=process))
        (tmp_path / "run" / "a.json").rename(tmp_path / "run" / "b.json")
        assert records.read("b") is None
        assert records.all() == []
        assert down(tmp_path) == 0
        assert process.alive
        foreign.kill()
