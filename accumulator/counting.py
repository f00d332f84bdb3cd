"""Multiplications counted exactly: the same algorithms over a group that does each power bit by bit.

A count is a fact of the algorithm, not of the machine. The model is left-to-right square-and-multiply, as
in seed 003, section IV.E; a library's windowed power needs fewer multiplications for the same squarings.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import gmpy2

from accumulator.group import Group
from accumulator.parameters import Parameters
from accumulator.planning import Plan, part_bounds
from accumulator.powers import SEGMENT
from accumulator.tables import DIGIT, Layout, lane_widths
from accumulator.update import product


@dataclass(frozen=True)
class Count:
    """Modular squarings and other modular multiplications."""

    squarings: int = 0
    multiplications: int = 0

    @property
    def total(self) -> int:
        """Squarings and multiplications together, as the paper counts."""
        return self.squarings + self.multiplications

    def __add__(self, other: "Count") -> "Count":
        return Count(self.squarings + other.squarings, self.multiplications + other.multiplications)


class CountingGroup(Group):
    """A group that counts what it does, with square-and-multiply in place of the library's power."""

    def __init__(self, n: int) -> None:
        super().__init__(n)
        self.count = Count()

    def reset(self) -> None:
        """Start again from zero."""
        self.count = Count()

    def _multiply(self, left: gmpy2.mpz, right: gmpy2.mpz) -> gmpy2.mpz:
        self.count += Count(1, 0) if left is right else Count(0, 1)
        return super()._multiply(left, right)

    def _squares(self, value: gmpy2.mpz, count: int) -> list[gmpy2.mpz]:
        chain = [value]
        for _ in range(count):
            chain.append(self._multiply(chain[-1], chain[-1]))
        return chain

    def _fill(self, buckets: list[gmpy2.mpz | None], work: Iterable[tuple[int, gmpy2.mpz]]) -> None:
        for place, residue in work:
            held = buckets[place]
            buckets[place] = residue if held is None else self._multiply(held, residue)

    def _fold(self, residue: gmpy2.mpz | None, factors: Iterable[gmpy2.mpz]) -> gmpy2.mpz | None:
        for factor in factors:
            residue = factor if residue is None else self._multiply(residue, factor)
        return residue

    def _power(self, base: gmpy2.mpz, exponent: int) -> gmpy2.mpz:
        if exponent == 0:
            return gmpy2.mpz(1)
        result = base
        for bit in gmpy2.mpz(exponent).digits(2)[1:]:
            result = self._multiply(result, result)
            if bit == "1":
                result = self._multiply(result, base)
        return result


@dataclass(frozen=True)
class CountingParameters(Parameters):
    """Parameters whose arithmetic is counted; hand them to any function of this room."""

    counting_group: CountingGroup = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "counting_group", CountingGroup(self.modulus.n))

    @cached_property
    def group(self) -> Group:
        """The counting group."""
        return self.counting_group


def power_count(exponent: int) -> Count:
    """Square-and-multiply: a squaring for each bit and a multiplication for each one, but for the first."""
    if exponent == 0:
        return Count()
    return Count(exponent.bit_length() - 1, exponent.bit_count() - 1)


def accumulate_count(primes: Sequence[int]) -> Count:
    """`accumulate`: one power with the product. The product tree multiplies integers, not residues."""
    return power_count(product(primes))


def gather_count(places: set[int]) -> Count:
    """Adding up buckets 1, 2, ... by their place: a multiplication for each full one but the first, and one
    for each place below the highest; the first of these is a squaring where that place is empty."""
    full = {place for place in places if place}
    if not full:
        return Count()
    highest = max(full)
    squarings = int(highest > 1 and highest - 1 not in full)
    return Count(squarings, len(full) - 1 + highest - 1 - squarings)


def simultaneous_powers_count(exponents: Sequence[int], window: int) -> Count:
    """`powers.simultaneous_powers`: one chain for all, buckets for each."""
    last, multiplications, squarings = 0, 0, 0
    for exponent in exponents:
        bits = gmpy2.mpz(exponent).digits(2)[::-1]
        digits: list[int] = []
        position = bits.find("1")
        while position >= 0:
            width = min(window, SEGMENT - position % SEGMENT)
            digits.append(int(bits[position : position + width][::-1], 2))
            last = max(last, position)
            position = bits.find("1", position + width)
        odd = {digit // 2 for digit in digits}
        multiplications += len(digits) - len(odd)
        if odd != {0}:
            # The product of buckets[i]^i is squared, times all above the lowest, times the lowest.
            gathered = gather_count(odd)
            squarings += gathered.squarings + 1
            multiplications += gathered.multiplications + 1 + (0 in odd)
    return Count(last + squarings, multiplications)


def all_membership_witnesses_count(primes: Sequence[int], plan: Plan) -> Count:
    """`all_membership_witnesses` by a plan that counts on no table: the powers of every opened node."""
    if len(primes) <= max(1, plan.stop):
        return Count()
    step = plan.step(len(primes))
    parts = [primes[low:high] for low, high in part_bounds(len(primes), step.arity)]
    exponents = [
        product([prime for other in parts if other is not part for prime in other]) for part in parts
    ]
    count = simultaneous_powers_count(exponents, step.window) if step.window else Count()
    for exponent in exponents if not step.window else ():
        count += power_count(exponent)
    for part in parts:
        count += all_membership_witnesses_count(part, plan)
    return count


def binary_root_factor_count(primes: Sequence[int]) -> Count:
    """The binary RootFactor without sharing, for comparison: one power with the sibling's product a node.

    At n = 2^k elements of b bits that is about k·n·b squarings and half as many multiplications.
    """
    count = Count()
    level = list(primes)
    while len(level) > 1:
        for position in range(len(level) - len(level) % 2):
            count += power_count(level[position])
        level = [product(level[position : position + 2]) for position in range(0, len(level), 2)]
    return count


def table_count(layout: Layout, exponent: int) -> Count:
    """`FixedBaseTable.power`: no squarings but the few that set lanes off against each other."""
    if not exponent:
        return Count()
    if exponent.bit_length() > layout.bits:
        low, high = exponent & ((1 << layout.bits) - 1), exponent >> layout.bits
        return table_count(layout, low) + power_count(high) + Count(0, 1)
    bits = gmpy2.mpz(exponent).digits(2)
    units = [int(bits[max(0, end - DIGIT) : end], 2) for end in range(len(bits), 0, -DIGIT)]
    if len(units) > layout.dense:
        wide = units[layout.dense :]
        lanes = [wide[lane :: layout.lanes] for lane in range(layout.lanes)]
        lanes[0] = units[: layout.dense] + lanes[0]
        shifts = [DIGIT] * layout.lanes
        zeros = True  # whole digits are taken unseen: a zero is multiplied into a bucket that is not used
    else:
        shifts = list(lane_widths(len(units)))
        ends = [sum(shifts[: lane + 1]) for lane in range(len(shifts))]
        lanes = [
            [unit >> (end - width) & ((1 << width) - 1) for unit in units]
            for width, end in zip(shifts, ends, strict=True)
        ]
        zeros = len(shifts) == 1
    count = Count()
    started = False
    for shift, lane in zip(reversed(shifts), reversed(lanes), strict=True):
        count += Count(shift if started else 0, 0)
        taken = [digit for digit in lane if digit or zeros]
        count += Count(0, len(taken) - len(set(taken)))
        if any(lane):
            count += gather_count(set(lane)) + Count(0, 1 if started else 0)
            started = True
    return count


def each_membership_witness_count(primes: Sequence[int]) -> Count:
    """All witnesses one by one: n powers with the product of the n - 1 others."""
    count = Count()
    for index in range(len(primes)):
        count += power_count(product([*primes[:index], *primes[index + 1 :]]))
    return count


@dataclass(frozen=True)
class Protocol3Cost:
    """The arithmetic of seed 003, section IV.E, for t proofs with exponents of b bits."""

    independent: int
    """Multiplications of t powers done one by one."""

    batch: int
    """Multiplications of Protocol 3."""

    @property
    def share(self) -> float:
        """Batch as a fraction of independent."""
        return self.batch / self.independent


def protocol3_claimed(proofs: int, bits: int) -> Protocol3Cost:
    """The paper's count: b for a power, 2^t for the table and b for the loop.

    It leaves the per-bit multiplications out on both sides. For t = 8 and b = 2048 it is 2304 of 16384,
    14.1 %; the printed "2,034" and "12.4 %" are a misprint (2034 / 16384 is 12.4 %).
    """
    return Protocol3Cost(independent=proofs * bits, batch=2**proofs + bits)


def protocol3_counted(proofs: int, bits: int) -> Protocol3Cost:
    """The full count in expectation over random exponents.

    A power by square-and-multiply: b squarings and b/2 multiplications. Protocol 3: 2^t - t - 1
    multiplications for the products of two or more proofs, then a squaring and a multiplication a bit (a
    random bit vector is zero, and its multiplication saved, only once in 2^t).
    """
    return Protocol3Cost(independent=proofs * 3 * bits // 2, batch=2**proofs - proofs - 1 + 2 * bits)


def protocol3_exact(elements: Sequence[int]) -> tuple[Count, Count]:
    """Protocol 3 (as meant) for these exponents, and as many powers one by one, exactly.

    The table takes 2^t - t - 1 multiplications. The top bit's product is in it; each bit below costs a
    squaring, and a multiplication where not all exponents have a zero there.
    """
    bits = max(element.bit_length() for element in elements)
    columns = sum(any(element >> place & 1 for element in elements) for place in range(bits - 1))
    batch = Count(bits - 1, 2 ** len(elements) - len(elements) - 1 + columns)
    independent = sum((power_count(element) for element in elements), Count())
    return batch, independent
