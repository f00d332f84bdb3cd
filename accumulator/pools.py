"""All membership witnesses of a range by several processes, with progress and cancellation.

The range is cut into as many parts as there are workers; each worker brings the value down to its part and
opens it into groups, then all groups of all parts are opened by whichever worker is free. Nothing secret is
sent, and the result is the same as in one process.
"""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context, parent_process
from types import TracebackType
from typing import Any

import gmpy2

from accumulator.errors import Cancelled
from accumulator.group import Group
from accumulator.membership import all_membership_witnesses
from accumulator.parameters import Parameters
from accumulator.planning import Costs, Plan, measured_costs, part_bounds
from accumulator.primes import check_width
from accumulator.root_factor import root_factor
from accumulator.update import integer_product

__all__ = ["WitnessPool"]

_GROUP = 64
_SMALL = 96  # elements; below, one process is done before two have their work
_POLL_SECONDS = 0.1

Progress = Callable[[int, int], None]
Taker = Callable[[int, Sequence[int]], None]
_Groups = list[tuple[int, int, int]]


class WitnessPool:
    """Worker processes that are kept between calls; use as a context manager, or `close` it.

    Processes are spawned, not forked, so that a caller with threads is safe; they start with the first range
    that is large enough for them. Threads may share a pool.

    Args:
        workers: processes; one for each processor when None.
    """

    def __init__(self, workers: int | None = None) -> None:
        self._workers = max(1, workers if workers is not None else os.cpu_count() or 1)
        self._lock = threading.Lock()
        self._executor: ProcessPoolExecutor | None = None

    def __enter__(self) -> "WitnessPool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the processes; work that has not begun is dropped."""
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(cancel_futures=True)

    def warm(self) -> None:
        """Start the processes now, so that the first range does not wait for them."""
        if self._workers > 1:
            for started in [self._running().submit(os.getpid) for _ in range(self._workers)]:
                started.result()

    def all_membership_witnesses(
        self,
        parameters: Parameters,
        value_before: int,
        primes: Sequence[int],
        *,
        progress: Progress | None = None,
        each: Taker | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> list[int]:
        """As `accumulator.all_membership_witnesses`, on all processors.

        Args:
            parameters: the chain's.
            value_before: the accumulator value before the range.
            primes: the range's prime representatives.
            progress: called with (witnesses made, all) now and then, from this thread.
            each: handed each group as it is made, from this thread: position of its first, its witnesses.
            cancelled: asked now and then, and before each group is handed over; when it says so, work that
                has not begun is dropped.

        Raises:
            Cancelled: `cancelled` said so.
            OutOfRange, NotInGroup, NotPrimeRepresentative: as the function in one process.
            BrokenProcessPool: a worker died; the pool cannot be used further.
        """
        parameters.check_value(value_before)
        check_width(primes)
        if self._workers == 1 or len(primes) < _SMALL:
            Cancelled.raise_if(cancelled)
            made = all_membership_witnesses(parameters, value_before, primes)
            if each is not None:
                each(0, made)
            if progress is not None:
                progress(len(made), len(made))
            return made
        run = _Run(self._running(), parameters, primes, measured_costs(parameters.group))
        return run.witnesses(value_before, self._workers, progress, each, cancelled)

    def _running(self) -> ProcessPoolExecutor:
        with self._lock:  # a second executor would never be shut down
            if self._executor is None:
                self._executor = ProcessPoolExecutor(
                    self._workers, mp_context=get_context("spawn"), initializer=_end_with_parent
                )
            return self._executor


def _end_with_parent() -> None:
    """In a worker: do not stay behind when the process that owns the pool is killed."""
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class _Run:
    """One range's way through the pool."""

    def __init__(
        self, executor: ProcessPoolExecutor, parameters: Parameters, primes: Sequence[int], costs: Costs
    ) -> None:
        self._executor, self._costs, self._group = executor, costs, parameters.group
        self._primes = list(primes)
        self._done: list[int | None] = [None] * len(primes)

    def witnesses(
        self,
        value_before: int,
        parts: int,
        progress: Progress | None,
        each: Taker | None,
        cancelled: Callable[[], bool] | None,
    ) -> list[int]:
        """All of them, in order."""
        openings: dict[Future[_Groups], int] = {}
        groups: dict[Future[list[int]], int] = {}
        try:
            for first, end in part_bounds(len(self._primes), parts):
                rest = self._primes[:first] + self._primes[end:]
                inside = self._primes[first:end]
                opening = self._executor.submit(
                    _open_part, self._group, value_before, rest, inside, self._costs
                )
                openings[opening] = first
            made = 0
            while openings or groups:
                Cancelled.raise_if(cancelled)
                waiting: set[Future[Any]] = {*openings, *groups}
                wait(waiting, _POLL_SECONDS, FIRST_COMPLETED)
                for opening in [future for future in openings if future.done()]:
                    self._submit_groups(openings.pop(opening), opening.result(), groups)
                for opened in [future for future in groups if future.done()]:
                    Cancelled.raise_if(cancelled)  # each time: all may be done by now
                    first, witnesses = groups.pop(opened), opened.result()
                    self._done[first : first + len(witnesses)] = witnesses
                    made += len(witnesses)
                    if each is not None:
                        each(first, witnesses)
                    if progress is not None:
                        progress(made, len(self._primes))
        finally:
            for opening in openings:
                opening.cancel()
            for opened in groups:
                opened.cancel()
        return [witness for witness in self._done if witness is not None]

    def _submit_groups(self, offset: int, opened: _Groups, groups: dict[Future[list[int]], int]) -> None:
        for low, high, value in opened:
            first, end = offset + low, offset + high
            future = self._executor.submit(
                _open_group, self._group, value, self._primes[first:end], self._costs
            )
            groups[future] = first


def _open_part(group: Group, value: int, rest: Sequence[int], primes: Sequence[int], costs: Costs) -> _Groups:
    """In a worker: bring the value down to a part of the range and open the part into groups."""
    residue = group._power(gmpy2.mpz(value), int(integer_product(rest)))
    opened = root_factor(group, residue, primes, Plan(costs, stop=_GROUP))
    return [(first, end, int(each)) for first, end, each in opened]


def _open_group(group: Group, value: int, primes: Sequence[int], costs: Costs) -> list[int]:
    """In a worker: the membership witnesses of one group."""
    return [group.canonical(each) for _, _, each in root_factor(group, gmpy2.mpz(value), primes, Plan(costs))]
