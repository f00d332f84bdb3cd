"""Public parameters: a modulus of known origin, and a generator for each chain.

Whoever knows the factors of N can forge any proof (seed 003, section IV.C), so the parameters say where N
comes from and everything derived from them binds it.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import gmpy2

from accumulator._hashing import integer_bytes, tagged_bytes, tagged_hash
from accumulator.errors import InvalidParameters, NotInGroup, OutOfRange
from accumulator.group import Group
from accumulator.native import group_of

# The RSA-2048 number of the RSA Factoring Challenge (RSA Laboratories, 2001): 617 decimal digits, digit sum
# 2738. Its factors were never published and the challenge ended unsolved; nobody is known to hold them.
RSA_2048 = int(
    "c7970ceedcc3b0754490201a7aa613cd73911081c790f5f1a8726f463550bb5b"
    "7ff0db8e1ea1189ec72f93d1650011bd721aeeacc2acde32a04107f0648c2813"
    "a31f5b0b7765ff8b44b4b6ffc93384b646eb09c7cf5e8592d40ea33c80039f35"
    "b4f14a04b51f7bfd781be4d1673164ba8eb991c2c4d730bbbe35f592bdef524a"
    "f7e8daefd26c66fc02c479af89d64d373f442709439de66ceb955f3ea37d5159"
    "f6135809f85334b5cb1813addc80cd05609f10ac6a95ad65872c909525bdad32"
    "bc729592642920f24c61dc5b3c3b7923e56b16a4d9d373d8721f24a3fc0f1b31"
    "31f55615172866bccc30f95054c824e733a5eb6817f7bc16399d48c6361cc7e5",
    16,
)

CHALLENGE = "rsa-2048-challenge"
CEREMONY = "ceremony"
DEALER = "dealer-for-tests"
ORIGINS = frozenset({CHALLENGE, CEREMONY, DEALER})

MINIMUM_BITS = 512
"""Smaller moduli are refused even in tests: 256-bit exponents need room. Security starts at 2048 bits."""

_GENERATOR_TAG = "edgeproof/accumulator/generator/v1"
_PARAMETERS_TAG = "edgeproof/accumulator/parameters/v1"


@dataclass(frozen=True)
class Modulus:
    """An RSA modulus and where it comes from.

    Raises:
        InvalidParameters: an unknown origin, a modulus that is even, prime, a perfect power or too small, or
            one that claims to be the challenge and is not.
    """

    n: int
    """The modulus N, a product of two primes that nobody should know."""

    origin: str
    """`rsa-2048-challenge`, `ceremony`, or `dealer-for-tests` (whoever made it can forge)."""

    def __post_init__(self) -> None:
        if self.origin not in ORIGINS:
            raise InvalidParameters(f"unknown origin of a modulus: {self.origin!r}")
        if self.origin == CHALLENGE:
            if self.n != RSA_2048:
                raise InvalidParameters("the modulus is not the RSA-2048 challenge that it claims to be")
        elif not _may_be_modulus(self.n):
            raise InvalidParameters("the modulus is even, prime, a perfect power or below 512 bits")


@lru_cache(maxsize=64)
def _may_be_modulus(n: int) -> bool:
    if n < 1 << (MINIMUM_BITS - 1) or n % 2 == 0 or gmpy2.is_power(n):
        return False
    # A composite never passes the base-2 Fermat test by accident; a prime always does.
    return bool(gmpy2.powmod(2, n - 1, n) != 1)


@dataclass(frozen=True)
class Parameters:
    """What a chain's accumulator is computed with."""

    modulus: Modulus
    """Shared by all chains of a system."""

    chain: str
    """The chain's id; it fixes the generator and every challenge."""

    def __post_init__(self) -> None:
        if not self.chain:
            raise InvalidParameters("the chain id is empty")

    @cached_property
    def group(self) -> Group:
        """The group Z_N*/{±1} that all arithmetic goes through."""
        return group_of(self.modulus.n)

    @cached_property
    def value_bytes(self) -> int:
        """Width of an encoded value in bytes: 256 for 2048 bits."""
        return (self.modulus.n.bit_length() + 7) // 8

    @cached_property
    def generator(self) -> int:
        """The accumulator value of an empty chain: the square of a hash of tag, chain and N, canonical.

        Nobody chose it and nobody knows a root of it. Cost: one squaring.
        """
        return self.hash_to_group(_GENERATOR_TAG, self.chain.encode())

    @cached_property
    def digest(self) -> bytes:
        """32 bytes that bind modulus, origin, chain and generator; every challenge starts from them."""
        return tagged_hash(
            _PARAMETERS_TAG,
            integer_bytes(self.modulus.n),
            self.modulus.origin.encode(),
            self.chain.encode(),
            self.generator.to_bytes(self.value_bytes, "big"),
        )

    def hash_to_group(self, tag: str, *fields: bytes) -> int:
        """A square of the group that nobody knows a relation of, from a tag, N and fields.

        SHAKE-256 gives 128 bits more than N has, so the residue is uniform to 2^-128.
        """
        attempt = 0
        while True:
            raw = tagged_bytes(
                self.value_bytes + 16, tag, integer_bytes(self.modulus.n), attempt.to_bytes(4, "big"), *fields
            )
            value = self.group.power(int.from_bytes(raw, "big") % self.modulus.n, 2)
            if value > 1 and gmpy2.gcd(value, self.modulus.n) == 1:
                return value
            attempt += 1

    def check_value(self, value: int) -> int:
        """Refuse everything but a canonical group element other than the identity; return it.

        Raises:
            OutOfRange: not 1 < value <= (N - 1) / 2; so 0, 1, N - 1, w + N and N - w are all refused.
            NotInGroup: gcd(value, N) is not 1.
        """
        self.check_value_range(value)
        return self.check_element(value)

    def check_element(self, value: int) -> int:
        """As `check_value`, but the identity passes: the quotient of a short exponent is one.

        Raises:
            OutOfRange: not 0 < value <= (N - 1) / 2.
            NotInGroup: gcd(value, N) is not 1.
        """
        self._check_canonical(value)
        if gmpy2.gcd(value, self.modulus.n) != 1:
            raise NotInGroup("shares a factor with the modulus")
        return value

    def check_values(self, *values: int) -> None:
        """As `check_value` for each of them, with one gcd for all: a gcd costs some thirty multiplications.

        Raises:
            OutOfRange, NotInGroup: as `check_value`.
        """
        for value in values:
            self.check_value_range(value)
        product = gmpy2.mpz(1)
        for value in values:
            product = product * value % self.modulus.n
        if gmpy2.gcd(product, self.modulus.n) != 1:
            raise NotInGroup("shares a factor with the modulus")

    def check_value_range(self, value: int) -> None:
        """The range part of `check_value`, without the gcd.

        Raises:
            OutOfRange: not 1 < value <= (N - 1) / 2.
        """
        if value == 1:
            raise OutOfRange("the identity is no accumulator value and no membership witness")
        self._check_canonical(value)

    def _check_canonical(self, value: int) -> None:
        if not 0 < value <= (self.modulus.n - 1) // 2:
            raise OutOfRange("not the canonical representative of an element of Z_N*/{±1}")


def default_parameters(chain: str) -> Parameters:
    """Parameters over the RSA-2048 challenge for a chain."""
    return Parameters(Modulus(RSA_2048, CHALLENGE), chain)
