"""The proof service: many requests for proofs at once, over many ranges, with bounds on work and memory.

Proofs that were just made are kept as bytes; equal requests that come while one is being made wait for it;
only so many are made side by side and only so many wait. Making all membership witnesses of a long range is
a job of its own, with progress, that its operator may cancel. Imports no framework.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, TypeVar

from accumulator import Cancelled
from gateway.problems import Refusal
from gateway.services import Prover
from ledger.errors import LedgerError
from protocol.bundle import ProvenElement, serialise_bundle

__all__ = ["Job", "JobState", "ProofService"]

T = TypeVar("T")

_log = logging.getLogger(__name__)

_BUSY_SECONDS: Final = 1
_JOBS_KEPT: Final = 64


class JobState(StrEnum):
    """How far the membership witnesses of a range are."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True)
class Job:
    """All membership witnesses of one anchor's range."""

    state: JobState
    made: int = 0
    """Membership witnesses that are there."""
    whole: int = 0
    """Membership witnesses of the range; 0 until that is known."""
    cancelled: bool = False
    """Whether somebody asked to stop it."""
    reason: str = ""
    """Why it failed."""


class ProofService:
    """Makes proofs for many at once.

    Args:
        prover: makes them; threads may share it.
        workers: how many are made side by side; one for each processor when None. While a chain is awaited
            none of these turns is taken, so that one that hangs holds up only what asks it.
        waiting: how many may wait for their turn or for a chain; further ones are refused.
        cache_bytes: of bundles that are kept, those that were asked for longest ago going first.
        cache_seconds: how long one is kept: a later one may rest on newer blocks.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        prover: Prover,
        *,
        workers: int | None = None,
        waiting: int = 256,
        cache_bytes: int = 32 << 20,
        cache_seconds: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._prover: Final = prover
        self._turns: Final = threading.BoundedSemaphore(workers or os.cpu_count() or 1)
        self._room: Final = threading.BoundedSemaphore(waiting)
        self._cache: Final = _Cache(cache_bytes, cache_seconds, clock)
        self._lock: Final = threading.Lock()
        self._under_way: Final[dict[Hashable, Future[bytes]]] = {}
        self._jobs: Final[OrderedDict[tuple[str, int], Job]] = OrderedDict()
        self._waiting: Final[OrderedDict[tuple[str, int], None]] = OrderedDict()
        """Jobs whose turn has not come: what is cancelled before leaves it at once."""
        self._runner: threading.Thread | None = None
        self._closed = False

    def record_bundle(self, chain: str, record: bytes, holder: str | None, profile: str) -> bytes:
        """A record's bundle in its canonical bytes.

        Raises:
            Refusal: ``proofs-overloaded``, too many wait already.
            LedgerError: as ``Prover.record_bundle``.
        """
        key = (chain, record, holder, profile)

        def make() -> bytes:
            bundle = self._prover.record_bundle(chain, record, holder, profile, turn=self._turns)
            return serialise_bundle(bundle)

        return self._once(key, make)

    def membership(self, chain: str, number: int) -> ProvenElement:
        """An element with its membership proof; its witness is kept by the prover.

        Raises:
            Refusal: ``proofs-overloaded``, too many wait already.
            LedgerError: as ``Prover.membership``.
        """
        return self._in_room(lambda: self._prover.membership(chain, number, turn=self._turns))

    def start(self, chain: str, anchor: int) -> Job:
        """Have all membership witnesses of an anchor's range made, unless that is done or under way.

        One range is made after the other, so that single proofs keep a processor.

        Raises:
            Refusal: ``proofs-overloaded``, too many ranges wait already.
        """
        key = (chain, anchor)
        with self._lock:
            job = self._jobs.get(key)
            if job is not None and job.state in (JobState.WAITING, JobState.RUNNING, JobState.DONE):
                if job.cancelled:
                    raise Refusal(
                        "conflict", f"anchor {anchor} is being cancelled", retry_after=_BUSY_SECONDS
                    )
                return job
            self._forget()
            if self._closed or len(self._jobs) >= _JOBS_KEPT:
                raise Refusal("proofs-overloaded", "too many ranges are waiting", retry_after=_BUSY_SECONDS)
            job = self._jobs[key] = Job(JobState.WAITING)
            self._jobs.move_to_end(key)
            self._waiting[key] = None
            if self._runner is None:
                self._runner = threading.Thread(target=self._work, name="membership-witnesses")
                self._runner.start()
            return job

    def job(self, chain: str, anchor: int) -> Job | None:
        """The job of an anchor's range; None if there was none."""
        with self._lock:
            return self._jobs.get((chain, anchor))

    def cancel(self, chain: str, anchor: int) -> Job | None:
        """Stop a job; what it made is kept, and a new one goes on from there."""
        key = (chain, anchor)
        with self._lock:
            job = self._jobs.get(key)
            if job is not None and job.state in (JobState.WAITING, JobState.RUNNING):
                self._waiting.pop(key, None)
                state = JobState.CANCELLED if job.state is JobState.WAITING else job.state
                job = self._jobs[key] = replace(job, state=state, cancelled=True)
            return job

    def close(self) -> None:
        """Cancel all jobs and wait for the one that runs."""
        with self._lock:
            self._closed = True
            runner, keys = self._runner, list(self._jobs)
        for key in keys:
            self.cancel(*key)
        if runner is not None:
            runner.join()

    # ------------------------------------------------------------------ one at a time

    def _once(self, key: Hashable, make: Callable[[], bytes]) -> bytes:
        """What is kept under the key, else what somebody is making of it, else made here."""
        with self._lock:
            held = self._cache.get(key)
            if held is not None:
                return held
            under_way = self._under_way.get(key)
            if under_way is None:
                mine = self._under_way[key] = Future[bytes]()
        if under_way is not None:
            return under_way.result()
        try:
            made = self._in_room(make)
        except BaseException as error:
            with self._lock:
                del self._under_way[key]
            mine.set_exception(error)
            raise
        with self._lock:
            del self._under_way[key]
            self._cache.put(key, made)
        mine.set_result(made)
        return made

    def _in_room(self, make: Callable[[], T]) -> T:
        if not self._room.acquire(blocking=False):
            raise Refusal("proofs-overloaded", "too many proofs are waiting", retry_after=_BUSY_SECONDS)
        try:
            return make()
        finally:
            self._room.release()

    # ------------------------------------------------------------------ jobs

    def _work(self) -> None:
        """Run what waits, and end when nothing does."""
        while True:
            with self._lock:
                if not self._waiting:
                    self._runner = None
                    return
                key, _ = self._waiting.popitem(last=False)
                self._jobs[key] = replace(self._jobs[key], state=JobState.RUNNING)
            self._run(key)

    def _run(self, key: tuple[str, int]) -> None:
        state, reason = JobState.FAILED, ""
        try:
            self._prover.prepare_witnesses(
                *key,
                lambda made, whole: self._change(key, lambda job: replace(job, made=made, whole=whole)),
                lambda: self._jobs[key].cancelled,
            )
            state = JobState.DONE
        except Cancelled:
            state = JobState.CANCELLED
        except LedgerError as error:
            reason = str(error)
            _log.warning("membership witnesses of anchor %d of %s: %s", key[1], key[0], reason)
        except Exception:
            reason = "a fault of the gateway; its log tells"
            _log.exception("membership witnesses of anchor %d of %s", key[1], key[0])
        self._change(key, lambda job: replace(job, state=state, reason=reason))

    def _change(self, key: tuple[str, int], change: Callable[[Job], Job]) -> None:
        with self._lock:
            self._jobs[key] = change(self._jobs[key])

    def _forget(self) -> None:
        """Drop the oldest finished jobs beyond the bound."""
        for key, job in list(self._jobs.items()):
            if len(self._jobs) < _JOBS_KEPT:
                return
            if job.state not in (JobState.WAITING, JobState.RUNNING):
                del self._jobs[key]


class _Cache:
    """Bytes by key, bounded in size and age; the caller locks."""

    def __init__(self, most: int, seconds: float, clock: Callable[[], float]) -> None:
        self._most, self._seconds, self._clock = most, seconds, clock
        self._held: OrderedDict[Hashable, tuple[float, bytes]] = OrderedDict()
        self._size = 0

    def get(self, key: Hashable) -> bytes | None:
        found = self._held.get(key)
        if found is None:
            return None
        if self._clock() - found[0] > self._seconds:
            self._drop(key)
            return None
        self._held.move_to_end(key)
        return found[1]

    def put(self, key: Hashable, value: bytes) -> None:
        if len(value) > self._most:
            return
        self._held[key] = (self._clock(), value)
        self._size += len(value)
        while self._size > self._most:
            self._drop(next(iter(self._held)))

    def _drop(self, key: Hashable) -> None:
        self._size -= len(self._held.pop(key)[1])
