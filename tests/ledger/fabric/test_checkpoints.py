"""Cursors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ledger.fabric import CheckpointError, FileCheckpointer, InMemoryCheckpointer


def test_in_memory() -> None:
    cursor = InMemoryCheckpointer()
    assert (cursor.block_number, cursor.transaction_id) == (None, None)
    cursor.checkpoint_transaction(4, "ab")
    assert (cursor.block_number, cursor.transaction_id) == (4, "ab")
    cursor.checkpoint_block(4)
    assert (cursor.block_number, cursor.transaction_id) == (5, None)


def test_file_outlives_its_reader(tmp_path: Path) -> None:
    path = tmp_path / "cursor.json"
    cursor = FileCheckpointer(path)
    assert FileCheckpointer(path).block_number is None
    cursor.checkpoint_transaction(2**60, "ab")
    again = FileCheckpointer(path)
    assert (again.block_number, again.transaction_id) == (2**60, "ab")
    assert json.loads(path.read_text()) == {"blockNumber": str(2**60), "transactionId": "ab"}
    again.checkpoint_block(7)
    assert FileCheckpointer(path).block_number == 8
    assert [entry.name for entry in tmp_path.iterdir()] == ["cursor.json"]


@pytest.mark.parametrize(
    "text", ["x", "[]", '{"blockNumber":"-1"}', '{"blockNumber":"a"}', '{"transactionId":7}', "7"]
)
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "cursor.json"
    path.write_text(text)
    with pytest.raises(CheckpointError):
        FileCheckpointer(path)
    assert path.read_text() == text


def test_disk_that_refuses(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        FileCheckpointer(tmp_path / "none" / "cursor.json")
