"""A small modulus whose factors the tests know, and elements over it."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import gmpy2
import pytest

from accumulator import Modulus, Parameters, accumulate, all_membership_witnesses, hash_to_prime


def dealt_factors(bits: int) -> tuple[int, int]:
    """Two primes of bits/2 bits, 3 mod 4, the same in every run."""
    factors = []
    for name in (b"p", b"q"):
        raw = int.from_bytes(hashlib.shake_256(b"dealer for tests " + name).digest(bits // 16), "big")
        candidate = gmpy2.next_prime(raw | 3 << (bits // 2 - 2))
        while candidate % 4 != 3:
            candidate = gmpy2.next_prime(candidate)
        factors.append(int(candidate))
    return factors[0], factors[1]


def digest(label: object) -> bytes:
    return hashlib.sha256(repr(label).encode()).digest()


@dataclass(frozen=True)
class Range:
    """Some elements accumulated from the generator on, with their membership witnesses."""

    parameters: Parameters
    digests: list[bytes]
    primes: list[int]
    value_before: int
    value_after: int
    witnesses: list[int]


def make_range(parameters: Parameters, count: int, label: str = "") -> Range:
    digests = [digest((parameters.chain, label, number)) for number in range(count)]
    primes = [hash_to_prime(each).prime for each in digests]
    before = parameters.generator
    return Range(
        parameters,
        digests,
        primes,
        before,
        accumulate(parameters, before, primes),
        all_membership_witnesses(parameters, before, primes),
    )


@pytest.fixture(scope="session")
def factors() -> tuple[int, int]:
    return dealt_factors(512)


@pytest.fixture(scope="session")
def modulus(factors) -> Modulus:
    return Modulus(factors[0] * factors[1], "dealer-for-tests")


@pytest.fixture(scope="session")
def parameters(modulus) -> Parameters:
    return Parameters(modulus, "edge-a")


@pytest.fixture(scope="session")
def other_chain(modulus) -> Parameters:
    return Parameters(modulus, "edge-b")


@pytest.fixture(scope="session")
def elements(parameters) -> Range:
    return make_range(parameters, 12)


@pytest.fixture(scope="session")
def other_elements(other_chain) -> Range:
    return make_range(other_chain, 5)


@pytest.fixture(scope="session")
def range_of() -> Callable[..., Range]:
    """Makes further ranges: `range_of(parameters, count, label)`."""
    return make_range
