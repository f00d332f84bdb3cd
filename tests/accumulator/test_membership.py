import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accumulator import (
    InvalidMembership,
    NotPrimeRepresentative,
    OutOfRange,
    all_membership_witnesses,
    default_parameters,
    hash_to_prime,
    membership_witness,
    verify_membership,
)


@pytest.mark.parametrize("count", range(10))
def test_all_membership_witnesses_equals_the_individual_ones(parameters, elements, count):
    primes = elements.primes[:count]
    together = all_membership_witnesses(parameters, elements.value_before, primes)
    assert together == [
        membership_witness(parameters, elements.value_before, primes, index) for index in range(count)
    ]


@settings(deadline=None, max_examples=20)
@given(st.data())
def test_any_range_and_order(parameters, elements, data):
    primes = data.draw(st.lists(st.sampled_from(elements.primes), max_size=9))  # repeats too
    together = all_membership_witnesses(parameters, elements.value_after, primes)
    for index, witness in enumerate(together):
        assert witness == membership_witness(parameters, elements.value_after, primes, index)


def test_every_witness_verifies_and_only_for_its_own_element(parameters, elements):
    for position, prime in enumerate(elements.primes):
        for other, witness in enumerate(elements.witnesses):
            if position == other:
                verify_membership(parameters, elements.value_after, prime, witness)
            else:
                with pytest.raises(InvalidMembership):
                    verify_membership(parameters, elements.value_after, prime, witness)


def test_the_only_element_has_the_value_before_as_witness(parameters, elements):
    prime = elements.primes[0]
    assert membership_witness(parameters, parameters.generator, [prime], 0) == parameters.generator


def test_over_the_challenge_modulus():
    parameters = default_parameters("main")
    primes = [hash_to_prime(bytes([number]) * 32).prime for number in range(3)]
    witness = membership_witness(parameters, parameters.generator, primes, 1)
    value = parameters.group.power(witness, primes[1])
    verify_membership(parameters, value, primes[1], witness)
    with pytest.raises(InvalidMembership):
        verify_membership(parameters, value, primes[0], witness)


def test_values_out_of_range_are_refused(parameters, elements, factors):
    n, value = parameters.modulus.n, elements.value_after
    prime, witness = elements.primes[0], elements.witnesses[0]
    for bad in (0, 1, n - 1, n, n - witness, witness + n, -witness, witness - n, factors[0], 2 * factors[1]):
        with pytest.raises(InvalidMembership, match="malformed"):
            verify_membership(parameters, value, prime, bad)
    for bad in (0, 1, n - 1, n - value, value + n, factors[1]):
        with pytest.raises(InvalidMembership, match="malformed"):
            verify_membership(parameters, bad, prime, witness)


def test_exponents_that_are_no_prime_representatives_are_refused(parameters, elements):
    # Every divisor of the accumulated product has a root; only 256-bit primes may be claimed.
    first, second = elements.primes[:2]
    both = membership_witness(parameters, elements.value_before, elements.primes, 0)
    rest = parameters.group.power(both, 1)
    for exponent in (1, 2, first * second, 2**255 + 1):
        with pytest.raises(InvalidMembership) as caught:
            verify_membership(parameters, elements.value_after, exponent, rest)
        assert isinstance(caught.value.__cause__, NotPrimeRepresentative)
    with pytest.raises(InvalidMembership):
        verify_membership(parameters, elements.value_after, 1, elements.value_after)


@settings(deadline=None, max_examples=50)
@given(st.integers(-(2**520), 2**520))
def test_random_witnesses_never_verify(parameters, elements, number):
    with pytest.raises(InvalidMembership):
        verify_membership(parameters, elements.value_after, elements.primes[0], number)


def test_positions_outside_the_range(parameters, elements):
    for index in (-1, len(elements.primes)):
        with pytest.raises(IndexError):
            membership_witness(parameters, parameters.generator, elements.primes, index)


def test_provers_check_their_input(parameters, elements):
    with pytest.raises(OutOfRange):
        membership_witness(parameters, 1, elements.primes, 0)
    with pytest.raises(OutOfRange):
        all_membership_witnesses(parameters, parameters.modulus.n - 1, elements.primes)
    with pytest.raises(NotPrimeRepresentative):
        all_membership_witnesses(parameters, parameters.generator, [15])
    with pytest.raises(NotPrimeRepresentative):
        membership_witness(parameters, parameters.generator, [15], 0)
