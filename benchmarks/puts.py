"""Both loops of Table I over any ledger that runs its contract."""

from __future__ import annotations

import secrets

from benchmarks.contract import Put
from benchmarks.measure import Latencies, closed_loop, open_loop
from ledger.port import Ledger

__all__ = ["run_closed", "run_open"]

_VALUES = 16


def run_closed(ledger: Ledger, size: int, clients: int, each: int) -> Latencies:
    """Each client one transaction after the other: values of ``size`` bytes, under keys of their own."""
    values, series = _values(size), secrets.token_hex(4)
    return closed_loop(
        clients, each, lambda client, n: ledger.submit(Put(f"{series}/{client}/{n}", values[n % _VALUES]))
    )


def run_open(ledger: Ledger, size: int, rate: float, count: int, workers: int) -> Latencies:
    """``count`` transactions at ``rate`` a second, whatever the answers, at most ``workers`` in flight."""
    values, series = _values(size), secrets.token_hex(4)
    return open_loop(rate, count, workers, lambda n: ledger.submit(Put(f"{series}/{n}", values[n % _VALUES])))


def _values(size: int) -> list[str]:
    return [secrets.token_hex(size // 2) for _ in range(_VALUES)]
