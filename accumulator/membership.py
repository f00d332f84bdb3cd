"""Membership witnesses: the accumulator value over everything but one element.

Seed 003, section IV.A, "ProofGen" and "ProofVerf": rho2 is the membership witness; rho1 is recomputed by
the verifier from the element, never taken from the prover.
"""

from collections.abc import Sequence

import gmpy2

from accumulator.errors import AccumulatorError, InvalidMembership
from accumulator.parameters import Parameters
from accumulator.planning import Costs
from accumulator.primes import check_prime, check_width
from accumulator.root_factor import make_plan, root_factor
from accumulator.tables import FixedBaseTable, power_from, usable_table
from accumulator.update import integer_product


def membership_witness(
    parameters: Parameters,
    value_before: int,
    primes: Sequence[int],
    index: int,
    *,
    table: FixedBaseTable | None = None,
) -> int:
    """The membership witness of `primes[index]` against the value after all of `primes`.

    Args:
        parameters: the chain's.
        value_before: the accumulator value before the range.
        primes: the range's prime representatives.
        index: zero-based position in `primes`.
        table: of the chain's generator; it serves a range that begins there and is ignored elsewhere.

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
    rest = [prime for position, prime in enumerate(primes) if position != index]
    return power_from(parameters, value_before, integer_product(rest), table)


def all_membership_witnesses(
    parameters: Parameters,
    value_before: int,
    primes: Sequence[int],
    *,
    costs: Costs | None = None,
    table: FixedBaseTable | None = None,
) -> list[int]:
    """The membership witnesses of all of `primes`, in order, by the m-ary RootFactor.

    Args:
        parameters: the chain's.
        value_before: the accumulator value before the range.
        primes: the range's prime representatives.
        costs: what arity and windows are chosen by; measured once for each width of N when None.
        table: of the chain's generator; it serves a range that begins there and is ignored elsewhere.

    Cost: every level of the tree raises to all the primes once, so about n·log2(n) 256-bit powers instead of
    n·(n - 1), of which the shared squarings save a fifth to a third.

    Raises:
        OutOfRange, NotInGroup: `value_before` is not a canonical accumulator value.
        NotPrimeRepresentative: one of `primes` has the wrong width.
    """
    parameters.check_value(value_before)
    check_width(primes)
    if not primes:
        return []
    usable = usable_table(parameters, value_before, table)
    parts = root_factor(
        parameters.group,
        gmpy2.mpz(value_before),
        primes,
        make_plan(parameters, len(primes), costs=costs, table=usable),
        usable.residue_power if usable else None,
    )
    return [parameters.group.canonical(value) for _, _, value in parts]


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
        parameters.check_values(value, witness)
        check_prime(prime)
    except AccumulatorError as error:
        raise InvalidMembership(f"malformed membership proof: {error}") from error


def check_statement_but_group(parameters: Parameters, value: int, prime: int, witness: int) -> None:
    """As `check_statement`, but without the gcd, which a batch takes of all its values together.

    Raises:
        InvalidMembership: with the failed check as cause.
    """
    try:
        parameters.check_value_range(value)
        parameters.check_value_range(witness)
        check_prime(prime)
    except AccumulatorError as error:
        raise InvalidMembership(f"malformed membership proof: {error}") from error
