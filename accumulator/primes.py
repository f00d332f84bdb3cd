"""From a 32-byte digest to the 256-bit prime that stands for it in the accumulator.

A plain hash is composite most of the time, and a composite exponent is a forgery: every divisor of the
accumulated product has a membership witness. So each element is represented by a prime.

The canonical representative is the first prime at or after the start that the digest hashes to. Its offset
from the start serves as a certificate: whoever checks it tests one number instead of searching.

- In a membership proof any offset inside the window will do. An attacker gains from naming another prime of
  the window only if that prime is accumulated for something else: to find two digests whose windows share a
  prime takes about 2^120 hashes, where two digests with one canonical representative take about 2^124.
- Whoever accumulates, recomputes an accumulator value, or proves that something is *not* accumulated needs
  the canonical one, with no prime skipped: `hash_to_prime`, or `check_canonical_certificate`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import gmpy2

from accumulator._hashing import tagged_hash
from accumulator.errors import InvalidCertificate, NotPrimeRepresentative
from accumulator.primality import is_prime, is_strong_probable_prime, primes_below

__all__ = [
    "CERTIFICATE_WINDOW",
    "PRIME_BITS",
    "PrimeRepresentative",
    "check_canonical_certificate",
    "check_certificate",
    "check_prime",
    "check_width",
    "hash_to_prime",
    "is_prime",
]

PRIME_BITS = 256
CERTIFICATE_WINDOW = 1 << 14
"""Offsets below this are accepted as certificates. Primes near 2^256 lie 177 apart on average: a canonical
representative falls outside with probability exp(-16384 / 177), about 2^-133."""

DIGEST_BYTES = 32
_LOWEST = 1 << (PRIME_BITS - 1)
# A start just below 2^256 may lead across it (probability 2^-240).
_HIGHEST = (1 << PRIME_BITS) + CERTIFICATE_WINDOW

_START_TAG = "edgeproof/accumulator/prime-start/v1"

_SEGMENT = 256  # odd candidates sieved at a time
_SEGMENT_MASK = (1 << _SEGMENT) - 1


def _sieve_groups(limit: int) -> tuple[tuple[int, tuple[tuple[int, int, int], ...]], ...]:
    """The sieving primes in groups whose product fits a machine word: one long division for each group.

    Per prime q: q, 1/2 mod q, and the bits 0, q, 2q, ... of a segment.
    """
    groups: list[tuple[int, tuple[tuple[int, int, int], ...]]] = []
    members: list[tuple[int, int, int]] = []
    modulus = 1
    for q in primes_below(limit)[1:]:
        if modulus * q >= 1 << 62:
            groups.append((modulus, tuple(members)))
            members, modulus = [], 1
        modulus *= q
        members.append((q, (q + 1) // 2, sum(1 << position for position in range(0, _SEGMENT, q))))
    return (*groups, (modulus, tuple(members)))


# Sieving further costs more than the tests that it saves.
_SIEVE = _sieve_groups(600)


@dataclass(frozen=True)
class PrimeRepresentative:
    """The prime that stands for a digest, and how far it lies from the digest's start."""

    prime: int
    """Odd, at least 2^255."""

    offset: int
    """Even, `prime` minus the start; serves as certificate in membership proofs."""


def _start(digest: bytes) -> int:
    """The 256-bit hash of the digest with top and low bit set: 254 bits are free."""
    if len(digest) != DIGEST_BYTES:
        raise ValueError(f"a digest has {DIGEST_BYTES} bytes, not {len(digest)}")
    hashed = int.from_bytes(tagged_hash(_START_TAG, digest), "big")
    return hashed | 1 << (PRIME_BITS - 1) | 1


def hash_to_prime(digest: bytes) -> PrimeRepresentative:
    """The canonical prime representative: the first prime at or after the start.

    Cost: about 0.25 ms; the work varies with the gap.

    Raises:
        ValueError: `digest` does not have 32 bytes (a mistake of the caller's, not of a stranger's).
    """
    start = _start(digest)
    offset = 0
    while True:
        for position in _candidates(start + offset):
            candidate = start + offset + 2 * position
            # Base 2 first: composites fall here and do not crowd what `is_prime` remembers.
            if is_strong_probable_prime(candidate, 2) and is_prime(candidate):
                return PrimeRepresentative(candidate, candidate - start)
        offset += 2 * _SEGMENT


def _candidates(start: int) -> list[int]:
    """Positions i < 256 for which odd start + 2i has no small factor, in order."""
    composite = 0
    residue_source = gmpy2.mpz(start)
    for modulus, members in _SIEVE:
        residue = int(residue_source % modulus)
        for q, half, pattern in members:
            # start + 2i = 0 mod q at i = -start / 2 mod q
            composite |= pattern << ((q - residue % q) * half % q)
    survivors = ~composite & _SEGMENT_MASK
    positions = []
    while survivors:
        lowest = survivors & -survivors
        positions.append(lowest.bit_length() - 1)
        survivors ^= lowest
    return positions


def check_certificate(digest: bytes, offset: int) -> int:
    """The prime that lies `offset` after the digest's start; for membership proofs only.

    Cost: one primality test, about 0.07 ms.

    Raises:
        InvalidCertificate: `offset` is odd, outside the window, or leads to a composite number.
        ValueError: `digest` does not have 32 bytes.
    """
    if not 0 <= offset < CERTIFICATE_WINDOW or offset % 2:
        raise InvalidCertificate(f"the offset {offset} is odd or outside the window of {CERTIFICATE_WINDOW}")
    prime = _start(digest) + offset
    if not is_prime(prime):
        raise InvalidCertificate(f"the offset {offset} does not lead to a prime")
    return prime


def check_canonical_certificate(digest: bytes, offset: int) -> int:
    """As `check_certificate`, and no prime is skipped: for whoever accumulates or proves absence.

    Cost: that of `hash_to_prime`; absence of primes in between has no shorter proof.

    Raises:
        InvalidCertificate: `offset` is not that of the canonical representative.
        ValueError: `digest` does not have 32 bytes.
    """
    canonical = hash_to_prime(digest)
    if canonical.offset != offset:
        raise InvalidCertificate(f"the offset {offset} is not the canonical {canonical.offset}")
    return canonical.prime


def check_width(primes: Iterable[int]) -> None:
    """Refuse exponents that cannot be prime representatives, by width and parity alone.

    For whoever accumulates: it has just searched for the canonical representatives.

    Raises:
        NotPrimeRepresentative: even, or outside what `hash_to_prime` and `check_certificate` give.
    """
    for prime in primes:
        if not _LOWEST <= prime < _HIGHEST or prime % 2 == 0:
            raise NotPrimeRepresentative("a prime representative is odd and has 256 bits")


def check_prime(prime: int) -> int:
    """Refuse an exponent that is not a 256-bit prime; return it.

    Raises:
        NotPrimeRepresentative: of the wrong width, or composite.
    """
    check_width([prime])
    if not is_prime(prime):
        raise NotPrimeRepresentative("the exponent is not a 256-bit prime")
    return prime
