"""The biprimality test and the gcd test, exhaustively over small numbers, with plain integers beside them."""

from math import gcd, isqrt

import pytest

from accumulator.ceremony.biprimality import agree, bases, coprime, exponent, without_small_factors

SESSION = bytes(32)
BLUM = range(3, 220, 4)


def is_prime(n):
    return n > 1 and all(n % d for d in range(2, isqrt(n) + 1))


def parts(p, q):
    """Additive parts with the residues modulo 4 that the ceremony gives them; p, q >= 23."""
    return [(p - 12, q - 20), (4, 12), (8, 8)]


def passes(p, q, rounds=40):
    """The whole test as parties run it, on plain integers."""
    n = p * q
    for base in bases(SESSION, n, 0, rounds):
        powers = [pow(int(base), int(exponent(i, n, *own)), n) for i, own in enumerate(parts(p, q), 1)]
        if not agree(n, powers):
            return False
    return True


def is_power(n):
    """Whether n is a perfect power; such numbers are refused before the test."""
    return any(round(n ** (1 / e)) ** e == n for e in range(2, n.bit_length()))


def test_every_product_of_two_primes_passes_and_nothing_else_but_for_the_gcd_tests_cases():
    """All p, q = 3 mod 4 below 220: none passes both tests that is no product of two different primes."""
    caught_by_gcd = []
    for p in BLUM:
        for q in BLUM:
            if p < 23 or q < 23 or q < p:
                continue
            n = p * q
            if is_power(n):
                continue
            good = is_prime(p) and is_prime(q)
            passed = passes(p, q)
            if good:
                assert passed, (p, q)
            elif passed:
                assert gcd(n, p + q - 1) > 1, (p, q)
                caught_by_gcd.append((p, q))
    assert all(not coprime(p * q, p + q - 1) for p, q in caught_by_gcd)


def test_the_gcd_test_catches_what_the_biprimality_test_cannot():
    """p = 7^3 and q = 1 mod 7^2: N passes for every base (Boneh, Franklin 2001, section 4.1)."""
    p = 7**3
    q = next(q for q in range(1, 10**6, 7**2) if q % 4 == 3 and is_prime(q))
    assert p % 4 == 3
    assert passes(p, q, rounds=200)
    assert not coprime(p * q, 5 * (p + q - 1))


def test_the_gcd_test_passes_an_honest_number():
    p, q = 103, 107
    assert coprime(p * q, 12345 * (p + q - 1) % (p * q))


def test_bases_have_jacobi_symbol_one_and_depend_on_everything():
    n = 103 * 107
    # The Legendre symbols by Euler's criterion, apart from any library.
    for base in map(int, bases(SESSION, n, 0, 50)):
        assert gcd(base, n) == 1
        assert (pow(base, 51, 103) == 1) == (pow(base, 53, 107) == 1)
    big = (2**127 - 1) * (2**89 - 1)
    first = bases(SESSION, big, 0, 3)
    assert bases(SESSION, big, 1, 2) == first[1:]
    assert not set(bases(b"\1" * 32, big, 0, 3)) & set(first)
    assert not set(bases(SESSION, (2**127 - 1) * (2**107 - 1), 0, 3)) & set(first)


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_one_wrong_power_is_seen(wrong):
    p, q = 103, 107
    n = p * q
    for base in map(int, bases(SESSION, n, 0, 20)):
        powers = [pow(base, int(exponent(i, n, *own)), n) for i, own in enumerate(parts(p, q), 1)]
        assert agree(n, powers)
        powers[wrong] = powers[wrong] * 2 % n
        assert not agree(n, powers)


def test_trial_division_of_many_is_that_of_each():
    numbers = [101 * 103, 7 * 101, 13, 17 * 19, 10007, 11]
    trial = 2 * 3 * 5 * 7 * 11 * 13
    assert without_small_factors(numbers, trial) == [gcd(n, trial) == 1 for n in numbers]
    assert without_small_factors([], trial) == []
    assert without_small_factors([7], trial) == [False]
