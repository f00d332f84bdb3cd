"""Writing a batch of readings down: bytes to the store, keys to the key book, records to the chain.

Before that it gives back readings whose keys the book knows already.

In this order: a kill at any instant can only leave bytes and keys that no record names.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, Final

from chaincode.api import SubmitBatch
from gateway.admission import Admission, Candidate, Recorded
from gateway.directory import Directory
from gateway.keybook import KeyBook
from gateway.metrics import Metrics
from gateway.problems import PROBLEMS, Refusal
from gateway.services import Limits
from ledger.errors import ContractRefused, LedgerError, UnknownOutcome
from ledger.port import Ledger
from store import Store, StoreError

__all__ = ["RETRY_SECONDS", "Answer", "Pending", "Recorder", "outcome_unknown", "replayed", "unavailable"]

Answer = Recorded | Refusal
RETRY_SECONDS: Final = 1

_log = logging.getLogger(__name__)
# Refusals that say that the directory's memory of a device is out of date.
_DEVICE_CHANGED: Final = frozenset(
    {"unknown-device", "suspended-device", "retired-device", "unknown-grant", "revoked-grant"}
    | {"wrong-algorithm", "bad-signature"}
)


@dataclass(eq=False)
class Pending:
    """A candidate, and everybody who waits for its answer."""

    candidate: Candidate
    answer: Future[Recorded | Candidate] = field(default_factory=Future)
    """What was recorded; or the candidate itself where its key stands for something already: then whoever
    waits looks that up."""

    @property
    def slot(self) -> tuple[str, str]:
        """Device and nonce."""
        reading = self.candidate.submission.reading
        return reading.device, reading.nonce


Settle = Callable[[Sequence[tuple[Pending, Answer | Candidate]]], None]
"""Answers whoever waits; gives a candidate back to them."""


class Recorder:
    """Records batches, several at once where it is called by several threads.

    Args:
        ledger: the chain.
        store: where the bytes go.
        admission: finds what was recorded before.
        directory: told when the contract knows a device otherwise.
        keys: written down before the chain is asked.
        limits: times.
        metrics: counters.
        clock: seconds since 1970 UTC.
        monotonic: seconds.
    """

    def __init__(
        self,
        ledger: Ledger,
        store: Store,
        admission: Admission,
        directory: Directory,
        keys: KeyBook,
        limits: Limits,
        metrics: Metrics,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._admission = admission
        self._directory = directory
        self._keys = keys
        self._limits = limits
        self._metrics = metrics
        self._clock = clock
        self._monotonic = monotonic
        self._pruned = False

    def record(self, batch: list[Pending], settle: Settle) -> None:
        """Settle every reading of a batch: recorded, refused, or given back because its key is known already.

        Args:
            batch: what to record.
            settle: takes answers as soon as they are certain.

        Raises:
            Exception: whatever nobody expected; what is not settled then is for the caller.
        """
        started = self._monotonic()
        try:
            self._prune()
            familiar = self._familiar(batch)
        except Refusal as refusal:
            batch = _refuse_keyed(batch, refusal, settle)
        else:
            # Each is a question to the chain, which each request asks in its own thread.
            settle([(item, item.candidate) for item in familiar])
            batch = [item for item in batch if item not in familiar]
        if not batch:
            return
        try:
            self._store.put_pack([item.candidate.submission.data for item in batch])
        except StoreError as error:
            _log.error("the store does not take a batch: %s", error)
            why = ("store-unavailable", "the store does not take the bytes at present")
            settle([(item, Refusal(*why, retry_after=RETRY_SECONDS)) for item in batch])
            return
        try:
            self._keys.remember(
                [use for item in batch if (use := item.candidate.key_use) is not None], self._clock()
            )
        except Refusal as refusal:
            batch = _refuse_keyed(batch, refusal, settle)
        remaining = batch
        while remaining:
            message = SubmitBatch(tuple(item.candidate.submission.reading for item in remaining))
            try:
                transaction = self._ledger.submit(message, timeout=self._limits.commit_timeout).transaction
            except ContractRefused as error:
                remaining = self._refuse(remaining, error, settle)
                continue
            except UnknownOutcome as error:
                if not self._was_recorded(error):
                    settle([(item, outcome_unknown()) for item in remaining])
                    return
                transaction = error.transaction
            except LedgerError as error:
                _log.warning("the chain does not take a batch: %s", error)
                settle([(item, unavailable(error)) for item in remaining])
                return
            self._metrics.committed(len(remaining), self._monotonic() - started)
            count = len(remaining)
            settle(
                [
                    (item, Recorded(self._ledger.chain, item.candidate.record, transaction, index, count))
                    for index, item in enumerate(remaining)
                ]
            )
            return

    def close(self) -> None:
        """Let go of the key book's file."""
        self._keys.close()

    def _prune(self) -> None:
        """Once in the gateway's life; the key book's own lock keeps the threads apart."""
        if not self._pruned:
            self._keys.prune(self._clock())
            self._pruned = True

    def _familiar(self, batch: Sequence[Pending]) -> set[Pending]:
        """Those whose keys stand for something already, and were not asked for yet.

        Of the others it takes down what the book says now: since they were asked for, an attempt of the same
        reading may have come to an unknown end.
        """
        found = self._admission.earlier([item.candidate for item in batch])
        familiar = set()
        for item in batch:
            use = item.candidate.key_use
            if use is None or (record := found.get(use.slot)) is None:
                continue
            if not item.candidate.asked:
                familiar.add(item)
            elif record == item.candidate.record:
                item.candidate = replace(item.candidate, known=True)
        return familiar

    def _was_recorded(self, error: UnknownOutcome) -> bool:
        try:
            status = self._ledger.find(error.transaction) if error.transaction else None
        except LedgerError:
            return False
        return status is not None and status.code == 0

    def _refuse(self, batch: list[Pending], error: ContractRefused, settle: Settle) -> list[Pending]:
        """Answer the readings that the contract names; the others, which are to be submitted again."""
        named = _named(error, len(batch))
        if not named:
            _log.error("the chain refuses a batch without naming readings: %s", error)
            settle([(item, unavailable(error)) for item in batch])
            return []
        answers: list[tuple[Pending, Answer]] = []
        for index, (code, message) in named.items():
            item = batch[index]
            answers.append((item, self._answer_refused(item, code, message)))
            if code in _DEVICE_CHANGED:
                self._directory.forget(item.candidate.submission.reading.device)
        refused = [item for item, answer in answers if isinstance(answer, Refusal)]
        # A key that stood for this record before may belong to an attempt that is recorded: it stays.
        self._keys.forget(
            use
            for item in refused
            if not item.candidate.known and (use := item.candidate.key_use) is not None
        )
        settle(answers)
        return [item for index, item in enumerate(batch) if index not in named]

    def _answer_refused(self, item: Pending, code: str, message: str) -> Answer:
        if code == "duplicate-record":
            # Recorded before this gateway's memory begins. Only the key of that attempt gets its answer.
            if item.candidate.known:
                try:
                    stored = self._admission.find(item.candidate.record)
                except LedgerError as error:
                    return unavailable(error)
                if stored is not None:
                    return self._admission.first_answer(item.candidate.record, stored)
            return Refusal("replayed-nonce", message, field="nonce")
        return Refusal(code if code in PROBLEMS else "refused-by-contract", message)


def _refuse_keyed(batch: Sequence[Pending], refusal: Refusal, settle: Settle) -> list[Pending]:
    """Refuse the readings that have keys; the others, which need no key book."""
    settle([(item, refusal) for item in batch if item.candidate.key_use is not None])
    return [item for item in batch if item.candidate.key_use is None]


def _named(error: ContractRefused, count: int) -> dict[int, tuple[str, str]]:
    """The refused readings of ``BadRecords``: index to code and message; nothing in any other form."""
    if error.code != "bad-records" or not isinstance(error.details, list):
        return {}
    named: dict[int, tuple[str, str]] = {}
    for entry in error.details:
        index: Any = entry.get("index") if isinstance(entry, dict) else None
        if not isinstance(index, int) or not 0 <= index < count:
            return {}
        named[index] = (str(entry.get("code")), str(entry.get("message")))
    return named


def replayed(record: bytes) -> Refusal:
    """The nonce was used for another reading."""
    return Refusal("replayed-nonce", f"the nonce was used for record {record.hex()}", field="nonce")


def unavailable(error: LedgerError) -> Refusal:
    """The chain did not take it, or nobody knows whether it did."""
    if isinstance(error, UnknownOutcome):
        return outcome_unknown()
    return Refusal(
        "ledger-unavailable", "the chain does not take readings at present", retry_after=RETRY_SECONDS
    )


def outcome_unknown() -> Refusal:
    """It may be recorded or not."""
    detail = "send the same reading again with the same Idempotency-Key"
    return Refusal("outcome-unknown", detail, retry_after=RETRY_SECONDS)
