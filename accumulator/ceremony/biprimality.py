"""Whether a public N is the product of two primes of which every party holds a part.

Source: Boneh, Franklin, "Efficient generation of shared RSA keys" (J. ACM 48, 2001), section 4: for
p = q = 3 mod 4 and g with Jacobi symbol (g | N) = 1, a product of two primes gives
g^((N - p - q + 1) / 4) = ±1. At least half of all g betray any other N, but for those where p and q are
powers of primes and one prime divides the other factor less one; these fall to gcd(N, p + q - 1) > 1, the
alternative to the twisted group.
"""

from collections.abc import Sequence
from typing import Any

import gmpy2

from accumulator._hashing import integer_bytes, tagged_bytes

__all__ = ["agree", "bases", "coprime", "exponent", "without_small_factors"]

_BASE_TAG = "edgeproof/ceremony/base/v1"


def bases(session: bytes, n: Any, first: int, count: int) -> list[Any]:
    """The test's bases number first, …: hashes of session and N with Jacobi symbol 1.

    Nobody chooses them: N is fixed by all parties before its bases are known.
    """
    width = (int(n).bit_length() + 7) // 8 + 16
    found = []
    for number in range(first, first + count):
        attempt = 0
        while True:
            raw = tagged_bytes(
                width,
                _BASE_TAG,
                session,
                integer_bytes(int(n)),
                number.to_bytes(4, "big"),
                attempt.to_bytes(4, "big"),
            )
            value = gmpy2.mpz(int.from_bytes(raw, "big")) % n
            if gmpy2.jacobi(value, n) == 1:
                found.append(value)
                break
            attempt += 1
    return found


def exponent(party: int, n: Any, p: Any, q: Any) -> Any:
    """The power that a party raises bases to: (N + 1 - p_1 - q_1) / 4 or (p_i + q_i) / 4, whole by the
    residues modulo 4."""
    return (n + 1 - p - q) // 4 if party == 1 else (p + q) // 4


def agree(n: Any, powers: Sequence[Any]) -> bool:
    """Whether party 1's power is plus or minus the product of the others': one base's verdict."""
    product = gmpy2.mpz(1)
    for power in powers[1:]:
        product = product * power % n
    return bool(powers[0] in (product, n - product))


def coprime(n: Any, blinded: Any) -> bool:
    """Whether gcd(N, r · (p + q - 1)) is 1, r blinding the sum."""
    return bool(gmpy2.gcd(n, blinded) == 1)


def without_small_factors(numbers: Sequence[Any], trial: int) -> list[bool]:
    """For each number, whether it is prime to `trial`, by a remainder tree: one long division for all."""
    if not numbers:
        return []
    levels = [[gmpy2.mpz(number) for number in numbers]]
    while len(levels[-1]) > 1:
        row = levels[-1]
        levels.append(
            [row[at] * row[at + 1] if at + 1 < len(row) else row[at] for at in range(0, len(row), 2)]
        )
    remainders = [gmpy2.mpz(trial)]
    for row in reversed(levels):
        remainders = [remainders[at // 2] % value for at, value in enumerate(row)]
    return [bool(gmpy2.gcd(rest, number) == 1) for rest, number in zip(remainders, levels[0], strict=True)]
