"""A damaged chain gives CorruptLedger and a clear message; what verify lets pass is intact."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from chains import TestChain, make_chain
from fabric_protos.common import common_pb2
from scratch_contract import Delete, Get, Increment, ListKeys, Put, invoke

from ledger.embedded import EmbeddedLedger
from ledger.errors import ContractRefused, CorruptLedger, LedgerError, Unavailable
from ledger.port import evaluate_typed


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> TestChain:
    """A closed chain of eight blocks with conflicts and deletions; tests work on copies of its file."""
    chain = make_chain(tmp_path_factory.mktemp("storage"), invoke=invoke)
    stale = chain.ledger.endorsed(Increment("count"))
    for message in (Put("a", "1"), Increment("count"), Put("b", "2"), Delete("a"), Put("c", "3")):
        chain.ledger.submit(message)
    chain.ledger.order(stale)
    chain.ledger.submit(ListKeys("a", "z", 0, "listed"))
    chain.close()
    return chain


@pytest.fixture
def copy(original: TestChain, tmp_path: Path) -> Path:
    path = tmp_path / "copy.sqlite"
    shutil.copyfile(original.path, path)
    return path


def change(path: Path, *statements: str, **values: object) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement, values)


def opened(original: TestChain, path: Path) -> EmbeddedLedger:
    return EmbeddedLedger(
        path,
        submitter=original.signer("Org1MSP", next(role for _, role, _ in original._signers)),
        endorsers=original.endorsers,
        orderer=original.orderer,
        invoke=invoke,
    )


def test_the_copy_is_sound(original: TestChain, copy: Path) -> None:
    with closing(opened(original, copy)) as ledger:
        assert ledger.verify() == ledger.information()
        assert ledger.information().height == 8


@pytest.mark.parametrize("content", [b"", b"not a database" * 500, b"SQLite format 3\x00" + bytes(5000)])
def test_what_is_no_database(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(content)
    with pytest.raises(CorruptLedger, match=r"ledger\.sqlite"):
        EmbeddedLedger(path, invoke=invoke)


@pytest.mark.parametrize("size", [100, 4096, 20_000])
def test_a_truncated_file(original: TestChain, copy: Path, size: int) -> None:
    os.truncate(copy, size)
    with pytest.raises(CorruptLedger):
        opened(original, copy)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM chain",
        "UPDATE chain SET format = 2",
        "UPDATE chain SET name = 'other'",
        "UPDATE chain SET height = 7",
        "UPDATE chain SET height = 0",
        "UPDATE chain SET height = 9",
        "UPDATE chain SET header_hash = zeroblob(32)",
        "UPDATE chain SET configuration = 3",
        "DELETE FROM blocks WHERE number = 0",
        "DELETE FROM blocks WHERE number = 7",
        "DELETE FROM blocks WHERE number = 6",
        "UPDATE blocks SET raw = zeroblob(100) WHERE number = 7",
        "UPDATE blocks SET digest = zeroblob(32) WHERE number = 7",
        "DROP TABLE state",
        "DROP TABLE blocks",
    ],
)
def test_damage_seen_at_once(original: TestChain, copy: Path, statement: str) -> None:
    """At the opening; what opening does not look at, at the first use."""
    change(copy, statement)
    with pytest.raises(CorruptLedger) as caught, closing(opened(original, copy)) as ledger:
        ledger.evaluate(Get("b"))
    assert str(caught.value)


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE state SET value = CAST('7' AS BLOB) WHERE key = 'b'", "'b'"),
        ("UPDATE state SET block = 1 WHERE key = 'b'", "'b'"),
        ("UPDATE state SET key = 'x' WHERE key = 'b'", "'x'"),
        ("DELETE FROM state WHERE key = 'b'", "missing"),
        ("INSERT INTO state VALUES ('x', CAST('7' AS BLOB), 1, 0, 0)", "'x'"),
        ("DELETE FROM transactions WHERE block = 3", "index"),
        ("UPDATE transactions SET code = 0", "index"),
        ("UPDATE transactions SET position = 1 WHERE block = 3", "index"),
        ("INSERT INTO transactions VALUES ('00', 3, 0, 0)", "index"),
        ("INSERT INTO blocks SELECT 8, digest, raw FROM blocks WHERE number = 7", "beyond"),
        ("DELETE FROM blocks WHERE number = 3", "block 3"),
        ("UPDATE blocks SET raw = zeroblob(100) WHERE number = 3", "block 3"),
    ],
)
def test_damage_seen_by_verify(original: TestChain, copy: Path, statement: str, fault: str) -> None:
    change(copy, statement)
    with closing(opened(original, copy)) as ledger, pytest.raises(CorruptLedger, match=fault):
        ledger.verify()


def test_damaged_state_is_not_endorsed(original: TestChain, copy: Path) -> None:
    change(copy, "UPDATE state SET value = CAST('7' AS BLOB) WHERE key = 'b'")
    with closing(opened(original, copy)) as ledger:
        with pytest.raises(CorruptLedger, match="'b'"):
            ledger.evaluate(Get("b"))
        with pytest.raises(CorruptLedger):
            ledger.submit(Increment("b"))
        with pytest.raises(CorruptLedger):
            ledger.evaluate(ListKeys("a", "z", 0, ""))
        assert evaluate_typed(ledger, Get("c")).text == "3"


def test_missing_and_damaged_blocks_stop_a_reader(original: TestChain, copy: Path) -> None:
    change(copy, "DELETE FROM blocks WHERE number = 3")
    with closing(opened(original, copy)) as ledger, pytest.raises(CorruptLedger, match="block 3"):
        list(ledger.blocks(0))
    with closing(opened(original, copy)) as ledger, pytest.raises(CorruptLedger, match="block 3"):
        list(ledger.blocks(3))
    change(copy, "UPDATE blocks SET number = 3 WHERE number = 4")
    with closing(opened(original, copy)) as ledger, pytest.raises(CorruptLedger, match="block"):
        ledger.block(3)


def _flip_code(block: common_pb2.Block) -> None:
    block.metadata.metadata[2] = b"\x0b"


def _forge_envelope(block: common_pb2.Block) -> None:
    envelope = bytearray(block.data.data[0])
    envelope[-1] ^= 1
    block.data.data[0] = bytes(envelope)
    block.header.data_hash = hashlib.sha256(bytes(envelope)).digest()


def _forge_previous(block: common_pb2.Block) -> None:
    block.header.previous_hash = bytes(32)


def _unsign(block: common_pb2.Block) -> None:
    block.metadata.metadata[0] = b""


def _replaced(path: Path, number: int, forge: Callable[[common_pb2.Block], None]) -> None:
    """Another block in its place, with the digest that SQLite's row needs."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        (raw,) = connection.execute("SELECT raw FROM blocks WHERE number = ?", (number,)).fetchone()
        block = common_pb2.Block.FromString(raw)
        forge(block)
        forged = block.SerializeToString(deterministic=True)
        digest = hashlib.sha256(forged).digest()
        connection.execute("UPDATE blocks SET raw = ?, digest = ? WHERE number = ?", (forged, digest, number))


@pytest.mark.parametrize("forge", [_flip_code, _forge_envelope, _forge_previous, _unsign])
def test_forged_block_in_the_middle(
    original: TestChain, copy: Path, forge: Callable[[common_pb2.Block], None]
) -> None:
    _replaced(copy, 3, forge)
    with closing(opened(original, copy)) as ledger, pytest.raises(CorruptLedger, match=r"block [34]"):
        ledger.verify()


@pytest.mark.parametrize("forge", [_forge_envelope, _forge_previous, _unsign])
def test_forged_newest_block(
    original: TestChain, copy: Path, forge: Callable[[common_pb2.Block], None]
) -> None:
    _replaced(copy, 7, forge)
    with pytest.raises(CorruptLedger):
        opened(original, copy)


def test_any_flipped_bytes(original: TestChain, tmp_path: Path) -> None:
    """Either a typed error, or all that was stored is still there."""
    whole = original.path.read_bytes()
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    expected = _content(original, original.path)
    caught = 0
    for number in range(150):
        path = tmp_path / f"{number}.sqlite"
        damaged = bytearray(whole)
        for _ in range(draw.choice((1, 1, 8, 64))):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        path.write_bytes(damaged)
        try:
            found = _content(original, path)
        except (CorruptLedger, Unavailable):
            caught += 1
            continue
        except ContractRefused as error:
            raise AssertionError("damage reached a contract") from error
        assert found == expected
    assert caught > 20


def _content(original: TestChain, path: Path) -> object:
    with closing(opened(original, path)) as ledger:
        information = ledger.verify()
        blocks = [block.SerializeToString(deterministic=True) for block in ledger.blocks(0)]
        keys = evaluate_typed(ledger, ListKeys("", "", 0, "")).text
        return information, blocks, keys, evaluate_typed(ledger, Get("listed")).text


def test_a_fork_is_told_apart(original: TestChain, copy: Path) -> None:
    """SQLite's connections do not survive a fork: the child is told so."""
    with closing(opened(original, copy)) as ledger:
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                ledger.information()
                answer = b"read"
            except LedgerError as error:
                answer = f"{type(error).__name__} {error}".encode()
            ledger.close()
            os.write(write, answer)
            os._exit(0)
        os.waitpid(child, 0)
        answer = os.read(read, 1000)
        os.close(read)
        os.close(write)
        assert answer.startswith(b"Unavailable")
        assert b"fork" in answer
        assert ledger.information().height == 8
