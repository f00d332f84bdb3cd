"""Multiplications counted exactly: the same algorithms over a group that does each power bit by bit.

A count is a fact of the algorithm, not of the machine. The model is left-to-right square-and-multiply, as
in seed 003, section IV.E; a library's windowed power needs fewer multiplications for the same squarings.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import gmpy2

from accumulator.group import Group
from accumulator.parameters import Parameters
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


def all_membership_witnesses_count(primes: Sequence[int]) -> Count:
    """`all_membership_witnesses`: at every node of the tree, one power with the sibling's product.

    At n = 2^k elements of b bits that is about k·n·b squarings and half as many multiplications.
    """
    count = Count()
    level = list(primes)
    while len(level) > 1:
        for position in range(len(level) - len(level) % 2):
            count += power_count(level[position])
        level = [product(level[position : position + 2]) for position in range(0, len(level), 2)]
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
