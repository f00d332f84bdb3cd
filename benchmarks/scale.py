"""How large each measurement is: the sizes that the tables name, and tiny ones that show that it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

__all__ = ["FULL", "QUICK", "Say", "Scale"]

Say = Callable[[str], None]
"""Takes a line of progress."""


@dataclass(frozen=True)
class Scale:
    """Sizes of all measurements."""

    name: str
    repeats: int
    """Every figure is the median over so many runs."""

    # Table I
    clients: int = 10
    each: int = 100
    """Transactions a client."""
    sizes: tuple[int, ...] = (32, 8192, 16384, 32768)
    """Bytes of a value."""
    offered: tuple[float, ...] = (0.5, 0.8)
    """Rates of the open loop, as shares of the closed loop's throughput."""

    # real Fabric
    in_flight: tuple[int, ...] = (1, 10, 30, 64, 100)
    """Transactions at once."""
    pairs: int = 9
    """Runs of our client, each beside one of Fabric's Node client."""

    # the accumulator's cost
    ranges: tuple[int, ...] = (10, 100, 1000)
    """Transactions that one anchor covers."""

    # REST
    devices: int = 16
    connections: int = 192
    """Of single posts and empty requests: as many as the gateway serves at once for one host."""
    empty_requests: int = 6000
    single_requests: int = 4800
    batch_sizes: tuple[int, ...] = (32, 128, 512)
    batch_readings: int = 12288
    """Readings sent in batches of each size."""
    batch_connections: int = 8
    burst: int = 200
    """Single posts at one instant."""
    idle_posts: int = 40
    idle_pause_s: float = 0.05

    # proofs
    lengths: tuple[int, ...] = (200, 1000, 4000)
    """Elements of the edge's chain at which a proof is timed."""
    anchor_range: int = 200
    """Elements that one anchor covers, the interlock's own included."""
    batch: int = 64
    """Readings in the batch whose record is proved."""
    memberships: int = 100
    """Memberships that are verified together."""

    def repeated(self, repeats: int) -> Scale:
        """The same with another number of repeats."""
        return replace(self, repeats=repeats)


FULL = Scale("full", repeats=5)

QUICK = Scale(
    "quick",
    repeats=2,
    clients=2,
    each=5,
    sizes=(32, 8192),
    offered=(0.5,),
    in_flight=(2, 4),
    pairs=2,
    ranges=(4, 8),
    devices=2,
    connections=4,
    empty_requests=40,
    single_requests=20,
    batch_sizes=(8,),
    batch_readings=32,
    batch_connections=2,
    burst=20,
    idle_posts=5,
    idle_pause_s=0.01,
    lengths=(24, 48),
    anchor_range=24,
    batch=6,
    memberships=12,
)
