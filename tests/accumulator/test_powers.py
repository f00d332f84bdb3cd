import gmpy2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accumulator.group import Group
from accumulator.powers import SEGMENT, simultaneous_powers


def by_pow(n, base, exponents):
    return [pow(base, exponent, n) for exponent in exponents]


@settings(deadline=None, max_examples=100)
@given(
    st.integers(2, 2**500),
    st.lists(st.integers(1, 2**700), min_size=1, max_size=5),
    st.integers(1, 10),
)
def test_equals_single_powers(modulus, base, exponents, window):
    n = modulus.n
    powers = simultaneous_powers(Group(n), gmpy2.mpz(base), [gmpy2.mpz(each) for each in exponents], window)
    assert powers == by_pow(n, base % n, exponents)


@pytest.mark.parametrize("window", [1, 5, 9])
def test_windows_at_the_borders_of_segments(modulus, window):
    exponents = [
        1 << SEGMENT, (1 << SEGMENT) - 1, 1 << (SEGMENT - 1), (1 << (2 * SEGMENT)) | 1, 3 << (SEGMENT - 1),
        (1 << (3 * SEGMENT + 7)) - 1, 1,
    ]  # fmt: skip
    powers = simultaneous_powers(Group(modulus.n), gmpy2.mpz(3), [gmpy2.mpz(e) for e in exponents], window)
    assert powers == by_pow(modulus.n, 3, exponents)


@pytest.mark.parametrize("window", [0, 15])
def test_windows_out_of_range(modulus, window):
    with pytest.raises(ValueError, match="window"):
        simultaneous_powers(Group(modulus.n), gmpy2.mpz(3), [gmpy2.mpz(5)], window)
