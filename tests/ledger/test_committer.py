"""Group commit: threads share blocks, nobody waits for a lost leader, unknown outcomes are looked up."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from chains import TestChain, make_chain
from ledger_suite import CODE
from scratch_contract import Get, Increment, Put, invoke

from ledger.embedded import committer as committer_module
from ledger.embedded.database import Database
from ledger.errors import LedgerError, Unavailable, UnknownOutcome
from ledger.port import evaluate_typed
from protocol.blocks import Transaction, validation_codes


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[TestChain]:
    made = make_chain(tmp_path, invoke=invoke)
    yield made
    made.ledger.verify()
    made.close()


@contextmanager
def foreign_lock(chain: TestChain) -> Iterator[None]:
    """Another process's write lock."""
    connection = sqlite3.connect(chain.path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def queued(chain: TestChain, count: int) -> None:
    """Wait until ``count`` submissions are in the queue."""
    committer = chain.ledger._committer
    deadline = time.monotonic() + 10
    while len(committer._queue) < count:
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_waiting_submissions_share_a_block(chain: TestChain) -> None:
    with ThreadPoolExecutor(20) as pool:
        with foreign_lock(chain):
            futures = [pool.submit(chain.ledger.submit, Put(f"k{number}", "x")) for number in range(20)]
            queued(chain, 20)
        receipts = [future.result() for future in futures]
    assert {receipt.block for receipt in receipts} == {1}
    assert len({receipt.transaction for receipt in receipts}) == 20
    assert len(chain.ledger.block(1).data.data) == 20


def test_blocks_are_bounded_by_count(chain: TestChain) -> None:
    envelopes = [chain.ledger.endorsed(Put(f"k{number}", "x")) for number in range(120)]
    with ThreadPoolExecutor(120) as pool:
        with foreign_lock(chain):
            futures = [pool.submit(chain.ledger.order, envelope) for envelope in envelopes]
            queued(chain, 120)
        assert all(future.result().code == CODE.VALID for future in futures)
    assert [len(block.data.data) for block in chain.ledger.blocks(1)] == [100, 20]


def test_blocks_are_bounded_by_size(chain: TestChain) -> None:
    envelopes = [chain.ledger.endorsed(Put(f"k{number}", "x" * 200_000)) for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        with foreign_lock(chain):
            futures = [pool.submit(chain.ledger.order, envelope) for envelope in envelopes]
            queued(chain, 4)
        assert all(future.result().code == CODE.VALID for future in futures)
    # The value is in the call, in the write set and in the answer: 0.6 MB an envelope, 2 MiB a block.
    assert [len(block.data.data) for block in chain.ledger.blocks(1)] == [3, 1]


def test_one_transaction_may_be_larger_than_a_shared_block(chain: TestChain) -> None:
    chain.ledger.submit(Put("a", "x" * 1_000_000))
    assert len(chain.ledger.block(1).data.data[0]) > 2 * 1024 * 1024


def test_conflicts_within_a_block(chain: TestChain) -> None:
    envelopes = [chain.ledger.endorsed(Increment("a")) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        with foreign_lock(chain):
            futures = [pool.submit(chain.ledger.order, envelope) for envelope in envelopes]
            queued(chain, 3)
        codes = sorted(future.result().code for future in futures)
    assert codes == [CODE.VALID, CODE.MVCC_READ_CONFLICT, CODE.MVCC_READ_CONFLICT]
    assert validation_codes(chain.ledger.block(1))[0] == CODE.VALID
    assert evaluate_typed(chain.ledger, Get("a")).text == "1"


def test_duplicates_within_a_block(chain: TestChain) -> None:
    envelope = chain.ledger.endorsed(Put("a", "1"))
    with ThreadPoolExecutor(2) as pool:
        with foreign_lock(chain):
            futures = [pool.submit(chain.ledger.order, envelope) for _ in range(2)]
            queued(chain, 2)
        assert sorted(future.result().code for future in futures) == [CODE.VALID, CODE.DUPLICATE_TXID]
    status = chain.ledger.find(Transaction.from_envelope(envelope).identifier)
    assert status is not None
    assert (status.index, status.code) == (0, CODE.VALID)


def test_lock_that_never_comes_free(chain: TestChain) -> None:
    with foreign_lock(chain), pytest.raises(Unavailable) as caught:
        chain.ledger.submit(Put("a", "1"), timeout=0.1)
    assert caught.value.retryable
    assert chain.ledger.find(caught.value.transaction) is None
    assert chain.ledger.submit(Put("a", "1")).block == 1


def test_impatient_follower_leaves_alone(chain: TestChain) -> None:
    with ThreadPoolExecutor(3) as pool:
        with foreign_lock(chain):
            leader = pool.submit(chain.ledger.submit, Put("leader", "1"))
            queued(chain, 1)
            impatient = pool.submit(chain.ledger.submit, Put("impatient", "1"), timeout=2)
            queued(chain, 2)
            patient = pool.submit(chain.ledger.submit, Put("patient", "1"))
            with pytest.raises(Unavailable, match="queue"):
                impatient.result()
            queued(chain, 2)
        assert leader.result().block == patient.result().block == 1
    assert evaluate_typed(chain.ledger, Get("impatient")).text == ""


def test_impatient_leader_hands_over(chain: TestChain) -> None:
    with ThreadPoolExecutor(2) as pool:
        with foreign_lock(chain):
            leader = pool.submit(chain.ledger.submit, Put("leader", "1"), timeout=2)
            queued(chain, 1)
            follower = pool.submit(chain.ledger.submit, Put("follower", "1"))
            with pytest.raises(Unavailable):
                leader.result()
        assert follower.result().block == 1
    assert evaluate_typed(chain.ledger, Get("leader")).text == ""


@pytest.mark.parametrize("name", ["_validate", "_store"])
def test_interrupted_leader_leaves_nobody_waiting(
    chain: TestChain, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    original, calls = getattr(committer_module, name), []

    def once(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(committer_module, name, once)
    outcomes: list[object] = []

    def work(number: int) -> None:
        try:
            outcomes.append(chain.ledger.submit(Put(f"k{number}", "x")))
        except (KeyboardInterrupt, LedgerError) as error:
            outcomes.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    with foreign_lock(chain):
        for thread in threads:
            thread.start()
        queued(chain, 5)
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert (
        sorted(type(entry).__name__ for entry in outcomes) == ["KeyboardInterrupt"] + ["UnknownOutcome"] * 4
    )
    for entry in outcomes:
        if isinstance(entry, UnknownOutcome):
            assert chain.ledger.find(entry.transaction) is None
    assert chain.ledger.submit(Put("after", "1")).block == 1


def test_interrupted_before_the_block(chain: TestChain, monkeypatch: pytest.MonkeyPatch) -> None:
    """A leader that is interrupted while it waits for the lock hands over its lead."""
    original, calls = Database._begin, []

    def once(self: Database, deadline: float) -> None:
        calls.append(1)
        if len(calls) == 1:
            queued(chain, 3)
            raise KeyboardInterrupt
        original(self, deadline)

    monkeypatch.setattr(Database, "_begin", once)
    outcomes: list[object] = []

    def work(number: int) -> None:
        try:
            outcomes.append(chain.ledger.submit(Put(f"k{number}", "x")).block)
        except KeyboardInterrupt as error:
            outcomes.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert sorted(map(repr, outcomes)) == ["1", "1", "KeyboardInterrupt()"]


def test_commit_that_failed_but_holds(chain: TestChain, monkeypatch: pytest.MonkeyPatch) -> None:
    """The outcome is unknown to the thread; the chain knows it."""
    original = Database._commit

    def confused(self: Database) -> None:
        original(self)
        raise UnknownOutcome("the answer was lost")

    monkeypatch.setattr(Database, "_commit", confused)
    receipt = chain.ledger.submit(Put("a", "1"))
    assert receipt.block == 1
    assert evaluate_typed(chain.ledger, Get("a")).text == "1"


def test_commit_that_failed(chain: TestChain, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Database) -> None:
        raise UnknownOutcome("the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr(Database, "_commit", broken)
        with pytest.raises(UnknownOutcome) as caught:
            chain.ledger.submit(Put("a", "1"))
    assert len(caught.value.transaction) == 64
    assert not caught.value.retryable
    assert chain.ledger.find(caught.value.transaction) is None
    assert chain.ledger.submit(Put("a", "1")).block == 1


def test_full_disk_is_unavailable_and_passes(chain: TestChain) -> None:
    writer = chain.ledger._database._writer
    writer.execute(f"PRAGMA max_page_count={writer.execute('PRAGMA page_count').fetchone()[0]}")
    with pytest.raises(Unavailable, match="full") as caught:
        chain.ledger.submit(Put("a", "x" * 100_000))
    assert chain.ledger.find(caught.value.transaction) is None
    writer.execute("PRAGMA max_page_count=1073741823")
    assert chain.ledger.submit(Put("a", "1")).block == 1
