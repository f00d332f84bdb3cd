"""Group commit over fakes: who shares a transaction, who waits, and what happens when something fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaincode.api import (
    Device,
    DeviceStatus,
    FindNonce,
    GetDevice,
    GetRecord,
    Message,
    NonceUse,
    StoredRecord,
    SubmitBatch,
)
from chaincode.payloads import encode_result
from gateway.admission import Admission, Recorded, Submission, encoded_size
from gateway.client import PreparedReading, ReadingSigner
from gateway.directory import Directory
from gateway.ingest import Ingest
from gateway.keybook import KeyBook
from gateway.metrics import Metrics
from gateway.problems import Refusal
from gateway.services import Limits
from identity import KeyPair
from ledger.errors import ContractRefused, LedgerError, Unavailable, UnknownOutcome
from ledger.port import Receipt, TransactionStatus
from protocol.encodings import encode
from protocol.readings import RecordLeaf, SignedReading
from protocol.signature_base import record_id
from store import StoreError
from store import Unavailable as StoreUnavailable

KEY = KeyPair.generate()


@dataclass
class FakeLedger:
    """Keeps records in memory; ``gate`` holds commits back, ``refuse`` names bad readings."""

    chain: str = "edge-a"
    batches: list[SubmitBatch] = field(default_factory=list)
    attempts: int = 0
    records: dict[bytes, StoredRecord] = field(default_factory=dict)
    gate: threading.Event = field(default_factory=threading.Event)
    entered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    refuse: Callable[[SubmitBatch], list[dict[str, Any]]] = lambda batch: []
    fail: LedgerError | None = None
    status: TransactionStatus | None = None
    evaluations: list[Message] = field(default_factory=list)

    def evaluate(self, message: Message) -> bytes:
        self.evaluations.append(message)
        if isinstance(message, GetDevice):
            device = Device(message.device, "Org1MSP", KEY.algorithm, KEY.spki, DeviceStatus.ACTIVE, 1)
            return encode_result(GetDevice.FUNCTION, device)
        if isinstance(message, GetRecord) and message.record in self.records:
            return encode_result(GetRecord.FUNCTION, self.records[message.record])
        if isinstance(message, FindNonce):
            return encode_result(FindNonce.FUNCTION, NonceUse(b""))
        assert isinstance(message, GetRecord)
        raise ContractRefused("not-found", "no such record", 404)

    def submit(self, message: SubmitBatch, *, timeout: float = 30.0) -> Receipt:
        self.attempts += 1
        self.entered.release()
        assert self.gate.wait(10)
        if self.fail is not None:
            raise self.fail
        if bad := self.refuse(message):
            raise ContractRefused("bad-records", f"{len(bad)} bad", 422, bad)
        self.batches.append(message)
        transaction = f"{len(self.batches):064x}"
        for index, reading in enumerate(message.readings):
            record = record_id(self.chain, reading)
            leaf = RecordLeaf(record, sha256(KEY.spki).digest(), reading)
            self.records[record] = StoredRecord(leaf, transaction, index, len(message.readings))
        return Receipt(transaction, len(self.batches), b"")

    def find(self, transaction: str) -> TransactionStatus | None:
        return self.status


@dataclass
class FakeStore:
    """Remembers what was put, and in which pack."""

    packs: list[list[bytes]] = field(default_factory=list)
    fail: StoreError | None = None

    def put_pack(self, items: Sequence[bytes]) -> list[bytes]:
        if self.fail is not None:
            raise self.fail
        self.packs.append(list(items))
        return [sha256(item).digest() for item in items]


class Pauses:
    """Counts the waits for company; no time passes."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, condition: threading.Condition, seconds: float) -> None:
        self.seconds.append(seconds)
        condition.wait(seconds)


@dataclass
class Bench:
    ledger: FakeLedger
    store: FakeStore
    keys: KeyBook
    directory: Directory
    ingest: Ingest
    pauses: Pauses
    now: float = 1_700_000_000.0
    threads: list[threading.Thread] = field(default_factory=list)

    def sign(self, data: bytes, *, key: str = "", nonce: str | None = None, at: float = 0.0) -> Submission:
        signer = ReadingSigner("edge-a", "sensor-1", KEY, clock=lambda: self.now + at)
        made: PreparedReading = signer.sign(data, "text/plain", nonce=nonce, idempotency_key=key)
        return Submission(made.reading, data, key or None)

    def later(self, submission: Submission) -> list[Recorded | Refusal]:
        """Submit in a thread; the answer appears in the list."""
        answers: list[Recorded | Refusal] = []
        thread = threading.Thread(target=lambda: answers.extend(self.ingest.submit_many([submission])))
        thread.start()
        self.threads.append(thread)
        return answers

    def join(self) -> None:
        for thread in self.threads:
            thread.join(10)
            assert not thread.is_alive()

    def queued(self, count: int) -> None:
        """Wait until so many readings are queued."""
        deadline = time.monotonic() + 5
        while len(self.ingest._queue) != count:
            assert time.monotonic() < deadline, len(self.ingest._queue)
            time.sleep(0.001)


def make_bench(folder: Path, limits: Limits | None = None) -> Bench:
    limits = limits or Limits()
    ledger, store = FakeLedger(), FakeStore()
    ledger.gate.set()
    keys = KeyBook(folder / "keys.sqlite", limits.key_retention)
    directory = Directory(ledger, limits.device_cache, time.monotonic)
    bench = Bench(ledger, store, keys, directory, None, Pauses())
    admission = Admission(
        ledger,
        directory,
        keys,
        clock=lambda: bench.now,
        skew=limits.skew,
        max_bytes=limits.reading_bytes,
    )
    bench.ingest = Ingest(
        ledger,
        store,
        admission,
        directory,
        keys,
        limits,
        Metrics(),
        clock=lambda: bench.now,
        pause=bench.pauses,
    )
    return bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = make_bench(tmp_path)
    yield made
    made.ledger.gate.set()
    made.ingest.close(5)


def slug(bench: Bench, submission: Submission) -> str:
    with pytest.raises(Refusal) as caught:
        bench.ingest.submit(submission)
    return caught.value.problem.slug


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

    def slow(submission: Submission, earlier: bytes | None) -> Any:
        if submission.data == b"slow":
            checking.set()
            assert go.wait(5)
        return admit(submission, earlier)

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


# ------------------------------------------------------------------ repetition


def test_the_same_reading_with_its_key_gets_the_first_answer(bench: Bench) -> None:
    submission = bench.sign(b"x", key="k")
    first = bench.ingest.submit(submission)
    again = bench.ingest.submit(submission)
    assert again == replace(first, repeated=True)
    assert len(bench.ledger.batches) == 1


def test_the_first_answer_outlives_the_skew_and_a_restart(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    submission = bench.sign(b"x", key="k")
    first = bench.ingest.submit(submission)
    bench.ingest.close(5)
    fresh = make_bench(tmp_path)
    fresh.ingest._admission._ledger.records.update(bench.ledger.records)
    fresh.now += 86400
    assert fresh.ingest.submit(submission) == replace(first, repeated=True)
    assert fresh.ledger.attempts == 0
    fresh.ingest.close(5)


@pytest.mark.parametrize("key", ["", "other"])
def test_the_same_reading_without_its_key_is_a_replay(bench: Bench, key: str) -> None:
    first = bench.sign(b"x", key="k", nonce="n")
    bench.ingest.submit(first)
    assert slug(bench, replace(first, key=key or None)) == "replayed-nonce"


def test_a_reading_recorded_without_a_key_is_not_given_again_to_one(bench: Bench) -> None:
    first = bench.sign(b"x")
    bench.ingest.submit(first)
    assert slug(bench, replace(first, key="k")) == "replayed-nonce"
    assert slug(bench, replace(first, key="k")) == "replayed-nonce"


def test_another_reading_with_a_used_nonce_is_a_replay(bench: Bench) -> None:
    bench.ingest.submit(bench.sign(b"x", nonce="n", key="k"))
    assert slug(bench, bench.sign(b"y", nonce="n", key="l")) == "replayed-nonce"


def test_a_used_key_for_another_reading_is_refused(bench: Bench) -> None:
    bench.ingest.submit(bench.sign(b"x", key="k"))
    assert slug(bench, bench.sign(b"y", key="k")) == "idempotency-key-reused"


def test_a_key_whose_reading_was_refused_may_be_used_again(bench: Bench) -> None:
    bench.ledger.refuse = lambda batch: [{"index": 0, "code": "suspended-device", "message": ""}]
    assert slug(bench, bench.sign(b"x", key="k")) == "suspended-device"
    bench.ledger.refuse = lambda batch: []
    assert bench.ingest.submit(bench.sign(b"y", key="k")).count == 1


def test_the_same_reading_twice_at_once_is_recorded_once(bench: Bench) -> None:
    bench.ledger.gate.clear()
    submission = bench.sign(b"x", key="k", nonce="n")
    answers = [bench.later(submission), bench.later(submission)]
    assert bench.ledger.entered.acquire(timeout=5)
    time.sleep(0.05)
    stranger = bench.later(bench.sign(b"other bytes", nonce="n", key="z"))
    keyless = bench.later(replace(submission, key=None))
    thief = bench.later(bench.sign(b"other nonce", key="k"))
    time.sleep(0.05)
    bench.ledger.gate.set()
    bench.join()
    (one,), (two,) = answers
    assert isinstance(one, Recorded)
    assert isinstance(two, Recorded)
    assert (one.record, one.transaction) == (two.record, two.transaction)
    assert len(bench.ledger.batches) == 1
    for refused, wanted in (
        (stranger, "replayed-nonce"),
        (keyless, "replayed-nonce"),
        (thief, "idempotency-key-reused"),
    ):
        assert isinstance(refused[0], Refusal)
        assert refused[0].problem.slug == wanted


def test_a_key_settled_between_check_and_queue_is_not_used_twice(bench: Bench) -> None:
    """The second asks the key book before the first is in it, and comes to the queue after its answer."""
    checked, go = threading.Event(), threading.Event()
    admit = bench.ingest._admission.admit

    def overtaken(submission: Submission, earlier: bytes | None) -> Any:
        admitted = admit(submission, earlier)
        if submission.data == b"second":
            checked.set()
            assert go.wait(5)
        return admitted

    bench.ingest._admission.admit = overtaken
    second = bench.later(bench.sign(b"second", key="k"))
    assert checked.wait(5)
    first = bench.ingest.submit(bench.sign(b"first", key="k"))
    go.set()
    bench.join()
    (answer,) = second
    assert isinstance(answer, Refusal)
    assert (answer.problem.slug, answer.problem.status) == ("idempotency-key-reused", 422)
    assert first.record.hex() in answer.problem.detail
    assert len(bench.ledger.batches) == 1


def test_a_key_of_unknown_outcome_is_kept_for_its_reading(bench: Bench) -> None:
    submission = bench.sign(b"x", key="k")
    bench.ledger.fail = UnknownOutcome("timeout", transaction="ab" * 32)
    assert slug(bench, submission) == "outcome-unknown"
    bench.ledger.fail = None
    assert slug(bench, bench.sign(b"y", key="k")) == "idempotency-key-reused"
    assert bench.ingest.submit(submission).count == 1


def test_settled_keys_are_remembered_within_a_bound(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.ingest._REMEMBERED_KEYS", 3)
    for number in range(5):
        bench.ingest.submit(bench.sign(b"%d" % number, key=f"k{number}"))
    assert [key for _, key in bench.ingest._recent_keys] == ["k2", "k3", "k4"]


def test_twins_in_one_batch(bench: Bench) -> None:
    keyed = bench.sign(b"x", key="k")
    bare = bench.sign(b"y")
    answers = bench.ingest.submit_many([keyed, keyed, bare, bare])
    assert answers[0] == answers[1]
    assert isinstance(answers[2], Recorded)
    assert isinstance(answers[3], Refusal)
    assert [len(batch.readings) for batch in bench.ledger.batches] == [2]


def test_an_attempt_cut_short_is_completed_by_its_repetition(tmp_path: Path) -> None:
    """Killed after the chain had it, before anybody was answered: the fresh process knows only its files."""
    bench = make_bench(tmp_path)
    submission = bench.sign(b"x", key="k")
    bench.ledger.fail = UnknownOutcome("timeout", transaction="ab" * 32)
    assert slug(bench, submission) == "outcome-unknown"
    bench.ledger.fail = None
    # It was committed after all, but only becomes visible while the repetition is under way.
    hidden = FakeLedger()
    hidden.gate.set()
    hidden.submit(SubmitBatch((submission.reading,)))

    def refuse(batch: SubmitBatch) -> list[dict[str, Any]]:
        bench.ledger.records.update(hidden.records)
        return [{"index": 0, "code": "duplicate-record", "message": "recorded already"}]

    bench.ledger.refuse = refuse
    answer = bench.ingest.submit(submission)
    assert answer.repeated
    assert bench.ingest.submit(submission) == answer
    assert slug(bench, replace(submission, key="l")) == "replayed-nonce"
    bench.ingest.close(5)


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
