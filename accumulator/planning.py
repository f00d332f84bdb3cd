"""How to make all membership witnesses of a range: arity and windows from a cost model.

The costs of a squaring, a multiplication and a library power depend on the machine and on N, so they are
measured once for each width of N (a few milliseconds). They decide how fast a result comes, never what it is.
"""

import itertools
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import gmpy2

from accumulator.group import Group
from accumulator.native import NativeGroup
from accumulator.powers import MAXIMUM_WINDOW, simultaneous_powers

_PRIME_BITS = 256
_LARGEST_ARITY = 12
_SHORT, _LONG = 256, 4096  # bits of the powers that are measured
_REPEATS = 3


@dataclass(frozen=True)
class Costs:
    """Seconds, or any common unit."""

    squaring: float
    """Of the shared chain, with its share of the loop."""

    multiplication: float
    """Into a bucket, with finding its window."""

    short_power_bit: float
    """A bit of a 256-bit power by the library."""

    long_power_bit: float
    """A bit of a long power by the library."""

    def power(self, bits: int) -> float:
        """A library power with an exponent of that many bits."""
        return bits * (self.short_power_bit if bits <= 4 * _SHORT else self.long_power_bit)

    def shared(self, bits: int, count: int, window: int) -> float:
        """`count` powers with exponents of `bits` bits over one chain."""
        each = bits / (window + 1) + (1 << window)
        return bits * self.squaring + count * each * self.multiplication


TYPICAL = Costs(squaring=1.0, multiplication=1.3, short_power_bit=0.95, long_power_bit=0.88)
"""As measured for 2048 bits on one machine, in squarings; for reproducible plans."""


def measured_costs(group: Group) -> Costs:
    """Costs on this machine of the group's arithmetic. Takes some 60 ms at 2048 bits, once for each width."""
    return _measured(group.n.bit_length(), isinstance(group, NativeGroup))


@lru_cache(maxsize=16)
def _measured(bits: int, native: bool) -> Costs:
    source = random.Random(bits)  # noqa: S311 -- sample operands for timing; nothing secret
    n = source.getrandbits(bits) | 1 << (bits - 1) | 1
    group = NativeGroup(n) if native else Group(n)
    base = gmpy2.mpz(source.getrandbits(bits - 1) | 1)
    short, long = (gmpy2.mpz(source.getrandbits(width) | 1 << (width - 1)) for width in (_SHORT, _LONG))
    window = 5
    squaring = _fastest(lambda: simultaneous_powers(group, base, [gmpy2.mpz(1) << _LONG], window)) / _LONG
    steps = _LONG / (window + 1) + (1 << window)
    shared = _fastest(lambda: simultaneous_powers(group, base, [long, long], window))
    return Costs(
        squaring=squaring,
        # What two powers take beyond their chain; never below what a squaring takes.
        multiplication=max(squaring, (shared - _LONG * squaring) / (2 * steps)),
        short_power_bit=_fastest(lambda: group._power(base, short)) / _SHORT,
        long_power_bit=_fastest(lambda: group._power(base, long)) / _LONG,
    )


def _fastest(action: Callable[[], object]) -> float:
    times = []
    for _ in range(_REPEATS):
        started = time.thread_time()  # not the clock: what else the machine does must not shape the plan
        action()
        times.append(time.thread_time() - started)
    return min(times)


@dataclass(frozen=True)
class Step:
    """How one node of the tree is opened."""

    arity: int
    """Number of its parts."""

    window: int
    """Bits of the sliding window over the shared chain; 0: one library power a part."""

    cost: float
    """Of this node and everything below it."""


@dataclass
class Plan:
    """The cheapest tree for a range of any size, found by dynamic programming over sizes.

    Args:
        costs: what it is weighed by.
        stop: a part of at most this many elements is not opened further.
        table_power: cost of a power of the root's base by a table, for an exponent of some bits.
    """

    costs: Costs
    stop: int = 1
    table_power: Callable[[int], float] | None = None
    _steps: dict[int, Step] = field(default_factory=dict)

    def step(self, size: int) -> Step:
        """How a node of `size` > `stop` elements is opened."""
        known = self._steps.get(size)
        if known is None:
            known = self._steps[size] = min(
                (self._option(size, arity) for arity in range(2, min(_LARGEST_ARITY, size) + 1)),
                key=lambda step: step.cost,
            )
        return known

    def root(self, size: int) -> Step:
        """As `step`, for a node whose base has a table where one is given (window 0: by the table)."""
        if self.table_power is None:
            return self.step(size)
        best = self.step(size)
        for arity in range(2, min(64, size) + 1):
            parts = part_sizes(size, arity)
            cost = sum(self.table_power((size - part) * _PRIME_BITS) + self._below(part) for part in parts)
            if cost < best.cost:
                best = Step(arity, 0, cost)
        return best

    def _below(self, size: int) -> float:
        return self.step(size).cost if size > self.stop else 0.0

    def _option(self, size: int, arity: int) -> Step:
        parts = part_sizes(size, arity)
        bits = (size - parts[-1]) * _PRIME_BITS
        below = (arity - size % arity) * self._below(parts[-1]) + (size % arity) * self._below(parts[0])
        best = Step(arity, 0, arity * self.costs.power(bits) + below)
        for window in range(2, MAXIMUM_WINDOW + 1):
            cost = self.costs.shared(bits, arity, window) + below
            if cost < best.cost:
                best = Step(arity, window, cost)
        return best


def part_sizes(size: int, arity: int) -> list[int]:
    """`size` in `arity` parts that differ by one at most, larger ones first."""
    return [size // arity + (part < size % arity) for part in range(arity)]


def part_bounds(size: int, arity: int) -> list[tuple[int, int]]:
    """The parts of `part_sizes` as half-open ranges."""
    ends = list(itertools.accumulate(part_sizes(size, arity)))
    return list(zip([0, *ends], ends, strict=False))
