"""Table I on real Fabric, at two batch settings, and the open loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.measure import Latencies, median_row
from benchmarks.puts import run_closed, run_open
from benchmarks.scale import Say, Scale
from ledger.port import Ledger

__all__ = ["measure_closed", "measure_in_flight", "measure_open", "warm_up"]

_WORKERS = 100
"""Threads of the open loop, and so the most that is in flight at once."""
_ARRIVALS_S = 3.0


def warm_up(ledger: Ledger, scale: Scale) -> None:
    """One closed loop of small values, of which nothing is kept."""
    run_closed(ledger, min(scale.sizes), scale.clients, scale.each)


def measure_closed(ledger: Ledger, name: str, scale: Scale, say: Say) -> list[dict[str, Any]]:
    """Seed 003, Table I: ``scale.clients`` clients, each one transaction after the other.

    Args:
        ledger: of the benchmark's contract.
        name: of the settings, for progress.
        scale: sizes; they take turns within each repeat.
        say: progress.

    Returns:
        A row a size: ``bytes`` and the fields of ``Latencies``, each the median over the repeats.
    """
    runs: dict[int, list[Latencies]] = {size: [] for size in scale.sizes}
    for repeat in range(scale.repeats):
        for size in scale.sizes:
            runs[size].append(run_closed(ledger, size, scale.clients, scale.each))
            rate = runs[size][-1].tx_per_s
            say(f"{name}, closed loop {repeat + 1}/{scale.repeats}: {size} B, {rate:.0f} tx/s")
    return [{"bytes": size, **median_row(of_size)} for size, of_size in runs.items()]


def measure_in_flight(ledger: Ledger, scale: Scale, say: Say) -> list[dict[str, Any]]:
    """32-byte values with more and more transactions in flight, one after the other a client.

    Returns:
        A row a number: ``in_flight`` and the fields of ``Latencies``.
    """
    runs: dict[int, list[Latencies]] = {count: [] for count in scale.in_flight}
    for repeat in range(scale.repeats):
        for count in scale.in_flight:
            # A lone client waits a batch timeout a transaction: fewer of them, else it takes for ever.
            each = max(5, min(scale.each, scale.clients * scale.each // count // (10 if count == 1 else 1)))
            runs[count].append(run_closed(ledger, min(scale.sizes), count, each))
            say(
                f"{count} in flight {repeat + 1}/{scale.repeats}: {runs[count][-1].tx_per_s:.0f} tx/s, "
                f"p95 {runs[count][-1].p95_s:.2f} s"
            )
    return [{"in_flight": count, **median_row(of_count)} for count, of_count in runs.items()]


def measure_open(ledger: Ledger, closed: Mapping[int, float], scale: Scale, say: Say) -> list[dict[str, Any]]:
    """Arrivals at shares of the closed loop's throughput, whatever the answers.

    Args:
        closed: transactions a second of the closed loop by size in bytes.

    Returns:
        A row a size and share: ``bytes``, ``share``, ``offered_per_s`` and the fields of ``Latencies``.
    """
    offers = {(size, share): closed[size] * share for size in closed for share in scale.offered}
    runs: dict[tuple[int, float], list[Latencies]] = {offer: [] for offer in offers}
    for repeat in range(scale.repeats):
        for (size, share), rate in offers.items():
            runs[size, share].append(run_open(ledger, size, rate, max(2, int(rate * _ARRIVALS_S)), _WORKERS))
            p95 = runs[size, share][-1].p95_s
            say(f"open loop {repeat + 1}/{scale.repeats}: {size} B at {rate:.0f}/s, p95 {p95 * 1000:.0f} ms")
    return [
        {"bytes": size, "share": share, "offered_per_s": rate, **median_row(runs[size, share])}
        for (size, share), rate in offers.items()
    ]
