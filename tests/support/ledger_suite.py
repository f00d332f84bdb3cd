"""The tests that every ledger backend must pass.

A backend's test module derives from ``LedgerSuite`` and gives a fixture ``ledger_factory`` that returns a
``Harness`` over a fresh chain (or channel) with two endorsing organisations and the scratch contract.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fabric_protos.peer import transaction_pb2
from ledger_harness import Harness
from scratch_contract import (
    Crash,
    Delete,
    Emit,
    Get,
    Increment,
    ListKeys,
    Put,
    PutMany,
    ReadOwnWrite,
    Refuse,
    Unknown,
    Waver,
    WhoAmI,
)

from identity.roles import Role
from ledger.errors import (
    BlockNotFound,
    CommitConflict,
    ContractRefused,
    EndorsementMismatch,
    EndorsementPolicyFailure,
    InvalidTransaction,
    ProposalRefused,
    Unavailable,
)
from ledger.port import Ledger, call, evaluate_typed, submit_typed
from protocol.blocks import (
    Transaction,
    check_linkage,
    header_hash,
    last_configuration,
    validation_codes,
    verify_block_signature,
    verify_endorsements,
)
from protocol.configuration import Configuration

CODE = transaction_pb2.TxValidationCode


def _increment_many(opener: Callable[..., Ledger], arguments: tuple[Any, ...], name: str, count: int) -> None:
    ledger = opener(*arguments)
    try:
        for index in range(count):
            call(ledger, Put(f"process/{name}/{index}", "x"))
            call(ledger, Increment("shared"))
    finally:
        ledger.close()


class LedgerSuite:
    """One class of tests over any backend."""

    @pytest.fixture
    def harness(self, ledger_factory: Callable[[], Harness]) -> Harness:
        return ledger_factory()

    # ---------------------------------------------------------- submit and evaluate

    def test_submit_is_readable_and_in_a_block(self, harness: Harness) -> None:
        ledger = harness.open()
        before = ledger.information()
        receipt, answer = submit_typed(ledger, Put("a", "1"))
        assert answer.text == "1"
        assert evaluate_typed(ledger, Get("a")).text == "1"
        block = ledger.block(receipt.block)
        transactions = [Transaction.from_envelope(raw) for raw in block.data.data]
        (mine,) = [entry for entry in transactions if entry.identifier == receipt.transaction]
        assert (mine.function, mine.argument) == ("scratch:put", b'{"key":"a","value":"1"}')
        assert mine.payload == receipt.payload
        assert ledger.information().height > before.height
        status = ledger.find(receipt.transaction)
        assert status is not None
        assert (status.block, status.code) == (receipt.block, CODE.VALID)
        assert transactions[status.index].identifier == receipt.transaction

    def test_evaluate_records_nothing(self, harness: Harness) -> None:
        ledger = harness.open()
        height = ledger.information().height
        assert evaluate_typed(ledger, Increment("a")).text == "1"
        assert evaluate_typed(ledger, Get("a")).text == ""
        assert ledger.information().height == height

    def test_own_writes_are_not_read(self, harness: Harness) -> None:
        ledger = harness.open()
        assert call(ledger, ReadOwnWrite("a", "1")).text == ""
        assert call(ledger, ReadOwnWrite("a", "2")).text == "1"

    def test_deleted_keys_are_gone(self, harness: Harness) -> None:
        ledger = harness.open()
        call(ledger, Put("a", "1"))
        call(ledger, Delete("a"))
        assert evaluate_typed(ledger, Get("a")).text == ""
        call(ledger, Increment("a"))
        assert evaluate_typed(ledger, Get("a")).text == "1"

    def test_ranges_follow_utf8_bytes_and_exclude_their_end(self, harness: Harness) -> None:
        ledger = harness.open()
        for key in ("r/b", "r/a", "r/ä", "r/Z", "s"):
            call(ledger, Put(key, "x"))
        assert evaluate_typed(ledger, ListKeys("r/", "r0", 0, "")).text == "r/Z,r/a,r/b,r/ä"
        assert evaluate_typed(ledger, ListKeys("r/a", "r/b", 0, "")).text == "r/a"
        assert evaluate_typed(ledger, ListKeys("r/", "r0", 2, "")).text == "r/Z,r/a"

    def test_contract_sees_creator_chain_and_transaction(self, harness: Harness) -> None:
        second = harness.organisations[1]
        ledger = harness.open(second, Role.RELAY)
        receipt, answer = submit_typed(ledger, WhoAmI())
        msp_id, role, _, chain, transaction = answer.text.split()
        assert (msp_id, role, chain, transaction) == (second, "relay", ledger.chain, receipt.transaction)

    def test_event_is_kept_in_the_block(self, harness: Harness) -> None:
        ledger = harness.open()
        receipt = ledger.submit(Emit("recorded", "seven"))
        events = [Transaction.from_envelope(raw) for raw in ledger.block(receipt.block).data.data]
        assert [(entry.event_name, entry.event_payload) for entry in events] == [("recorded", b"seven")]

    def test_large_batches_fit(self, harness: Harness) -> None:
        ledger = harness.open()
        assert call(ledger, PutMany("large", 1024, 200, "b" * 256 * 1024)).text == "1024"
        assert evaluate_typed(ledger, Get("large/1023")).text == "v" * 200

    # ---------------------------------------------------------- refusals

    def test_refusal_carries_code_status_and_details_and_writes_nothing(self, harness: Harness) -> None:
        ledger = harness.open()
        height = ledger.information().height
        with pytest.raises(ContractRefused) as caught:
            ledger.submit(Refuse("a"))
        error = caught.value
        assert (error.code, error.message, error.status) == ("conflict", "not today", 409)
        assert error.details == [{"index": 3, "code": "because"}]
        assert not error.retryable
        with pytest.raises(ContractRefused):
            ledger.evaluate(Refuse("a"))
        assert evaluate_typed(ledger, Get("a")).text == ""
        assert ledger.information().height == height

    def test_unknown_function_is_refused(self, harness: Harness) -> None:
        with pytest.raises(ContractRefused) as caught:
            harness.open().submit(Unknown())
        assert (caught.value.code, caught.value.status) == ("unknown-function", 404)

    def test_crash_leaks_nothing(self, harness: Harness) -> None:
        with pytest.raises(ContractRefused) as caught:
            harness.open().submit(Crash("hidden"))
        assert (caught.value.code, caught.value.status) == ("internal-error", 500)
        assert "hidden" not in str(caught.value)

    def test_differing_results_are_not_ordered(self, harness: Harness) -> None:
        ledger = harness.open()
        height = ledger.information().height
        with pytest.raises(EndorsementMismatch):
            ledger.submit(Waver("a"))
        assert ledger.information().height == height

    def test_stranger_and_expired_member_are_refused(self, harness: Harness) -> None:
        for ledger in (harness.stranger(), harness.expired()):
            with pytest.raises(ProposalRefused):
                ledger.submit(Put("a", "1"))
            with pytest.raises(ProposalRefused):
                ledger.evaluate(Get("a"))

    def test_one_organisation_is_not_enough(self, harness: Harness) -> None:
        with pytest.raises(EndorsementPolicyFailure) as caught:
            harness.under_endorsed().submit(Put("a", "1"))
        assert caught.value.code == CODE.ENDORSEMENT_POLICY_FAILURE
        ledger = harness.open()
        assert evaluate_typed(ledger, Get("a")).text == ""
        status = ledger.find(caught.value.transaction)
        assert status is not None
        assert status.code == CODE.ENDORSEMENT_POLICY_FAILURE

    # ---------------------------------------------------------- validation

    def test_stale_read_is_an_mvcc_conflict(self, harness: Harness) -> None:
        first, second = harness.endorsed(Increment("a")), harness.endorsed(Increment("a"))
        assert harness.order(first) == CODE.VALID
        assert harness.order(second) == CODE.MVCC_READ_CONFLICT
        assert evaluate_typed(harness.open(), Get("a")).text == "1"

    def test_rewriting_the_same_value_is_a_conflict_too(self, harness: Harness) -> None:
        ledger = harness.open()
        call(ledger, Put("a", "1"))
        stale = harness.endorsed(Increment("a"))
        call(ledger, Put("a", "1"))
        assert harness.order(stale) == CODE.MVCC_READ_CONFLICT

    def test_new_and_lost_keys_in_a_range_are_phantoms(self, harness: Harness) -> None:
        ledger = harness.open()
        call(ledger, Put("p/2", "x"))
        grown = harness.endorsed(ListKeys("p/", "p0", 0, "count"))
        call(ledger, Put("p/1", "x"))
        assert harness.order(grown) == CODE.PHANTOM_READ_CONFLICT
        shrunk = harness.endorsed(ListKeys("p/", "p0", 0, "count"))
        call(ledger, Delete("p/2"))
        assert harness.order(shrunk) == CODE.PHANTOM_READ_CONFLICT
        assert harness.order(harness.endorsed(ListKeys("p/", "p0", 0, "count"))) == CODE.VALID

    def test_what_lies_outside_the_range_does_no_harm(self, harness: Harness) -> None:
        ledger = harness.open()
        for key in ("p/1", "p/2"):
            call(ledger, Put(key, "x"))
        whole = harness.endorsed(ListKeys("p/", "p0", 0, "count"))
        part = harness.endorsed(ListKeys("p/", "p0", 1, "count2"))
        call(ledger, Put("p0", "x"))
        assert harness.order(whole) == CODE.VALID
        assert harness.order(part) == CODE.VALID
        part = harness.endorsed(ListKeys("p/", "p0", 1, "count2"))
        call(ledger, Put("p/1", "y"))
        assert harness.order(part) == CODE.PHANTOM_READ_CONFLICT

    def test_repeated_envelope_is_a_duplicate(self, harness: Harness) -> None:
        envelope = harness.endorsed(Put("a", "1"))
        assert harness.order(envelope) == CODE.VALID
        assert harness.order(envelope) == CODE.DUPLICATE_TXID
        status = harness.open().find(Transaction.from_envelope(envelope).identifier)
        assert status is not None
        assert status.code == CODE.VALID

    def test_unretried_conflict_is_typed(self, harness: Harness) -> None:
        ledger = harness.open(attempts=1)
        conflicts: list[CommitConflict] = []
        start = threading.Barrier(4)

        def work() -> None:
            for _ in range(10):
                start.wait()
                try:
                    ledger.submit(Increment("hot"))
                except CommitConflict as error:
                    conflicts.append(error)

        with ThreadPoolExecutor(4) as pool:
            for future in [pool.submit(work) for _ in range(4)]:
                future.result()
        assert conflicts, "forty submissions of one key, four at a time, and none met another"
        assert evaluate_typed(ledger, Get("hot")).text == str(40 - len(conflicts))
        assert all(error.retryable and error.code == CODE.MVCC_READ_CONFLICT for error in conflicts)
        for error in conflicts:
            status = ledger.find(error.transaction)
            assert status is not None
            assert status.code == CODE.MVCC_READ_CONFLICT

    # ---------------------------------------------------------- concurrency

    def test_conflicts_are_retried(self, harness: Harness) -> None:
        ledger = harness.open()

        def work(name: int) -> None:
            for _ in range(5):
                ledger.submit(Increment("hot"))

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(work, range(6)))
        assert evaluate_typed(ledger, Get("hot")).text == "30"

    def test_many_threads_lose_nothing(self, harness: Harness) -> None:
        ledger = harness.open()

        def work(name: int) -> list[str]:
            return [ledger.submit(Put(f"t/{name}/{index}", "x")).transaction for index in range(20)]

        with ThreadPoolExecutor(10) as pool:
            transactions = [entry for found in pool.map(work, range(10)) for entry in found]
        assert len(set(transactions)) == 200
        self.assert_sound(ledger, transactions)

    def test_many_processes_share_one_chain(self, harness: Harness) -> None:
        context = multiprocessing.get_context("spawn")
        opener, arguments = harness.recipe()
        workers = [
            context.Process(target=_increment_many, args=(opener, arguments, f"w{number}", 10))
            for number in range(3)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
            assert worker.exitcode == 0
        ledger = harness.open()
        assert evaluate_typed(ledger, Get("shared")).text == "30"
        keys = evaluate_typed(ledger, ListKeys("process/", "process0", 0, "")).text.split(",")
        assert len(keys) == 30
        self.assert_sound(ledger, [])

    # ---------------------------------------------------------- blocks

    def test_blocks_are_linked_signed_and_endorsed(self, harness: Harness) -> None:
        ledger = harness.open()
        transactions = [ledger.submit(Put(f"k{index}", "x")).transaction for index in range(5)]
        self.assert_sound(ledger, transactions)

    def test_blocks_from_a_cursor(self, harness: Harness) -> None:
        ledger = harness.open()
        while (height := ledger.information().height) < 40:  # more than a page
            ledger.submit(Put(f"k{height}", "x"))
        assert [block.header.number for block in ledger.blocks(0)] == list(range(height))
        assert [block.header.number for block in ledger.blocks(height - 3)] == [
            height - 3,
            height - 2,
            height - 1,
        ]
        assert list(ledger.blocks(height)) == []
        assert list(ledger.blocks(height + 5)) == []
        for number in (height, 10**20, -1):
            with pytest.raises(BlockNotFound):
                ledger.block(number)

    def test_wait_wakes_for_a_block_of_another_ledger(self, harness: Harness) -> None:
        ledger, other = harness.open(), harness.open(harness.organisations[1])
        height = ledger.information().height
        started = time.monotonic()
        assert not ledger.wait(height, 0.05)
        assert 0.04 < time.monotonic() - started < 5
        timer = threading.Timer(0.1, lambda: other.submit(Put("a", "1")))
        timer.start()
        assert ledger.wait(height, 20)
        assert ledger.wait(height - 1, 0)
        timer.join()

    def test_find_of_an_unknown_transaction(self, harness: Harness) -> None:
        assert harness.open().find("00" * 32) is None

    def test_closed_ledger_is_unavailable(self, harness: Harness) -> None:
        ledger = harness.open()
        ledger.close()
        with pytest.raises(Unavailable):
            ledger.submit(Put("a", "1"))
        with pytest.raises(Unavailable):
            ledger.information()

    def test_invalid_code_is_named(self, harness: Harness) -> None:
        error = InvalidTransaction(CODE.BAD_CREATOR_SIGNATURE, transaction="ab", block=7)
        assert (error.name, error.transaction, error.retryable) == ("BAD_CREATOR_SIGNATURE", "ab", False)

    def assert_sound(self, ledger: Ledger, transactions: list[str]) -> None:
        """Every block links, is signed and endorsed; each of ``transactions`` stands in it once, VALID."""
        blocks = list(ledger.blocks(0))
        configuration = Configuration.from_block(blocks[0])
        previous = b""
        valid: list[str] = []
        for number, block in enumerate(blocks):
            assert block.header.number == number
            check_linkage(block, previous)
            previous = header_hash(block.header)
            codes = validation_codes(block)
            if number == 0:
                continue
            verify_block_signature(block, configuration)
            if last_configuration(block) == number:
                configuration = configuration.successor(block)
                continue
            for code, raw in zip(codes, block.data.data, strict=True):
                if code == CODE.VALID:
                    transaction = Transaction.from_envelope(raw)
                    valid.append(transaction.identifier)
                    if not transaction.chaincode.startswith("_"):  # an organisation approves by itself
                        assert len(verify_endorsements(transaction, configuration)) >= 2
        assert len(set(valid)) == len(valid)
        assert set(transactions) <= set(valid)
        assert ledger.information().header_hash == previous
