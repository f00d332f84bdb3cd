"""A primality test that every endorser computes alike, whatever arithmetic library is installed.

The test, for odd n above the trial divisors: strong probable prime to base 2 and strong Lucas probable prime
with Selfridge's parameters (the two together are BPSW: Baillie, Wagstaff, "Lucas pseudoprimes", 1980); strong
probable prime to one base derived from n by hashing. No composite is known that passes BPSW; the derived base
costs whoever searches for one the freedom to aim at fixed bases (docs/decisions/0010).

GMP 6.2 and later carry BPSW as one call, three times as fast as its parts; the parts are the specification
and serve where the call is absent.
"""

from functools import lru_cache

import gmpy2

from accumulator._hashing import integer_bytes, tagged_bytes

DERIVED_BASES = 1

_BASE_TAG = "edgeproof/accumulator/primality-base/v1"


def primes_below(limit: int) -> list[int]:
    """All primes below `limit`, by the sieve of Eratosthenes."""
    sieve = bytearray([1]) * limit
    sieve[:2] = bytes(2)[:limit]
    for candidate in range(2, int(limit**0.5) + 1):
        if sieve[candidate]:
            sieve[candidate * candidate :: candidate] = bytes(
                len(range(candidate * candidate, limit, candidate))
            )
    return [number for number, prime in enumerate(sieve) if prime]


TRIAL_DIVISORS = tuple(primes_below(256))
_TRIAL_PRODUCT = gmpy2.mpz(1)
for _divisor in TRIAL_DIVISORS:
    _TRIAL_PRODUCT *= _divisor


def is_strong_probable_prime(n: int, base: int) -> bool:
    """Whether odd n > 2 passes the strong (Miller-Rabin) test to `base`, 1 < base < n. Cost: one power."""
    odd = gmpy2.mpz(n) - 1
    twos = gmpy2.bit_scan1(odd) or 0
    power = gmpy2.powmod(base, odd >> twos, n)
    if power in (1, odd):
        return True
    for _ in range(twos - 1):
        power = power * power % n
        if power == odd:
            return True
    return False


def is_strong_lucas_probable_prime(n: int) -> bool:
    """Whether odd n > 2 passes the strong Lucas test with Selfridge's parameters.

    D is the first of 5, -7, 9, -11, ... with Jacobi symbol (D/n) = -1; P = 1 and Q = (1 - D) / 4. A perfect
    square has no such D and fails. A D that shares a factor with n fails too, unless it is n itself.
    """
    if gmpy2.is_square(n):
        return False
    d, sign = 5, 1
    while (symbol := gmpy2.jacobi(sign * d, n)) != -1:
        if symbol == 0 and d % n:
            return False
        d, sign = d + 2, -sign
    q = (1 - sign * d) // 4
    if gmpy2.gcd(n, 2 * q * d) != 1:
        # A prime n divides neither D (the symbol would be 0) nor Q (D = 1 mod n, the symbol would be 1).
        return False
    return bool(gmpy2.is_strong_lucas_prp(n, 1, q))


def is_bpsw_probable_prime_by_parts(n: int) -> bool:
    """BPSW as specified, for odd n > 2: strong to base 2, then strong Lucas."""
    return is_strong_probable_prime(n, 2) and is_strong_lucas_probable_prime(n)


def is_bpsw_probable_prime_by_library(n: int) -> bool:
    """BPSW by GMP's own call (`mpz_probab_prime_p` with 24 repetitions is trial division and BPSW alone)."""
    return bool(gmpy2.is_prime(n, 24))


def _library_has_bpsw() -> bool:
    """Whether GMP is 6.2 or later: before, the call meant Miller-Rabin to random bases."""
    name, _, version = gmpy2.mp_version().partition(" ")
    numbers = [int(part) for part in version.split(".")[:2] if part.isdecimal()]
    return name == "GMP" and numbers >= [6, 2]


is_bpsw_probable_prime = (
    is_bpsw_probable_prime_by_library if _library_has_bpsw() else is_bpsw_probable_prime_by_parts
)


@lru_cache(maxsize=4096)
def is_prime(n: int) -> bool:
    """Whether n passes the test of this module. No prime fails it.

    Answers are remembered for the last 4096 arguments, so that a certificate checked once is not paid for
    again when its prime comes back in a membership proof. Cost: about 0.07 ms for a 256-bit prime.
    """
    if n <= TRIAL_DIVISORS[-1]:
        return n in TRIAL_DIVISORS
    if gmpy2.gcd(n, _TRIAL_PRODUCT) != 1:
        return False
    if not is_bpsw_probable_prime(n):
        return False
    return all(is_strong_probable_prime(n, derived_base(n, index)) for index in range(DERIVED_BASES))


def derived_base(n: int, index: int) -> int:
    """Hash-derived base number `index` for n > 4: uniform in [2, n - 2] up to 2^-128."""
    raw = integer_bytes(n)
    stretched = tagged_bytes(len(raw) + 16, _BASE_TAG, raw, index.to_bytes(4, "big"))
    return 2 + int.from_bytes(stretched, "big") % (n - 3)
