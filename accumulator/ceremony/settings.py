"""What all parties of a ceremony agree on before it begins, and everything that follows from it."""

import math
from dataclasses import dataclass
from functools import cached_property

import gmpy2

from accumulator._hashing import tagged_bytes
from accumulator.ceremony.errors import InvalidSettings
from accumulator.primality import primes_below

__all__ = ["Settings"]

MAXIMUM_BITS = 4096
MAXIMUM_PARTIES = 16
MAXIMUM_BATCH = 4096
_FIELD_TAG = "edgeproof/ceremony/field/v1"


@dataclass(frozen=True)
class Settings:
    """A ceremony's public constants.

    Raises:
        InvalidSettings: out of bounds. Two parties are refused: with polynomials of degree
            floor((2 - 1) / 2) = 0 each would see the other's secret.
    """

    session: bytes
    """32 bytes that name this ceremony: the digest of its roster."""

    parties: int
    """k, at least 3."""

    bits: int
    """Exact length of N: an even number."""

    batch: int
    """Candidates that share one message round."""

    rounds: int
    """Further bases in the biprimality test of the one candidate that passed the first; a wrong N passes all
    with probability at most 2^-rounds."""

    def __post_init__(self) -> None:
        if len(self.session) != 32:
            raise InvalidSettings("a session's name is 32 bytes")
        if not 3 <= self.parties <= MAXIMUM_PARTIES:
            raise InvalidSettings(f"3 to {MAXIMUM_PARTIES} parties, not {self.parties}")
        if self.bits % 2 or not 64 <= self.bits <= MAXIMUM_BITS:
            raise InvalidSettings(f"an even number of 64 to {MAXIMUM_BITS} bits, not {self.bits}")
        if not 1 <= self.batch <= MAXIMUM_BATCH:
            raise InvalidSettings(f"1 to {MAXIMUM_BATCH} candidates a batch, not {self.batch}")
        if not 40 <= self.rounds <= 256:
            raise InvalidSettings(f"40 to 256 rounds of the biprimality test, not {self.rounds}")
        if self._sieved_below < self.parties + 2:
            raise InvalidSettings(f"{self.bits} bits leave no room to sieve for {self.parties} parties")

    @property
    def degree(self) -> int:
        """Degree of the secret polynomials, floor((k - 1) / 2): as many colluders learn nothing from shares.

        The product has degree 2 · degree <= k - 1, so that k points determine it (seed 003, IV.C).
        """
        return (self.parties - 1) // 2

    @cached_property
    def field(self) -> int:
        """The field prime P: the first at or after a hash of the session, nine bits longer than N.

        Nobody chooses it; a party agrees to it by signing messages that name the session.
        """
        length = self.bits + 9
        raw = int.from_bytes(tagged_bytes(length // 8 + 1, _FIELD_TAG, self.session), "big")
        start = (raw & ((1 << (length - 2)) - 1)) | (1 << (length - 1))
        return int(gmpy2.next_prime(start - 1))

    @property
    def span(self) -> int:
        """How much each additive part varies: p lies in [3/4, 1) · 2^(bits/2), so that N has its bits."""
        return (1 << (self.bits // 2 - 2)) // self.parties

    @property
    def base(self) -> int:
        """Where party 1's additive part begins: 3/4 · 2^(bits/2)."""
        return 3 << (self.bits // 2 - 2)

    @cached_property
    def small(self) -> int:
        """4 times the odd primes up to k: the sieve's ring cannot share such residues; party 1 sets them."""
        return 4 * int(gmpy2.primorial(max(self.parties, 2))) // 2

    @cached_property
    def small_residues(self) -> tuple[int, ...]:
        """The residues modulo `small` that are 3 modulo 4 and prime to the rest."""
        return tuple(r for r in range(self.small) if r % 4 == 3 and gmpy2.gcd(r, self.small) == 1)

    @cached_property
    def _sieved_below(self) -> int:
        # Each part keeps at least 2^64 multiples (at toy sizes: a quarter of its bits) beside its residue.
        limit = self.span >> min(64, self.bits // 8)
        product, last = self.small, self.parties
        for prime in primes_below(4096):
            if prime > self.parties:
                if product * prime > limit:
                    break
                product, last = product * prime, prime
        return last + 1

    @cached_property
    def sieve(self) -> int:
        """M, the product of the primes above k that the distributed sieve keeps out of p and q."""
        return int(gmpy2.primorial(self._sieved_below - 1)) // (self.small // 2)

    @cached_property
    def trial(self) -> int:
        """Product of the primes beyond the sieve's by which the public N is divided."""
        bound = 1 << 20 if self.bits >= 1536 else 1 << 16
        bound = min(bound, 1 << (self.bits // 2 - 4))
        whole = gmpy2.primorial(bound)
        return int(whole // gmpy2.gcd(whole, self.small * self.sieve))

    @cached_property
    def expected_candidates(self) -> float:
        """How many candidates it takes on average: both numbers prime to the sieve, each prime by chance.

        The count is geometric: one time in twenty it takes three times as many.
        """
        odds = 1.0
        for prime in primes_below(self._sieved_below):
            odds *= prime / (prime - 1)
        return (math.log(0.83) + self.bits / 2 * math.log(2)) ** 2 / odds**2

    @cached_property
    def largest_message(self) -> int:
        """Bound on a message's length in bytes: a transport refuses more. A batch's whole record fits."""
        value = self.field_bytes + self.number_bytes + 64
        return 2 * self.parties * value * (self.batch + 8 * self.rounds) + (1 << 16)

    @property
    def number_bytes(self) -> int:
        """Width of a value modulo N."""
        return (self.bits + 7) // 8

    @cached_property
    def field_bytes(self) -> int:
        """Width of a value modulo P."""
        return (self.field.bit_length() + 7) // 8

    @cached_property
    def sieve_bytes(self) -> int:
        """Width of a value modulo M."""
        return (self.sieve.bit_length() + 7) // 8
