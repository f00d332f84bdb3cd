"""Seed 003, Table I, on the embedded ledger: 10 clients, 100 transactions each, values of 32 B to 32 KiB.

The paper measured Fabric on eight virtual processors. The embedded ledger is not Fabric: the table shows what
the convenient default carries. Clients, endorsers and orderer are threads of one process.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.contract import Put, invoke
from benchmarks.measure import Latencies, median_row
from benchmarks.puts import run_closed, run_open
from benchmarks.scale import Say, Scale
from identity import DevelopmentAuthority, Role
from ledger.embedded import EmbeddedLedger, build_genesis
from ledger.port import Ledger

__all__ = ["PAPER", "measure_table1"]

PAPER = {
    32: {"tx_per_s": 193.33, "avg_s": 0.33, "max_s": 0.65},
    8192: {"tx_per_s": 173.04, "avg_s": 0.41, "max_s": 0.70},
    16384: {"tx_per_s": 131.98, "avg_s": 0.54, "max_s": 0.97},
    32768: {"tx_per_s": 65.69, "avg_s": 1.09, "max_s": 2.35},
}
"""Table I as printed: bytes to figures."""

_WORKERS = 64
"""Threads of the open loop, and so the most that is in flight at once."""


def measure_table1(scale: Scale, say: Say) -> dict[str, Any]:
    """Closed and open loop for every size; each figure is the median over ``scale.repeats`` fresh chains.

    The sizes take turns within each repeat. The open loop offers shares of the closed loop's throughput.

    Returns:
        ``{"clients", "each", "paper", "closed": [row…], "open": [row…]}``; rows carry ``bytes`` and the
        fields of ``Latencies``, those of ``open`` also ``offered_per_s``.
    """
    runs: dict[int, list[Latencies]] = {size: [] for size in scale.sizes}
    for repeat in range(scale.repeats):
        for size in scale.sizes:
            runs[size].append(_closed(size, scale))
            say(f"closed loop {repeat + 1}/{scale.repeats}: {size} B, {runs[size][-1].tx_per_s:.0f} tx/s")
    closed = {size: median_row(of_size) for size, of_size in runs.items()}
    offers = {
        (size, share): closed[size]["tx_per_s"] * share for size in scale.sizes for share in scale.offered
    }
    opened: dict[tuple[int, float], list[Latencies]] = {offer: [] for offer in offers}
    for repeat in range(scale.repeats):
        for (size, share), rate in offers.items():
            opened[size, share].append(_open(size, rate, scale))
            p95 = opened[size, share][-1].p95_s
            say(f"open loop {repeat + 1}/{scale.repeats}: {size} B at {rate:.0f}/s, p95 {p95 * 1000:.0f} ms")
    return {
        "clients": scale.clients,
        "each": scale.each,
        "closed": [{"bytes": size, **row} for size, row in closed.items()],
        "open": [
            {"bytes": size, "share": share, "offered_per_s": rate, **median_row(opened[size, share])}
            for (size, share), rate in offers.items()
        ],
        "paper": [{"bytes": size, **row} for size, row in PAPER.items()],
    }


def _closed(size: int, scale: Scale) -> Latencies:
    with _chain() as ledger:
        ledger.submit(Put("warm", "up"))
        return run_closed(ledger, size, scale.clients, scale.each)


def _open(size: int, rate: float, scale: Scale) -> Latencies:
    with _chain() as ledger:
        ledger.submit(Put("warm", "up"))
        # Three seconds of arrivals, but not more than the closed loop's number of transactions.
        return run_open(ledger, size, rate, max(2, min(scale.clients * scale.each, int(rate * 3))), _WORKERS)


@contextmanager
def _chain() -> Iterator[Ledger]:
    """A fresh chain of two organisations that both endorse."""
    now = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="edgeproof-bench-") as name:
        root = Path(name)
        members = [DevelopmentAuthority.create(msp, root / msp, now=now) for msp in ("one", "two")]
        ordering = DevelopmentAuthority.create("orderer", root / "orderer", now=now)
        block = build_genesis(
            "bench",
            [member.fabric_msp_config() for member in members],
            [ordering.fabric_msp_config()],
            now=now,
        )
        path = root / "ledger.sqlite"
        EmbeddedLedger.create(path, block)
        ledger = EmbeddedLedger(
            path,
            submitter=members[0].issue("client", Role.CLIENT, now=now),
            endorsers=[member.issue("peer", Role.PEER, now=now) for member in members],
            orderer=ordering.issue("orderer", Role.ORDERER, now=now),
            invoke=invoke,
        )
        try:
            yield ledger
        finally:
            ledger.close()
