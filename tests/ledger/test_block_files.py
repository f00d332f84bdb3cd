"""Copies of a peer's block files and of the embedded ledger's are read as chains."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from chains import TestChain, make_chain
from fabric_protos.common import common_pb2
from scratch_contract import Put, invoke

from ledger.block_files import ChainFile, PeerBlockFiles, open_blocks, serialise_block
from ledger.embedded import EmbeddedLedger
from ledger.errors import BlockNotFound, ChainNotFound, CorruptLedger, Unavailable
from protocol.blocks import header_hash


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestChain]:
    made = make_chain(tmp_path_factory.mktemp("chain"), "edge-a", invoke=invoke)
    for number in range(40):
        made.ledger.submit(Put(f"key{number}", "x" * (number + 1) * 10))
    yield made
    made.close()


@pytest.fixture
def folder(chain: TestChain, tmp_path: Path) -> Path:
    """As a peer keeps them: two files."""
    blocks = [serialise_block(block) for block in chain.ledger.blocks(0)]
    (tmp_path / "blockfile_000000").write_bytes(b"".join(blocks[:17]))
    (tmp_path / "blockfile_000001").write_bytes(b"".join(blocks[17:]))
    return tmp_path


def test_both_give_the_chain_s_blocks(chain: TestChain, folder: Path) -> None:
    for source in (open_blocks(folder), open_blocks(chain.path)):
        assert source.chain == "edge-a"
        assert source.information() == chain.ledger.information()
        assert list(source.blocks(0)) == list(chain.ledger.blocks(0))
        assert list(source.blocks(38)) == list(chain.ledger.blocks(38))
        assert source.block(17) == chain.ledger.block(17)
        with pytest.raises(BlockNotFound):
            source.block(41)
        source.close()
    assert isinstance(open_blocks(folder / "blockfile_000000"), PeerBlockFiles)


def test_a_block_that_was_being_written_is_left_out(chain: TestChain, folder: Path) -> None:
    newest = folder / "blockfile_000001"
    whole = newest.read_bytes()
    assert PeerBlockFiles(folder).left_out == 0
    for cut in (1, 2, 100):
        newest.write_bytes(whole[:-cut])
        files = PeerBlockFiles(folder)
        assert files.information().height == 40
        assert files.left_out == len(serialise_block(chain.ledger.block(40))) - cut
    newest.write_bytes(whole + b"\x80")  # not even its length
    assert PeerBlockFiles(folder).information().height == 41
    assert PeerBlockFiles(folder).left_out == 1


def test_a_block_may_be_cut_anywhere(chain: TestChain, folder: Path) -> None:
    newest = folder / "blockfile_000001"
    whole = newest.read_bytes()
    last = len(serialise_block(chain.ledger.block(40)))
    for cut in range(1, last):
        newest.write_bytes(whole[:-cut])
        files = PeerBlockFiles(folder)
        assert (files.information().height, files.left_out) == (40, last - cut)
        files.close()


@pytest.mark.parametrize("number", [17, 20, 39, 40])
@pytest.mark.parametrize("bit", range(16))
def test_a_damaged_length_does_not_hide_blocks(chain: TestChain, folder: Path, number: int, bit: int) -> None:
    newest = folder / "blockfile_000001"
    raw = bytearray(newest.read_bytes())
    blocks = [serialise_block(chain.ledger.block(one)) for one in range(17, number + 1)]
    assert blocks[-1][1] < 0x80, "a length of two bytes is wanted here"
    raw[sum(map(len, blocks[:-1])) + bit // 8] ^= 1 << bit % 8
    newest.write_bytes(raw)
    with pytest.raises(CorruptLedger):
        list(PeerBlockFiles(folder).blocks(0))


def test_a_tail_that_begins_no_block_is_refused(
    chain: TestChain, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = folder / "blockfile_000001"
    whole = newest.read_bytes()
    following = serialise_block(_following(chain))
    for at in (2, 2 + 1 + 1 + 32 + 1 + 5):  # in its number, in the previous hash
        tail = bytearray(following[:-1])
        tail[at] ^= 1
        newest.write_bytes(whole + tail)
        with pytest.raises(CorruptLedger, match="does not begin the block that is due"):
            PeerBlockFiles(folder)
    newest.write_bytes(whole + following[:-1])
    assert PeerBlockFiles(folder).left_out == len(following) - 1
    monkeypatch.setattr("ledger.block_files._LARGEST_BLOCK", len(following) - 4)
    with pytest.raises(CorruptLedger, match="more is there than any block has"):
        PeerBlockFiles(folder)


def _following(chain: TestChain) -> common_pb2.Block:
    block = chain.ledger.block(40)
    block.header.previous_hash = header_hash(block.header)
    block.header.number = 41
    return block


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda raw: raw[:-1], "ends within block 16"),
        (lambda raw: b"\x00" + raw, "no block at byte 0"),
        (lambda raw: b"\xff" * 10 + raw, "no block at byte 0"),
        (lambda raw: b"\x02\x00\x00" + raw, "too early|no number"),
        (lambda raw: raw + raw, "where block 17 should"),
    ],
)
def test_a_damaged_file_is_refused(folder: Path, damage: object, fault: str) -> None:
    first = folder / "blockfile_000000"
    first.write_bytes(damage(first.read_bytes()))  # type: ignore[operator]
    with pytest.raises(CorruptLedger, match=fault):
        list(PeerBlockFiles(folder).blocks(0))


def test_nothing_there(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(ChainNotFound):
            open_blocks(path)
    (tmp_path / "blockfile_000000").touch()
    with pytest.raises(ChainNotFound):
        open_blocks(tmp_path)
    for content in (b"", b"x" * 5000):
        (tmp_path / "chain.sqlite").write_bytes(content)
        with pytest.raises(ChainNotFound):
            open_blocks(tmp_path / "chain.sqlite")
    (tmp_path / "chain.sqlite").write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    with pytest.raises(CorruptLedger):
        open_blocks(tmp_path / "chain.sqlite")


def test_chains_begin_with_block_zero(chain: TestChain, tmp_path: Path) -> None:
    (tmp_path / "blockfile_000000").write_bytes(serialise_block(chain.ledger.block(1)))
    with pytest.raises(CorruptLedger, match="where block 0 should"):
        open_blocks(tmp_path)


def _read_as_nobody(path: Path) -> None:
    """In a forked process: root may write everywhere, so it becomes nobody first."""
    if os.geteuid() == 0:
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
    assert not os.access(path.parent, os.W_OK)
    ledger = EmbeddedLedger(path)
    read = sum(1 for _ in ChainFile(path).blocks(0))
    assert (read, ledger.information().height, len(list(ledger.blocks(0)))) == (41, 41, 41)
    try:
        ledger.order(b"x")
    except Unavailable:
        os._exit(0)


@pytest.mark.parametrize("log", [False, True], ids=["closed", "in use"])
def test_a_copy_that_cannot_be_written_is_read(chain: TestChain, tmp_path: Path, log: bool) -> None:
    home = tmp_path / "copy"
    home.mkdir()
    for path in chain.path.parent.glob("edge-a.sqlite*"):
        (home / path.name).write_bytes(path.read_bytes())
    copy = home / "edge-a.sqlite"
    if not log:
        with contextlib.closing(sqlite3.connect(copy)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert copy.with_name("edge-a.sqlite-wal").exists() == log
    for path in home.iterdir():
        path.chmod(0o444)
    home.chmod(0o555)
    for parent in tmp_path, *tmp_path.parents:
        if parent.stat().st_uid == os.geteuid() and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)
    reader = multiprocessing.get_context("fork").Process(target=_read_as_nobody, args=(copy,))
    reader.start()
    reader.join(60)
    home.chmod(0o755)
    assert reader.exitcode == 0
