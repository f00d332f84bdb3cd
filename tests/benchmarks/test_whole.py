"""The commands that the benchmark of a whole network runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.errors import MeasurementFailed
from benchmarks.fabric.whole import _network


def test_a_command_that_does_not_end_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.fabric.whole._COMMAND_S", 0.01)
    with pytest.raises(MeasurementFailed, match="edgeproof network status did not end within 0 s"):
        _network("status", tmp_path)


def test_a_command_that_fails_is_told_with_its_words(tmp_path: Path) -> None:
    with pytest.raises(MeasurementFailed, match=r"(?s)edgeproof network nonsense: .*No such command"):
        _network("nonsense", tmp_path)
