"""Nonces and idempotency keys: what a repetition gets, whatever came between."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ingest_bench import Bench, FakeLedger, make_bench, slug

from chaincode.api import (
    SubmitBatch,
)
from gateway.admission import Candidate, Recorded, Submission
from gateway.keybook import KeyUse
from gateway.problems import Refusal
from ledger.errors import Unavailable, UnknownOutcome
from protocol.signature_base import record_id


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


def test_a_repetition_gets_the_first_answer_though_its_time_is_over_while_that_commits(bench: Bench) -> None:
    bench.ledger.gate.clear()
    submission = bench.sign(b"x", key="k")
    first = bench.later(submission)
    assert bench.ledger.entered.acquire(timeout=5)
    bench.now += 86400
    again = bench.later(submission)
    stranger = bench.later(bench.sign(b"y", key="k", nonce=submission.reading.nonce, at=-86400))
    keyless = bench.later(replace(submission, key=None))
    while not stranger or not keyless:
        time.sleep(0.01)
    assert not first
    assert not again
    bench.ledger.gate.set()
    bench.join()
    assert isinstance(first[0], Recorded)
    assert again == first
    assert [one[0].problem.slug for one in (stranger, keyless) if isinstance(one[0], Refusal)] == [
        "stale"
    ] * 2
    assert len(bench.ledger.batches) == 1


def test_a_key_settled_between_check_and_queue_is_not_used_twice(bench: Bench) -> None:
    """The second was checked before the first was there, and comes to the queue after its answer."""
    checked, go = threading.Event(), threading.Event()
    admit = bench.ingest._admission.admit

    def overtaken(submission: Submission) -> Any:
        admitted = admit(submission)
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


def test_a_key_beyond_that_bound_is_found_in_the_book(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.ingest._REMEMBERED_KEYS", 0)
    bench.ingest.submit(bench.sign(b"x", key="k"))
    assert slug(bench, bench.sign(b"y", key="k")) == "idempotency-key-reused"
    assert len(bench.ledger.batches) == 1


def restarted(bench: Bench, tmp_path: Path) -> Bench:
    """A fresh process over the same files and chain."""
    bench.ingest.close(5)
    fresh = make_bench(tmp_path)
    fresh.ledger.records.update(bench.ledger.records)
    return fresh


def test_repetitions_after_a_restart_cost_no_transaction_and_hinder_nobody(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    submissions = [bench.sign(b"%d" % number, key=f"k{number}") for number in range(3)]
    first = bench.ingest.submit_many(submissions)
    fresh = restarted(bench, tmp_path)
    repeated = [replace(one, repeated=True) for one in first if isinstance(one, Recorded)]
    assert fresh.ingest.submit_many(submissions) == repeated
    assert (fresh.ledger.attempts, fresh.store.packs) == (0, [])
    others = [fresh.sign(b"new", key="new"), fresh.sign(b"bare")]
    answers = fresh.ingest.submit_many([others[0], submissions[0], others[1]])
    assert answers[1] == repeated[0]
    assert [answer.repeated for answer in answers if isinstance(answer, Recorded)] == [False, True, False]
    assert [len(batch.readings) for batch in fresh.ledger.batches] == [2]
    fresh.ingest.close(5)


def test_attempts_cut_short_before_the_chain_are_made_again_together(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    submissions = [bench.sign(b"%d" % number, key=f"k{number}") for number in range(5)]
    bench.keys.remember(
        [KeyUse(one.reading.device, one.key or "", record_id("edge-a", one.reading)) for one in submissions],
        bench.now,
    )
    fresh = restarted(bench, tmp_path)
    answers = fresh.ingest.submit_many(submissions)
    assert [answer.repeated for answer in answers if isinstance(answer, Recorded)] == [False] * 5
    assert [len(batch.readings) for batch in fresh.ledger.batches] == [5]
    fresh.ingest.close(5)


def looked_up_and_held_back(
    bench: Bench, submission: Submission
) -> tuple[list[Recorded | Refusal], threading.Event]:
    """Submit in a thread that stops between question and queue; its answer, and what lets it go on."""
    admission = bench.ingest._admission
    look_up, asked, go = admission.look_up, threading.Event(), threading.Event()

    def late(candidate: Candidate, earlier: Any) -> Any:
        found = look_up(candidate, earlier)
        if not asked.is_set():
            asked.set()
            assert go.wait(5)
        return found

    admission.look_up = late
    answer = bench.later(submission)
    assert asked.wait(5)
    return answer, go


def test_a_repetition_looked_up_before_its_twin_was_recorded_gets_the_twins_answer(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    submission = bench.sign(b"x", key="k")
    bench.keys.remember([KeyUse("sensor-1", "k", record_id("edge-a", submission.reading))], bench.now)
    held_back, go = looked_up_and_held_back(bench, submission)
    first = bench.ingest.submit(submission)
    go.set()
    bench.join()
    assert held_back == [replace(first, repeated=True)]
    assert len(bench.ledger.batches) == 1
    bench.ingest.close(5)


@pytest.mark.parametrize("keyless", [True, False])
def test_a_repetition_after_a_restart_is_not_stopped_by_another_reading_under_way(
    tmp_path: Path, keyless: bool
) -> None:
    """A copy without the key, which anybody can send, or another reading with the key is ahead of it."""
    bench = make_bench(tmp_path)
    submission = bench.sign(b"x", key="k", nonce="n")
    first = bench.ingest.submit(submission)
    fresh = restarted(bench, tmp_path)
    fresh.ledger.refuse = lambda batch: duplicates(fresh, batch)
    fresh.ledger.gate.clear()
    ahead = fresh.later(replace(submission, key=None) if keyless else fresh.sign(b"y", key="k", nonce="m"))
    if keyless:
        assert fresh.ledger.entered.acquire(timeout=5)
    again = fresh.later(submission)
    while not again:
        time.sleep(0.001)
    fresh.ledger.gate.set()
    fresh.join()
    assert again == [replace(first, repeated=True)]
    assert isinstance(ahead[0], Refusal)
    fresh.ingest.close(5)


def duplicates(bench: Bench, batch: SubmitBatch) -> list[dict[str, Any]]:
    """As the contract refuses what is recorded."""
    return [
        {"index": index, "code": "duplicate-record", "message": "recorded already"}
        for index, reading in enumerate(batch.readings)
        if record_id("edge-a", reading) in bench.ledger.records
    ]


def test_a_key_is_kept_for_a_twin_of_unknown_outcome(tmp_path: Path) -> None:
    """Both were looked up before either was sent; the first one's outcome is unknown, but it is recorded."""
    bench = make_bench(tmp_path)
    bench.ledger.fail = Unavailable("away")
    assert slug(bench, bench.sign(b"other", key="k")) == "ledger-unavailable"
    bench.ledger.fail = None
    bench.ledger.refuse = lambda batch: duplicates(bench, batch)
    submission = bench.sign(b"x", key="k")
    submit = bench.ledger.submit

    def landed(message: SubmitBatch, *, timeout: float) -> Any:
        done = submit(message, timeout=timeout)
        bench.ledger.submit = submit
        raise UnknownOutcome(f"block {done.block}, but nobody heard", transaction="ab" * 32)

    held_back, go = looked_up_and_held_back(bench, submission)
    bench.ledger.submit = landed
    assert slug(bench, submission) == "outcome-unknown"
    go.set()
    bench.join()
    assert isinstance(held_back[0], Recorded)
    assert bench.keys.find([("sensor-1", "k")]) == {("sensor-1", "k"): held_back[0].record}
    assert slug(restarted(bench, tmp_path), bench.sign(b"z", key="k")) == "idempotency-key-reused"


def test_a_key_book_that_cannot_be_read_stops_no_reading_without_a_key(bench: Bench) -> None:
    def broken(uses: Any, now: float = 0.0) -> Any:
        if uses:
            raise Refusal("not-ready", "the idempotency keys cannot be read or written", retry_after=1)

    bench.keys.find = bench.keys.remember = broken
    keyed, bare = bench.ingest.submit_many([bench.sign(b"x", key="k"), bench.sign(b"y")])
    assert isinstance(keyed, Refusal)
    assert isinstance(bare, Recorded)
    assert [len(batch.readings) for batch in bench.ledger.batches] == [1]


def test_a_chain_that_lags_behind_its_own_answers_ends_as_unknown(tmp_path: Path) -> None:
    """Recorded, and yet not found when asked for: the repetition is not asked for ever."""
    bench = make_bench(tmp_path)
    submission = bench.sign(b"x", key="k")
    bench.ingest.submit(submission)
    bench.ledger.records.clear()
    assert slug(bench, submission) == "outcome-unknown"
    bench.ingest.close(5)


def test_a_key_book_that_cannot_be_read_refuses_and_claims_nothing(bench: Bench) -> None:
    def broken(uses: Any) -> Any:
        raise Refusal("not-ready", "the idempotency keys cannot be read or written", retry_after=1)

    find, bench.keys.find = bench.keys.find, broken
    submission = bench.sign(b"x", key="k")
    assert slug(bench, submission) == "not-ready"
    assert (bench.ledger.attempts, bench.store.packs) == (0, [])
    bench.keys.find = find
    assert not bench.ingest.submit(submission).repeated


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
