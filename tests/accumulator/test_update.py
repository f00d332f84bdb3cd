import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accumulator import (
    InvalidParameters,
    Modulus,
    NotInGroup,
    NotPrimeRepresentative,
    OutOfRange,
    Parameters,
    accumulate,
    hash_to_prime,
    product,
    update,
)


@given(st.lists(st.integers(1, 2**300), max_size=40))
def test_product_tree(numbers):
    assert product(numbers) == math.prod(numbers)


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_accumulate_splits_anywhere_and_in_any_order(parameters, elements, data):
    cut = data.draw(st.integers(0, len(elements.primes)))
    order = data.draw(st.permutations(elements.primes))
    middle = accumulate(parameters, parameters.generator, order[:cut])
    assert accumulate(parameters, middle, order[cut:]) == elements.value_after


def test_update_one_by_one_is_accumulate(parameters, elements):
    value = parameters.generator
    for prime in elements.primes:
        value = update(parameters, value, prime)
    assert value == elements.value_after


def test_accumulate_is_the_plain_power_up_to_sign(parameters, elements):
    n = parameters.modulus.n
    plain = pow(parameters.generator, math.prod(elements.primes), n)
    assert elements.value_after == min(plain, n - plain)


def test_accumulating_nothing_keeps_the_value(parameters):
    assert accumulate(parameters, parameters.generator, []) == parameters.generator


def test_foreign_values_and_exponents_are_refused(parameters, elements, factors):
    n, g, prime = parameters.modulus.n, parameters.generator, elements.primes[0]
    for value in (0, 1, n - 1, n - g, g + n, -g):
        with pytest.raises(OutOfRange):
            update(parameters, value, prime)
    with pytest.raises(NotInGroup):
        update(parameters, factors[0], prime)
    for bad in (0, 1, 3, -prime, prime + 1, prime * elements.primes[1]):
        with pytest.raises(NotPrimeRepresentative):
            accumulate(parameters, g, [prime, bad])


def test_a_modulus_of_3072_bits():
    import gmpy2

    p, q = (int(gmpy2.next_prime(3 << 1534 | seed << 700)) for seed in (12345, 67890))
    parameters = Parameters(Modulus(p * q, "dealer-for-tests"), "wide")
    assert parameters.value_bytes == 384
    prime = hash_to_prime(bytes(32)).prime
    value = update(parameters, parameters.generator, prime)
    assert pow(value, pow(prime, -1, (p - 1) * (q - 1)), p * q) in (
        parameters.generator,
        p * q - parameters.generator,
    )
    with pytest.raises(InvalidParameters):
        Modulus(p, "dealer-for-tests")
