"""Seed 003, Table I: 10 clients submit 100 transactions each, values of 32 B to 32 KiB, on the embedded ledger.

The paper measured 193, 173, 132 and 66 tx/s at 0.33, 0.41, 0.54 and 1.09 s on Fabric with eight virtual
processors. The embedded ledger is not Fabric: the table shows what the convenient default carries.
"""

from __future__ import annotations

import secrets
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.measure import Latencies, closed_loop, open_loop
from chaincode.context import Context
from chaincode.payloads import encode_result
from identity import DevelopmentAuthority, Role
from ledger.embedded import EmbeddedLedger, build_genesis
from ledger.port import Ledger
from protocol.encodings import decode

__all__ = ["measure_table1"]

SIZES = (32, 8192, 16384, 32768)
CLIENTS, EACH = 10, 100


@dataclass(frozen=True)
class _Put:
    FUNCTION: ClassVar[str] = "bench:put"
    RESULT: ClassVar[type[_Put]]
    key: str
    value: str


_Put.RESULT = _Put


def _invoke(context: Context, function: str, argument: bytes) -> bytes:
    message = decode(_Put, argument)
    context.state.put(message.key, message.value.encode())
    return encode_result(function, _Put(message.key, ""))


def measure_table1(repeats: int) -> dict[str, Any]:
    """Closed and open loop for every size; each figure is the median over ``repeats`` fresh chains.

    Returns:
        ``{"closed": [row…], "open": [row…]}``; rows carry ``bytes`` and the fields of ``Latencies``.
    """
    closed, opened = [], []
    for size in SIZES:
        runs = [_closed(size) for _ in range(repeats)]
        closed.append({"bytes": size, **_median(runs)})
        for share in (0.5, 0.8):
            rate = closed[-1]["tx_per_s"] * share
            rows = [_open(size, rate) for _ in range(repeats)]
            opened.append({"bytes": size, "offered_per_s": rate, **_median(rows)})
    return {"clients": CLIENTS, "each": EACH, "repeats": repeats, "closed": closed, "open": opened}


def _closed(size: int) -> Latencies:
    values = [_value(size) for _ in range(16)]
    with _chain() as ledger:
        ledger.submit(_Put("warm", values[0]))
        return closed_loop(
            CLIENTS, EACH, lambda client, n: ledger.submit(_Put(f"{client}/{n}", values[n % len(values)]))
        )


def _open(size: int, rate: float) -> Latencies:
    values = [_value(size) for _ in range(16)]
    with _chain() as ledger:
        ledger.submit(_Put("warm", values[0]))
        count = max(200, min(1000, int(rate * 3)))
        return open_loop(rate, count, 64, lambda n: ledger.submit(_Put(str(n), values[n % len(values)])))


def _value(size: int) -> str:
    return secrets.token_hex(size // 2)


def _median(runs: list[Latencies]) -> dict[str, Any]:
    rows = [asdict(run) for run in runs]
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


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
            invoke=_invoke,
        )
        try:
            yield ledger
        finally:
            ledger.close()
