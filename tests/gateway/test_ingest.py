"""Group commit: who shares a transaction, who waits, and what happens when something fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingest_bench import Bench, make_bench, slug

from chaincode.api import (
    GetDevice,
    SubmitBatch,
)
from gateway.admission import Recorded, Submission, encoded_size
from gateway.problems import Refusal
from gateway.services import Limits
from ledger.errors import ContractRefused, Unavailable, UnknownOutcome
from ledger.port import TransactionStatus
from protocol.encodings import encode
from protocol.readings import SignedReading
from store import Unavailable as StoreUnavailable


def test_one_reading_is_one_transaction_and_waits_for_nobody(bench: Bench) -> None:
    for number in range(20):
        recorded = bench.ingest.submit(bench.sign(b"%d" % number))
        assert (recorded.index, recorded.count) == (0, 1)
    assert len(bench.ledger.batches) == 20
    assert bench.pauses.seconds == []


def test_what_comes_while_a_batch_commits_goes_into_the_next(bench: Bench) -> None:
    bench.ledger.gate.clear()
    answers = [bench.later(bench.sign(b"first"))]
    assert bench.ledger.entered.acquire(timeout=5)
    answers += [bench.later(bench.sign(b"%d" % number)) for number in range(50)]
    bench.queued(50)
    bench.ledger.gate.set()
    bench.join()
    assert [len(batch.readings) for batch in bench.ledger.batches] == [1, 50]
    assert all(isinstance(answer, Recorded) for (answer,) in answers)
    assert sorted(answer.index for (answer,) in answers[1:]) == list(range(50))


def test_full_batches_go_to_the_chain_beside_others_and_the_rest_waits(tmp_path: Path) -> None:
    bench = make_bench(tmp_path, replace(Limits(), transaction_readings=10, transactions=3))
    bench.ledger.gate.clear()
    answers = bench.later(bench.sign(b"first"))
    assert bench.ledger.entered.acquire(timeout=5)
    many = [bench.sign(b"%d" % number) for number in range(35)]
    thread = threading.Thread(target=lambda: answers.extend(bench.ingest.submit_many(many)))
    thread.start()
    bench.threads.append(thread)
    for _ in range(2):
        assert bench.ledger.entered.acquire(timeout=5)
    bench.queued(15)
    assert not bench.ledger.entered.acquire(timeout=0.05), "three are under way: no more are begun"
    bench.ledger.gate.set()
    bench.join()
    assert sorted(len(batch.readings) for batch in bench.ledger.batches) == [1, 5, 10, 10, 10]
    assert len(answers) == 36
    assert all(isinstance(answer, Recorded) for answer in answers)
    bench.ingest.close(5)


def test_few_readings_wait_for_what_is_under_way_and_many_do_not(tmp_path: Path) -> None:
    bench = make_bench(tmp_path, replace(Limits(), beside_readings=4))
    bench.ledger.gate.clear()
    bench.later(bench.sign(b"first"))
    assert bench.ledger.entered.acquire(timeout=5)
    for number in range(3):
        bench.later(bench.sign(b"%d" % number))
    bench.queued(3)
    assert not bench.ledger.entered.acquire(timeout=0.05)
    bench.later(bench.sign(b"the fourth"))
    assert bench.ledger.entered.acquire(timeout=5)
    bench.ledger.gate.set()
    bench.join()
    assert sorted(len(batch.readings) for batch in bench.ledger.batches) == [1, 4]
    bench.ingest.close(5)


def test_a_failing_batch_sinks_none_that_is_under_way_beside_it(tmp_path: Path) -> None:
    bench = make_bench(tmp_path, replace(Limits(), transaction_readings=2, transactions=2))
    bad = bench.sign(b"bad")

    def refuse(batch: SubmitBatch) -> list[dict[str, Any]]:
        if bad.reading not in batch.readings:
            return []
        return [{"index": batch.readings.index(bad.reading), "code": "bad-signature", "message": "no"}]

    bench.ledger.refuse = refuse
    many = [bench.sign(b"%d" % number) for number in range(5)]
    answers = bench.ingest.submit_many([many[0], bad, *many[1:]])
    assert [isinstance(answer, Recorded) for answer in answers] == [True, False, True, True, True, True]
    bench.ingest.close(5)


def test_lingers_only_for_readings_that_are_on_their_way(bench: Bench) -> None:
    checking, go = threading.Event(), threading.Event()
    admit = bench.ingest._admission.admit

    def slow(submission: Submission) -> Any:
        if submission.data == b"slow":
            checking.set()
            assert go.wait(5)
        return admit(submission)

    bench.ingest._admission.admit = slow
    bench.later(bench.sign(b"slow"))
    assert checking.wait(5)
    quick = bench.later(bench.sign(b"quick"))
    deadline = time.monotonic() + 5
    while not quick and time.monotonic() < deadline:
        time.sleep(0.001)
    assert quick, "the quick reading waited for the slow one"
    assert bench.pauses.seconds
    assert max(bench.pauses.seconds) <= 0.010
    go.set()
    bench.join()
    assert [len(batch.readings) for batch in bench.ledger.batches] == [1, 1]


def test_bytes_are_stored_before_the_chain_is_asked(bench: Bench) -> None:
    seen: list[list[bytes]] = []
    bench.ledger.refuse = lambda batch: seen.extend(list(bench.store.packs)) or []
    bench.ingest.submit(bench.sign(b"bytes"))
    assert seen == [[b"bytes"]]


def test_a_batch_has_bounds(tmp_path: Path) -> None:
    bench = make_bench(tmp_path, replace(Limits(), transaction_readings=10))
    bench.ingest.submit_many([bench.sign(b"%d" % number) for number in range(35)])
    assert [len(batch.readings) for batch in bench.ledger.batches] == [10, 10, 10, 5]
    bench.ingest.close(5)


def test_a_transaction_stays_below_its_encoded_size(tmp_path: Path) -> None:
    limit = 4000
    bench = make_bench(tmp_path, replace(Limits(), transaction_bytes=limit))
    answers = bench.ingest.submit_many([bench.sign(b"%d" % number) for number in range(40)])
    assert all(isinstance(answer, Recorded) for answer in answers)
    sizes = [len(encode(batch)) for batch in bench.ledger.batches]
    assert max(sizes) <= limit
    assert max(sizes) > limit - 600, "the bound is not used"
    bench.ingest.close(5)


def test_512_readings_fit_one_transaction(bench: Bench) -> None:
    bench.ingest.submit_many([bench.sign(b"%d" % number) for number in range(512)])
    assert [len(batch.readings) for batch in bench.ledger.batches] == [512]
    assert len(encode(bench.ledger.batches[0])) <= 256 * 1024


def test_a_reading_that_the_contract_refuses_sinks_nobody(bench: Bench) -> None:
    def refuse(batch: SubmitBatch) -> list[dict[str, Any]]:
        return [
            {"index": index, "code": "suspended-device", "message": "suspended"}
            for index, reading in enumerate(batch.readings)
            if reading.nonce.startswith("bad")
        ]

    bench.ledger.refuse = refuse
    nonces = ["a", "bad1", "b", "bad2", "c"]
    answers = bench.ingest.submit_many([bench.sign(b"x" + nonce.encode(), nonce=nonce) for nonce in nonces])
    assert [isinstance(answer, Recorded) for answer in answers] == [True, False, True, False, True]
    assert [answer.index for answer in answers if isinstance(answer, Recorded)] == [0, 1, 2]
    assert {answer.problem.slug for answer in answers if isinstance(answer, Refusal)} == {"suspended-device"}
    assert bench.ledger.attempts == 2


def test_a_refused_device_is_looked_up_again(bench: Bench) -> None:
    bench.ingest.submit(bench.sign(b"one"))
    bench.ingest.submit(bench.sign(b"two"))
    looked_up = [message for message in bench.ledger.evaluations if isinstance(message, GetDevice)]
    assert len(looked_up) == 1
    bench.ledger.refuse = lambda batch: [{"index": 0, "code": "retired-device", "message": "retired"}]
    assert slug(bench, bench.sign(b"three")) == "retired-device"
    bench.ledger.refuse = lambda batch: []
    bench.ingest.submit(bench.sign(b"four"))
    looked_up = [message for message in bench.ledger.evaluations if isinstance(message, GetDevice)]
    assert len(looked_up) == 2


@pytest.mark.parametrize(
    "details", [None, [], "x", [{"index": 7, "code": "stale", "message": ""}], [{"code": "stale"}], [3]]
)
def test_a_refusal_that_names_nobody_claims_nothing(bench: Bench, details: Any) -> None:
    bench.ledger.fail = ContractRefused("bad-records", "bad", 422, details)
    assert slug(bench, bench.sign(b"x")) == "ledger-unavailable"
    assert bench.ledger.attempts == 1


def test_an_unknown_code_is_still_a_refusal(bench: Bench) -> None:
    bench.ledger.refuse = lambda batch: [{"index": 0, "code": "tea-break", "message": "not now"}]
    assert slug(bench, bench.sign(b"x")) == "refused-by-contract"


def test_a_chain_that_does_not_answer_is_503_and_the_reading_can_be_sent_again(bench: Bench) -> None:
    bench.ledger.fail = Unavailable("away")
    submission = bench.sign(b"x")
    with pytest.raises(Refusal) as caught:
        bench.ingest.submit(submission)
    assert (caught.value.problem.status, caught.value.problem.retry_after) == (503, 1)
    bench.ledger.fail = None
    assert bench.ingest.submit(submission).count == 1


def test_an_unknown_outcome_is_looked_up(bench: Bench) -> None:
    bench.ledger.fail = UnknownOutcome("timeout", transaction="ab" * 32)
    assert slug(bench, bench.sign(b"x")) == "outcome-unknown"
    bench.ledger.status = TransactionStatus("ab" * 32, 7, 0, 11)
    assert slug(bench, bench.sign(b"y")) == "outcome-unknown"
    bench.ledger.status = TransactionStatus("ab" * 32, 7, 0, 0)
    assert bench.ingest.submit(bench.sign(b"z")).transaction == "ab" * 32


def test_a_store_that_refuses_keeps_the_reading_off_the_chain(bench: Bench) -> None:
    bench.store.fail = StoreUnavailable("full")
    assert slug(bench, bench.sign(b"x")) == "store-unavailable"
    assert bench.ledger.attempts == 0


def test_an_unexpected_fault_leaves_nobody_waiting_and_the_next_batch_goes_on(bench: Bench) -> None:
    put_pack = bench.store.put_pack

    def broken(items: Sequence[bytes]) -> list[bytes]:
        raise RuntimeError("a bug")

    bench.store.put_pack = broken
    assert slug(bench, bench.sign(b"x")) == "outcome-unknown"
    bench.store.put_pack = put_pack
    assert bench.ingest.submit(bench.sign(b"y")).count == 1


# ------------------------------------------------------------------ bounds and the end


def test_a_full_queue_answers_503(tmp_path: Path) -> None:
    bench = make_bench(tmp_path, replace(Limits(), queue_readings=3))
    bench.ledger.gate.clear()
    first = bench.later(bench.sign(b"first"))
    assert bench.ledger.entered.acquire(timeout=5)
    waiting = [bench.later(bench.sign(b"%d" % number)) for number in range(3)]
    bench.queued(3)
    with pytest.raises(Refusal) as caught:
        bench.ingest.submit(bench.sign(b"too many"))
    assert (caught.value.problem.slug, caught.value.problem.status) == ("overloaded", 503)
    assert caught.value.problem.retry_after is not None
    bench.ledger.gate.set()
    bench.join()
    assert all(isinstance(answers[0], Recorded) for answers in [first, *waiting])
    bench.ingest.close(5)


def test_closing_answers_everybody_and_then_takes_nothing(bench: Bench) -> None:
    bench.ledger.gate.clear()
    answers = [bench.later(bench.sign(b"%d" % number)) for number in range(20)]
    deadline = time.monotonic() + 5
    while bench.ledger.attempts == 0 or len(bench.ingest._slots) < 20:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    closing = threading.Thread(target=lambda: bench.ingest.close(10))
    closing.start()
    time.sleep(0.02)
    bench.ledger.gate.set()
    closing.join(10)
    assert not closing.is_alive()
    bench.join()
    assert all(isinstance(answer[0], Recorded) for answer in answers)
    assert slug(bench, bench.sign(b"late")) == "draining"


# ------------------------------------------------------------------ admission


def test_each_fault_is_named(bench: Bench) -> None:
    good = bench.sign(b"x")
    assert slug(bench, bench.sign(b"x", at=-61)) == "stale"
    assert slug(bench, bench.sign(b"x", at=62)) == "future"
    bench.ingest.submit(bench.sign(b"x", at=-59))
    bench.ingest.submit(bench.sign(b"x", at=59))
    altered = good.reading.signature[:-1] + bytes([good.reading.signature[-1] ^ 1])
    assert slug(bench, replace(good, reading=replace(good.reading, signature=altered))) == "bad-signature"
    assert slug(bench, replace(good, data=b"y")) == "digest-mismatch"
    assert slug(bench, replace(good, reading=replace(good.reading, nonce="a b"))) == "malformed"
    assert slug(bench, replace(good, reading=replace(good.reading, keyid="someone"))) == "malformed"
    other = replace(good.reading, algorithm="ecdsa-p256-sha256")
    assert slug(bench, replace(good, reading=other)) == "wrong-algorithm"
    assert slug(bench, bench.sign(b"x" * (1024 * 1024 + 1))) == "too-large"
    assert bench.ledger.attempts == 2


@given(
    device=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}", fullmatch=True),
    created=st.integers(0, 10**15 - 1),
    nonce=st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True),
    content_type=st.from_regex(r'[a-z]+/[a-z]+(?:;[ \t]?[a-z]="[\t !#-\[\]-~]*")?', fullmatch=True),
)
def test_the_reckoned_size_is_true(device: str, created: int, nonce: str, content_type: str) -> None:
    reading = SignedReading(device, device, "ed25519", created, nonce, bytes(32), content_type, bytes(64))
    assert encoded_size(reading) == len(encode(reading)) + 1
