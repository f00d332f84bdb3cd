"""Accumulating: an accumulator value raised to the prime representatives of new elements.

Seed 003, section IV.A, "Update", with prime representatives in place of the bare hash.
"""

from collections.abc import Sequence

import gmpy2

from accumulator.parameters import Parameters
from accumulator.primes import check_width
from accumulator.tables import FixedBaseTable, power_from


def product(primes: Sequence[int]) -> int:
    """The product of the integers by a balanced tree (1 for none). Cost: O(M(n) log n) bit operations."""
    return int(integer_product(primes))


def integer_product(primes: Sequence[int]) -> gmpy2.mpz:
    """As `product`, in the library's own integers."""
    level = [gmpy2.mpz(prime) for prime in primes]
    if not level:
        return gmpy2.mpz(1)
    while len(level) > 1:
        paired = [left * right for left, right in zip(level[::2], level[1::2], strict=False)]
        if len(level) % 2:
            paired.append(level[-1])
        level = paired
    return level[0]


def update(parameters: Parameters, value: int, prime: int) -> int:
    """The accumulator value after one more element. Cost: one 256-bit power.

    Raises:
        OutOfRange, NotInGroup: `value` is not a canonical accumulator value.
        NotPrimeRepresentative: `prime` has the wrong width.
    """
    return accumulate(parameters, value, [prime])


def accumulate(
    parameters: Parameters, value: int, primes: Sequence[int], *, table: FixedBaseTable | None = None
) -> int:
    """The accumulator value after all of `primes`, in any order: a product tree and one power.

    Args:
        parameters: the chain's.
        value: the accumulator value before.
        primes: the prime representatives to accumulate.
        table: of the chain's generator; it serves where `value` is the generator and is ignored elsewhere.

    Raises:
        OutOfRange, NotInGroup: `value` is not a canonical accumulator value.
        NotPrimeRepresentative: one of `primes` has the wrong width.
    """
    parameters.check_value(value)
    check_width(primes)
    return power_from(parameters, value, integer_product(primes), table)
