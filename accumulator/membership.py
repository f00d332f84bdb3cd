"""Membership witnesses: the accumulator value over everything but one element.

Seed 003, section IV.A, "ProofGen" and "ProofVerf": rho2 is the membership witness; rho1 is recomputed by
the verifier from the element, never taken from the prover.
"""

from collections.abc import Sequence

from accumulator.errors import AccumulatorError, InvalidMembership
from accumulator.parameters import Parameters
from accumulator.primes import check_prime, check_width
from accumulator.update import product


def membership_witness(parameters: Parameters, value_before: int, primes: Sequence[int], index: int) -> int:
    """The membership witness of `primes[index]` against the value after all of `primes`.

    Args:
        parameters: the chain's.
        value_before: the accumulator value before the range.
        primes: the range's prime representatives.
        index: zero-based position in `primes`.

    Cost: a product tree and one power with all other primes; it depends on the range, not on the chain.

    Raises:
        OutOfRange, NotInGroup: `value_before` is not a canonical accumulator value.
        NotPrimeRepresentative: one of `primes` has the wrong width.
        IndexError: no such position.
    """
    if not 0 <= index < len(primes):
        raise IndexError(f"no element {index} in a range of {len(primes)}")
    parameters.check_value(value_before)
    check_width(primes)
    others = [prime for position, prime in enumerate(primes) if position != index]
    return parameters.group.power(value_before, product(others))


def all_membership_witnesses(parameters: Parameters, value_before: int, primes: Sequence[int]) -> list[int]:
    """The membership witnesses of all of `primes`, in order: the binary RootFactor.

    Each half of the range is raised to the product of the other half, and so on down (Sander, Ta-Shma, Yung
    2000; RootFactor in Boneh, Bünz, Fisch 2019, section 4.1). Cost: every level of the tree raises to all the
    primes once, so n·log2(n) 256-bit powers instead of n·(n - 1).

    Raises:
        OutOfRange, NotInGroup: `value_before` is not a canonical accumulator value.
        NotPrimeRepresentative: one of `primes` has the wrong width.
    """
    parameters.check_value(value_before)
    check_width(primes)
    if not primes:
        return []
    levels = _product_levels(primes)
    values = [value_before]
    for level in reversed(levels[:-1]):
        values = [
            parameters.group.power(values[position // 2], level[position ^ 1])
            if position ^ 1 < len(level)
            else values[position // 2]
            for position in range(len(level))
        ]
    return values


def _product_levels(primes: Sequence[int]) -> list[list[int]]:
    """All levels of the product tree, leaves first; a last node without a sibling moves up unchanged."""
    levels = [list(primes)]
    while len(levels[-1]) > 1:
        level = levels[-1]
        levels.append([product(level[position : position + 2]) for position in range(0, len(level), 2)])
    return levels


def verify_membership(parameters: Parameters, value_after: int, prime: int, witness: int) -> None:
    """Check that `prime` was accumulated into `value_after`.

    The caller has derived `prime` from the element itself (`hash_to_prime`, or `check_certificate` with the
    proof's offset) and has `value_after` from an anchor it trusts. Cost: one 256-bit power and one primality
    test, which is remembered when the certificate was just checked.

    Raises:
        InvalidMembership: a value or the witness is not canonical, `prime` is no 256-bit prime, or the
            witness to the power `prime` is not the value.
    """
    check_statement(parameters, value_after, prime, witness)
    if parameters.group.power(witness, prime) != value_after:
        raise InvalidMembership("the membership witness does not lead to the accumulator value")


def check_statement(parameters: Parameters, value: int, prime: int, witness: int) -> None:
    """The checks before the equation: ranges, group, primality.

    Raises:
        InvalidMembership: with the failed check as cause.
    """
    try:
        parameters.check_value(value)
        parameters.check_value(witness)
        check_prime(prime)
    except AccumulatorError as error:
        raise InvalidMembership(f"malformed membership proof: {error}") from error
