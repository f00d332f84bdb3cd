"""Timing helpers: medians over repeats, percentiles, closed and open loops."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

__all__ = [
    "Latencies",
    "closed_loop",
    "elapsed_ms",
    "interleaved_ms",
    "latencies",
    "median_cpu_ms",
    "median_ms",
    "median_row",
    "open_loop",
    "percentile",
    "rotated",
]


@dataclass(frozen=True)
class Latencies:
    """One run of a load."""

    count: int
    tx_per_s: float
    avg_s: float
    max_s: float
    p50_s: float
    p95_s: float
    p99_s: float
    failed: int


def percentile(values: Sequence[float], fraction: float) -> float:
    """The smallest value that at least ``fraction`` of all values do not exceed (nearest rank)."""
    ordered = sorted(values)
    rank = max(1, -(-int(fraction * 1_000_000) * len(ordered) // 1_000_000))
    return ordered[min(rank, len(ordered)) - 1]


def elapsed_ms(action: Callable[[], object]) -> float:
    """Wall time of one call, milliseconds."""
    started = time.perf_counter()
    action()
    return (time.perf_counter() - started) * 1000


def median_ms(action: Callable[[], object], repeats: int = 5) -> float:
    """Median wall time of ``action`` over ``repeats`` calls, milliseconds; one call before them warms up."""
    action()
    return statistics.median(elapsed_ms(action) for _ in range(repeats))


def rotated(names: Sequence[str], turn: int) -> list[str]:
    """The names in another order each turn, so that none always comes first."""
    at = turn % len(names)
    return [*names[at:], *names[:at]]


def interleaved_ms(actions: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median wall times of several actions that are compared, milliseconds.

    Each repeat runs them all, in turning order: whatever else the machine does meets all alike. One round
    before them warms up.
    """
    times: dict[str, list[float]] = {name: [] for name in actions}
    for action in actions.values():
        action()
    for turn in range(repeats):
        for name in rotated(list(actions), turn):
            times[name].append(elapsed_ms(actions[name]))
    return {name: statistics.median(values) for name, values in times.items()}


def median_cpu_ms(action: Callable[[], object], repeats: int) -> float:
    """Processor time of this process for one call, milliseconds: the median."""
    times = []
    for _ in range(repeats):
        started = time.process_time()
        action()
        times.append((time.process_time() - started) * 1000)
    return statistics.median(times)


def closed_loop(clients: int, each: int, action: Callable[[int, int], object]) -> Latencies:
    """``clients`` threads, each doing ``action(client, n)`` ``each`` times, one after the other."""
    ready = threading.Barrier(clients + 1)

    def work(client: int) -> tuple[list[float], int]:
        times, failed = [], 0
        ready.wait()
        for number in range(each):
            started = time.perf_counter()
            try:
                action(client, number)
            except Exception:
                failed += 1
            times.append(time.perf_counter() - started)
        return times, failed

    with ThreadPoolExecutor(clients) as pool:
        futures = [pool.submit(work, client) for client in range(clients)]
        ready.wait()
        started = time.perf_counter()
        results = [future.result() for future in futures]
        seconds = time.perf_counter() - started
    return latencies([t for times, _ in results for t in times], sum(f for _, f in results), seconds)


def open_loop(rate: float, count: int, workers: int, action: Callable[[int], object]) -> Latencies:
    """``count`` arrivals at ``rate`` a second, whatever the answers; latency counts from the due time.

    Waiting for a free worker is part of the latency, so that a stalled system is not flattered.
    """
    times: list[float] = []
    failed: list[int] = []
    lock = threading.Lock()
    begin = time.perf_counter() + 0.05

    def work(number: int, due: float) -> None:
        try:
            action(number)
        except Exception:
            with lock:
                failed.append(number)
        with lock:
            times.append(time.perf_counter() - due)

    with ThreadPoolExecutor(workers) as pool:
        for number in range(count):
            due = begin + number / rate
            pause = due - time.perf_counter()
            if pause > 0:
                time.sleep(pause)
            pool.submit(work, number, due)
    return latencies(times, len(failed), time.perf_counter() - begin)


def latencies(times: Sequence[float], failed: int, seconds: float) -> Latencies:
    """What single times in seconds, ``failed`` of them without success, come to over ``seconds``."""
    return Latencies(
        count=len(times),
        tx_per_s=(len(times) - failed) / seconds,
        avg_s=statistics.fmean(times),
        max_s=max(times),
        p50_s=percentile(times, 0.50),
        p95_s=percentile(times, 0.95),
        p99_s=percentile(times, 0.99),
        failed=failed,
    )


def median_row(runs: Sequence[Latencies]) -> dict[str, Any]:
    """The median of every field over several runs; of failures, their sum."""
    rows = [asdict(run) for run in runs]
    medians = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    return {**medians, "count": rows[0]["count"], "failed": sum(row["failed"] for row in rows)}
