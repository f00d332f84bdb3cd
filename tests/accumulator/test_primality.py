import json
from math import isqrt
from pathlib import Path

import gmpy2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accumulator import primality
from accumulator.primality import (
    DERIVED_BASES,
    derived_base,
    is_bpsw_probable_prime_by_library,
    is_bpsw_probable_prime_by_parts,
    is_prime,
    is_strong_lucas_probable_prime,
    is_strong_probable_prime,
    primes_below,
)

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "accumulator" / "vectors.json").read_text())[
    "primality"
]


def by_trial(n):
    return n > 1 and all(n % d for d in range(2, isqrt(n) + 1))


def test_small_numbers_agree_with_trial_division():
    for n in range(-3, 5000):
        assert is_prime(n) == by_trial(n), n


def test_primes_below():
    for limit in (2, 3, 10, 100, 997, 998):
        assert primes_below(limit) == [n for n in range(limit) if by_trial(n)]


def test_published_strong_pseudoprimes_fool_base_2_and_not_the_whole():
    published = VECTORS["strong_pseudoprimes_base_2"]
    found = [n for n in range(9, published[-1] + 1, 2) if is_strong_probable_prime(n, 2) and not by_trial(n)]
    assert found == published
    assert not any(is_prime(n) or is_strong_lucas_probable_prime(n) for n in published)


def test_published_strong_lucas_pseudoprimes_fool_lucas_and_not_the_whole():
    published = VECTORS["strong_lucas_pseudoprimes"]
    found = [
        n for n in range(3, published[-1] + 1, 2) if is_strong_lucas_probable_prime(n) and not by_trial(n)
    ]
    assert found == published
    assert not any(is_prime(n) or is_strong_probable_prime(n, 2) for n in published)


def test_lucas_accepts_every_small_prime():
    assert all(is_strong_lucas_probable_prime(p) for p in primes_below(20000)[1:])


def test_carmichael_numbers_are_composite():
    for n in VECTORS["carmichael"]:
        assert all(pow(base, n, n) == base for base in range(2, 40))  # they fool Fermat to every base
        assert not is_prime(n)


def test_pseudoprimes_to_the_first_prime_bases_are_composite():
    first = primes_below(42)
    for count, text in VECTORS["strong_pseudoprimes_to_first_bases"].items():
        n = int(text)
        assert all(is_strong_probable_prime(n, base) for base in first[: int(count)])
        assert not is_strong_lucas_probable_prime(n)
        assert not is_prime(n)


def test_arnaults_number_fools_all_fixed_bases_below_307():
    n = int(VECTORS["arnault"])
    assert len(str(n)) == 397
    assert all(is_strong_probable_prime(n, base) for base in primes_below(307))
    assert not is_strong_lucas_probable_prime(n)
    assert not all(is_strong_probable_prime(n, derived_base(n, index)) for index in range(2))
    assert not is_prime(n)


def test_known_primes():
    assert all(is_prime(int(text, 16)) for text in VECTORS["primes"].values())


def test_derived_bases_are_the_specified_ones():
    for entry in VECTORS["derived_bases"]:
        n = int(entry["n"], 16)
        assert [f"{derived_base(n, index):x}" for index in (0, 1)] == entry["bases"]
        assert all(1 < int(base, 16) < n - 1 for base in entry["bases"])


def test_squares_and_products_of_close_primes():
    p = 2**255 - 19
    q = int(gmpy2.next_prime(p))
    assert not is_prime(p * p)
    assert not is_strong_lucas_probable_prime(p * p)
    assert not is_prime(p * q)


@settings(deadline=None, max_examples=80)
@given(st.integers(0, 2**260))
def test_agrees_with_another_test(n):
    assert is_prime(n) == gmpy2.is_prime(n, 30)


@settings(deadline=None, max_examples=30)
@given(st.integers(2**255, 2**256))
def test_primes_pass_every_part(n):
    prime = int(gmpy2.next_prime(n))
    assert is_strong_lucas_probable_prime(prime)
    assert all(is_strong_probable_prime(prime, base) for base in (2, 3, 5, derived_base(prime, 0)))
    assert is_prime(prime)


@pytest.mark.parametrize(
    ("n", "expected"), [(2, True), (251, True), (257, True), (253, False), (257 * 263, False)]
)
def test_around_the_trial_divisors(n, expected):
    assert is_prime(n) is expected


@pytest.mark.parametrize("p", [1099512915301, 1099514839741])
def test_composites_that_only_the_lucas_part_refuses(p):
    # p(2p - 1) with both factors prime has the most strong liars that a number of its kind can have; these
    # two were searched from 2^40 on so that every base of this test, derived ones included, is one.
    n = p * (2 * p - 1)
    assert all(is_strong_probable_prime(n, base) for base in (2, 3, 5))
    assert all(is_strong_probable_prime(n, derived_base(n, index)) for index in range(2))
    assert not is_strong_lucas_probable_prime(n)
    assert not is_prime(n)


def observed(monkeypatch, n):
    """What `is_prime` asks of n, in order."""
    asked = []

    def strong(number, base):
        asked.append((number, base))
        return is_strong_probable_prime(number, base)

    def lucas(number):
        asked.append((number, "lucas"))
        return is_strong_lucas_probable_prime(number)

    def library(number):
        asked.append((number, "library"))
        return is_bpsw_probable_prime_by_library(number)

    monkeypatch.setattr(primality, "is_strong_probable_prime", strong)
    monkeypatch.setattr(primality, "is_strong_lucas_probable_prime", lucas)
    if primality.is_bpsw_probable_prime is is_bpsw_probable_prime_by_library:
        monkeypatch.setattr(primality, "is_bpsw_probable_prime", library)
    is_prime.cache_clear()
    assert is_prime(n)
    return asked


def test_every_specified_part_is_asked(monkeypatch):
    # No input tells them apart (no composite is known that passes BPSW), so the parts are observed.
    n = 2**255 - 19
    derived = [(n, derived_base(n, index)) for index in range(DERIVED_BASES)]
    assert len(derived) == 1
    monkeypatch.setattr(primality, "is_bpsw_probable_prime", is_bpsw_probable_prime_by_parts)
    assert observed(monkeypatch, n) == [(n, 2), (n, "lucas"), *derived]


def test_the_librarys_bpsw_is_used_where_it_is_and_the_derived_base_still_asked(monkeypatch):
    n = 2**255 - 19
    monkeypatch.setattr(primality, "is_bpsw_probable_prime", is_bpsw_probable_prime_by_library)
    assert observed(monkeypatch, n) == [(n, "library"), (n, derived_base(n, 0))]


@pytest.mark.parametrize(
    ("version", "expected"),
    [("GMP 6.3.0", True), ("GMP 6.2.1", True), ("GMP 7.0", True), ("GMP 6.1.2", False), ("GMP 5.9", False),
     ("MPIR 6.3.0", False), ("GMP", False)],
)  # fmt: skip
def test_only_a_library_that_has_bpsw_is_trusted_with_it(monkeypatch, version, expected):
    monkeypatch.setattr(primality.gmpy2, "mp_version", lambda: version)
    assert primality._library_has_bpsw() is expected


def test_the_librarys_bpsw_is_the_specified_one():
    fools = [
        *VECTORS["strong_pseudoprimes_base_2"],
        *VECTORS["strong_lucas_pseudoprimes"],
        *VECTORS["carmichael"],
        *(int(text) for text in VECTORS["strong_pseudoprimes_to_first_bases"].values()),
        *(p * (2 * p - 1) for p in (1099512915301, 1099514839741)),
        int(VECTORS["arnault"]),
        *(int(text, 16) for text in VECTORS["primes"].values()),
        *range(3, 20001, 2),
    ]
    for n in fools:
        assert is_bpsw_probable_prime_by_library(n) == is_bpsw_probable_prime_by_parts(n), n


@settings(deadline=None, max_examples=150)
@given(st.one_of(st.integers(2**255, 2**256), st.integers(2**40, 2**48), st.integers(2**62, 2**66)))
def test_the_librarys_bpsw_agrees_on_any_number_and_its_next_prime(n):
    odd = n | 1
    for number in (odd, int(gmpy2.next_prime(n)), int(gmpy2.next_prime(n)) * 3):
        assert is_bpsw_probable_prime_by_library(number) == is_bpsw_probable_prime_by_parts(number)
