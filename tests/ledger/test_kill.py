"""SIGKILL at any instant: what was acknowledged is there once, the chain has no gap and verifies whole."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from chains import TestChain, make_chain, open_saved
from ledger_suite import CODE
from scratch_contract import Get, Increment, Put, invoke

from ledger.embedded import EmbeddedLedger, committer
from ledger.embedded.database import Database
from ledger.port import evaluate_typed
from protocol.blocks import Transaction, validation_codes

# Children are forked: a fresh interpreter would spend its short life importing.
CONTEXT = multiprocessing.get_context("fork")


@pytest.fixture
def chain(tmp_path: Path) -> TestChain:
    """A chain that nobody has open."""
    made = make_chain(tmp_path, invoke=invoke)
    made.save(tmp_path / "saved")
    made.close()
    return made


def _acknowledge(descriptor: int, transaction: str) -> None:
    os.write(descriptor, transaction.encode() + b"\n")  # one write of 65 bytes is never torn


def _submit_for_ever(folder: Path, name: str) -> None:
    """Two threads submit; each acknowledged id is written down after its receipt."""
    descriptor = os.open(folder / "acknowledged", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    ledger = open_saved(folder / "saved", invoke)
    (folder / f"ready-{name}").touch()

    def work(lane: int) -> None:
        count = 0
        while True:
            _acknowledge(descriptor, ledger.submit(Put(f"{name}/{lane}/{count}", "x")).transaction)
            _acknowledge(descriptor, ledger.submit(Increment("shared")).transaction)
            count += 1

    threads = [threading.Thread(target=work, args=(lane,)) for lane in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _valid_transactions(ledger: EmbeddedLedger) -> Counter[str]:
    found: Counter[str] = Counter()
    for block in ledger.blocks(1):
        for code, raw in zip(validation_codes(block), block.data.data, strict=True):
            if code == CODE.VALID:
                found[Transaction.from_envelope(raw).identifier] += 1
    return found


def test_killed_submitters_lose_and_repeat_nothing(chain: TestChain, tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    kills = 0
    for turn in range(25):
        names = [f"{turn}-{child}" for child in range(2)]
        children = [CONTEXT.Process(target=_submit_for_ever, args=(tmp_path, name)) for name in names]
        for child in children:
            child.start()
        deadline = time.monotonic() + 20
        while not all((tmp_path / f"ready-{name}").exists() for name in names):
            assert time.monotonic() < deadline
            time.sleep(0.002)
        for child in children:
            time.sleep(draw.uniform(0.0, 0.06))
            assert child.is_alive()
            assert child.pid is not None
            os.kill(child.pid, signal.SIGKILL)
            kills += 1
        for child in children:
            child.join(20)
            assert child.exitcode == -signal.SIGKILL
    assert kills == 50
    with closing(open_saved(tmp_path / "saved", invoke)) as ledger:
        ledger.verify()
        valid = _valid_transactions(ledger)
        acknowledged = (tmp_path / "acknowledged").read_text().split()
        print(f"{len(acknowledged)} acknowledged, {ledger.information().height} blocks")
        assert len(acknowledged) > 25
        assert all(valid[transaction] == 1 for transaction in acknowledged)
        assert set(valid.values()) == {1}
        # Every increment that stands in a block is in the state, and no other.
        increments = sum(
            1
            for block in ledger.blocks(1)
            for code, raw in zip(validation_codes(block), block.data.data, strict=True)
            if code == CODE.VALID and Transaction.from_envelope(raw).function == Increment.FUNCTION
        )
        assert evaluate_typed(ledger, Get("shared")).text == str(increments)


def _die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _before_block(folder: Path) -> None:
    committer._validate = _die  # type: ignore[assignment]
    open_saved(folder / "saved", invoke).submit(Put("a", "1"))


def _before_commit(folder: Path) -> None:
    Database._commit = _die  # type: ignore[method-assign]
    open_saved(folder / "saved", invoke).submit(Put("a", "1"))


def _after_commit(folder: Path) -> None:
    original = Database._commit

    def commit(self: Database) -> None:
        original(self)
        _die()

    Database._commit = commit  # type: ignore[method-assign]
    open_saved(folder / "saved", invoke).submit(Put("a", "1"))


@pytest.mark.parametrize(
    ("point", "value"), [(_before_block, ""), (_before_commit, ""), (_after_commit, "1")]
)
def test_failpoints(chain: TestChain, tmp_path: Path, point: Callable[[Path], None], value: str) -> None:
    child = CONTEXT.Process(target=point, args=(tmp_path,))
    child.start()
    child.join(20)
    assert child.exitcode == -signal.SIGKILL
    with closing(open_saved(tmp_path / "saved", invoke)) as ledger:
        ledger.verify()
        assert evaluate_typed(ledger, Get("a")).text == value
        assert ledger.information().height == (2 if value else 1)
        ledger.submit(Put("b", "1"))
        assert evaluate_typed(ledger, Get("b")).text == "1"
