"""Group commit: many single readings, few transactions (seed 003, section V.A: Type-I).

Requests check their readings themselves (``gateway.admission``) and queue them. A thread takes what is there
as a batch, gives back those whose idempotency keys are known already, writes the others' bytes to the store
(durable), then their records to the chain in one transaction, and answers everybody. While one batch commits
the next one gathers, so the busier the gateway is, the larger its batches; only a batch that is worth it goes
to the chain beside others. A reading that is alone never waits for company.

What holds when ``submit`` returns: the bytes are durable in the store and the record is committed on the
chain. A kill at any instant can only leave bytes that no record names, which do no harm.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from functools import partial
from typing import Final

from gateway.admission import Admission, Candidate, Recorded, Submission
from gateway.metrics import Metrics
from gateway.problems import Refusal
from gateway.recording import (
    RETRY_SECONDS,
    Answer,
    Pending,
    Recorder,
    outcome_unknown,
    replayed,
    unavailable,
)
from gateway.services import Limits
from ledger.errors import LedgerError

__all__ = ["Answer", "Ingest"]

_log = logging.getLogger(__name__)
_ENVELOPE_BYTES: Final = len('{"readings":[]}')
_PACK_BYTES: Final = 64 * 1024 * 1024  # of readings in one pack: bounds what a batch holds in memory
_REMEMBERED_NONCES: Final = 65536
_REMEMBERED_KEYS: Final = 65536
_LOOK_UPS: Final = 8  # of one reading: two settle all but a chain that lags behind its own answers


def _wait(condition: threading.Condition, seconds: float) -> None:
    condition.wait(seconds)


class Ingest:
    """Takes readings, answers when they are recorded. Its threads start with the first reading.

    Args:
        recorder: writes batches down.
        admission: the checks before the queue.
        limits: sizes and times.
        metrics: counters.
        monotonic: seconds, for lingering.
        pause: waits on the queue's condition for at most so many seconds while readings are on their way.
    """

    def __init__(
        self,
        recorder: Recorder,
        admission: Admission,
        limits: Limits,
        metrics: Metrics,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        pause: Callable[[threading.Condition, float], None] = _wait,
    ) -> None:
        self._recorder = recorder
        self._admission = admission
        self._limits = limits
        self._metrics = metrics
        self._monotonic = monotonic
        self._pause = pause
        self._changed = threading.Condition()
        self._queue: deque[Pending] = deque()
        self._queued_bytes = 0
        """Of readings."""
        self._queued_size = 0
        """Of the transactions' arguments."""
        self._arriving = 0
        """Readings that are being checked and may still join the next batch."""
        self._lingering = False
        """Whether the next batch is waiting for these."""
        self._slots: dict[tuple[str, str], Pending] = {}
        """(device, nonce) of every reading between queue and answer."""
        self._key_slots: dict[tuple[str, str], bytes] = {}
        """(device, idempotency key) likewise, to the record."""
        self._recent_keys: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        """Keys of readings that lately were, or may have been, recorded, to the record: the key of what may
        have been recorded must not be given to another reading, though the chain does not know it yet."""
        self._recent: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        """Nonces recorded lately: most replays are answered from here, without the chain."""
        self._threads: list[threading.Thread] = []
        self._taking = threading.Lock()
        """Held by the thread whose batch is next."""
        self._committing = 0
        """Batches that were taken and are not settled yet."""
        self._closing = False

    @property
    def draining(self) -> bool:
        """Whether no new readings are taken."""
        return self._closing

    def submit(self, submission: Submission) -> Recorded:
        """Have one reading recorded.

        Returns:
            When it is committed on the chain and its bytes are durable.

        Raises:
            Refusal: with the problem; then it is not recorded (but see ``outcome-unknown``).
        """
        (answer,) = self.submit_many([submission])
        if isinstance(answer, Refusal):
            raise answer
        return answer

    def submit_many(self, submissions: Sequence[Submission]) -> list[Answer]:
        """Have readings recorded; each is answered by itself, in order."""
        with self._changed:
            self._arriving += len(submissions)
            under_way = [self._under_way(one) for one in submissions]
        try:
            # What is being recorded is not checked again: its time may be over meanwhile.
            checked = [
                pending or self._check(partial(self._admission.admit, one))
                for pending, one in zip(under_way, submissions, strict=True)
            ]
        except BaseException:
            with self._changed:
                self._arrived(len(submissions))
            raise
        with self._changed:
            try:
                items = self._enqueue_all(checked)
            finally:
                self._arrived(len(submissions))
        answers = self._answers(items)
        for answer in answers:
            if isinstance(answer, Refusal):
                self._metrics.answered(answer.problem.slug)
            else:
                self._metrics.answered("repeated" if answer.repeated else "recorded")
        return answers

    def close(self, timeout: float = 30.0) -> None:
        """Take no more readings, answer those that are here, and stop.

        Args:
            timeout: seconds to wait for that.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        until = self._monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, until - self._monotonic()))
        self._recorder.close()

    # ------------------------------------------------------------------ in the request's thread

    def _check(self, check: Callable[[], Candidate | Recorded]) -> Candidate | Answer:
        try:
            return check()
        except Refusal as refusal:
            return refusal
        except LedgerError as error:
            _log.warning("the chain did not answer a check: %s", error)
            return unavailable(error)

    def _answers(self, items: Sequence[Pending | Answer | Candidate]) -> list[Answer]:
        """Wait for what is pending. What comes back as a candidate is looked up, and queued if it is new."""
        deadline = self._monotonic() + 2 * self._limits.commit_timeout
        for _ in range(_LOOK_UPS):
            settled = [self._await(item, deadline) if isinstance(item, Pending) else item for item in items]
            answers = [item for item in settled if not isinstance(item, Candidate)]
            if len(answers) == len(settled):
                return answers
            looked_up = self._look_up(settled)
            with self._changed:
                items = self._enqueue_all(looked_up)
                self._wake()
        # What is recorded by its own answer is not found on the chain, which may be behind.
        return [item if isinstance(item, Recorded | Refusal) else outcome_unknown() for item in items]

    def _look_up(self, items: Sequence[Answer | Candidate]) -> list[Answer | Candidate]:
        """Ask for all candidates at once what their keys stand for, then the chain what became of each."""
        try:
            earlier = self._admission.earlier([item for item in items if isinstance(item, Candidate)])
        except Refusal as refusal:
            return [refusal if isinstance(item, Candidate) else item for item in items]
        return [
            self._check(partial(self._admission.look_up, item, earlier))
            if isinstance(item, Candidate)
            else item
            for item in items
        ]

    def _under_way(self, submission: Submission) -> Pending | None:
        """The first attempt of which this is the repetition, while it has no answer. The lock is held."""
        first = self._slots.get((submission.reading.device, submission.reading.nonce))
        is_its = first is not None and submission.key is not None and first.candidate.submission == submission
        return first if is_its else None

    def _enqueue_all(
        self, items: Sequence[Pending | Answer | Candidate]
    ) -> list[Pending | Answer | Candidate]:
        return [self._enqueue(item) if isinstance(item, Candidate) else item for item in items]

    def _enqueue(self, candidate: Candidate) -> Pending | Answer | Candidate:
        """Queue a candidate, or join the same reading that is queued already. The lock is held.

        Gives the candidate back where it is to be looked up: the chain is not asked under the lock.
        """
        pending = Pending(candidate)
        use = candidate.key_use
        if (first := self._under_way(candidate.submission)) is not None:
            return first
        if pending.slot in self._slots:
            if not candidate.asked:
                return candidate  # may be a repetition, which no other reading under way is to stop
            return Refusal("replayed-nonce", "a reading with this nonce is being recorded", field="nonce")
        if (record := self._recent.get(pending.slot)) is not None:
            # Once asked it is no repetition, unless its twin was recorded between question and queue.
            is_repetition = record == candidate.record and (
                not candidate.asked or (use is not None and self._recent_keys.get(use.slot) == record)
            )
            return candidate if use is not None and is_repetition else replayed(record)
        if use is not None:
            if use.slot in self._key_slots:
                if not candidate.asked:
                    return candidate
                return Refusal(
                    "idempotency-key-reused",
                    "a reading with this key is being recorded",
                    field="Idempotency-Key",
                )
            settled = self._recent_keys.get(use.slot)
            if settled is not None and settled != use.record:
                return Refusal(
                    "idempotency-key-reused",
                    f"the key stands for record {settled.hex()}",
                    field="Idempotency-Key",
                )
        if self._closing:
            return Refusal("draining", "the gateway is shutting down", retry_after=RETRY_SECONDS)
        size = len(candidate.submission.data)
        if (
            len(self._queue) >= self._limits.queue_readings
            or self._queued_bytes + size > self._limits.queue_bytes
        ):
            return Refusal(
                "overloaded", f"{len(self._queue)} readings are waiting", retry_after=RETRY_SECONDS
            )
        self._queue.append(pending)
        self._queued_bytes += size
        self._queued_size += candidate.size
        self._slots[pending.slot] = pending
        if use is not None:
            self._key_slots[use.slot] = use.record
        self._metrics.waiting(len(self._queue))
        if not self._threads:
            for number in range(self._limits.transactions):
                thread = threading.Thread(target=self._run, name=f"group-commit-{number}", daemon=True)
                self._threads.append(thread)
                thread.start()
        return pending

    def _await(self, pending: Pending, deadline: float) -> Answer | Candidate:
        try:
            return pending.answer.result(max(0.0, deadline - self._monotonic()))
        except Refusal as refusal:
            return refusal
        except FutureTimeout:
            return outcome_unknown()

    def _arrived(self, count: int) -> None:
        """Readings were queued or refused. The lock is held."""
        self._arriving -= count
        self._wake()

    def _wake(self) -> None:
        """Tell who takes the next batch that readings were queued. The lock is held.

        Only for what it waits for: a wake-up for each reading would cost as much as checking its signature.
        """
        if (self._arriving == 0 or self._full()) if self._lingering else self._due():
            self._changed.notify_all()

    # ------------------------------------------------------------------ in the committing threads

    def _run(self) -> None:
        while (batch := self._next()) is not None:
            try:
                self._recorder.record(batch, self._settle)
            except Exception:
                _log.exception("a batch of %d readings failed", len(batch))
            finally:
                # Whatever went wrong: nobody is left waiting, and nothing is claimed.
                self._settle([(item, outcome_unknown()) for item in batch if not item.answer.done()])
                with self._changed:
                    self._committing -= 1
                    self._changed.notify_all()

    def _next(self) -> list[Pending] | None:
        """The next batch: what is queued, after a short wait for readings on their way; None at the end."""
        with self._taking, self._changed:
            while not self._due():
                if self._closing and self._arriving == 0 and not self._queue:
                    return None
                self._changed.wait()
            until = self._monotonic() + self._limits.linger
            self._lingering = True
            while self._arriving > 0 and not self._full() and (left := until - self._monotonic()) > 0:
                self._pause(self._changed, left)
            self._lingering = False
            self._committing += 1
            return self._take()

    def _due(self) -> bool:
        """Whether a batch is to be taken: beside others only a large one."""
        return bool(self._queue) and (
            self._committing == 0 or len(self._queue) >= self._limits.beside_readings or self._full()
        )

    def _full(self) -> bool:
        limits = self._limits
        return (
            len(self._queue) >= limits.transaction_readings
            or self._queued_size + _ENVELOPE_BYTES > limits.transaction_bytes
        )

    def _take(self) -> list[Pending]:
        batch: list[Pending] = []
        encoded, stored = _ENVELOPE_BYTES, 0
        while self._queue and len(batch) < self._limits.transaction_readings:
            candidate = self._queue[0].candidate
            encoded += candidate.size
            stored += len(candidate.submission.data)
            if batch and (encoded > self._limits.transaction_bytes or stored > _PACK_BYTES):
                break
            batch.append(self._queue.popleft())
            self._queued_bytes -= len(candidate.submission.data)
            self._queued_size -= candidate.size
        self._metrics.waiting(len(self._queue))
        return batch

    def _settle(self, answers: Sequence[tuple[Pending, Answer | Candidate]]) -> None:
        with self._changed:
            for item, answer in answers:
                self._slots.pop(item.slot, None)
                if (use := item.candidate.key_use) is not None:
                    self._key_slots.pop(use.slot, None)
                    if isinstance(answer, Recorded) or (
                        isinstance(answer, Refusal) and answer.problem.slug == "outcome-unknown"
                    ):
                        self._recent_keys[use.slot] = use.record
                        if len(self._recent_keys) > _REMEMBERED_KEYS:
                            self._recent_keys.popitem(last=False)
                if isinstance(answer, Recorded):
                    self._recent[item.slot] = answer.record
                    if len(self._recent) > _REMEMBERED_NONCES:
                        self._recent.popitem(last=False)
        for item, answer in answers:
            if isinstance(answer, Refusal):
                item.answer.set_exception(answer)
            else:
                item.answer.set_result(answer)
