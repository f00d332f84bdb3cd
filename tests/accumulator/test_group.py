from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accumulator.group import _sliding_windows


def plain(n, bases, exponents):
    result = 1
    for base, exponent in zip(bases, exponents, strict=True):
        result = result * pow(base, exponent, n) % n
    return min(result, n - result)


pairs = st.lists(
    st.tuples(st.integers(2, 2**500), st.integers(-(2**400), 2**400) | st.integers(-3, 40)), max_size=9
)


@settings(deadline=None, max_examples=60)
@given(pairs)
def test_multi_power_is_the_product_of_powers(parameters, items):
    n = parameters.modulus.n
    bases, exponents = [b for b, _ in items], [e for _, e in items]
    assert parameters.group.multi_power(bases, exponents) == plain(n, bases, exponents)


def test_multi_power_of_nothing_is_the_identity(parameters):
    assert parameters.group.multi_power([], []) == 1
    assert parameters.group.multi_power([7, 8, 9], [0, 0, 0]) == 1


def test_multi_power_wants_an_exponent_for_each_base(parameters):
    for count in (1, 2, 5):
        with pytest.raises(ValueError, match="zip"):
            parameters.group.multi_power([5] * count, [3] * (count + 1))


@given(st.integers(0, 2**600))
def test_sliding_windows_add_up(exponent):
    windows = _sliding_windows(exponent)
    assert sum(digit << position for position, digit in windows) == exponent
    assert all(digit % 2 == 1 and digit < 32 for _, digit in windows)
    positions = [position for position, _ in windows]
    assert all(later - earlier >= 5 for earlier, later in pairwise(positions))


def test_signs_are_one_element(parameters):
    group, n = parameters.group, parameters.modulus.n
    g = parameters.generator
    assert group.canonical(n - g) == group.canonical(g) == group.canonical(g + 5 * n) == g
    assert group.multiply(n - g, g) == group.multiply(g, g)
    assert group.power(n - g, 3) == group.power(g, 3)
    assert group.multiply(group.power(g, -7), group.power(g, 7)) == 1
