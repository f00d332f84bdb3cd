"""The group Z_N*/{±1}: the residues prime to N, where x and N - x are one element.

Proofs of exponentiation are sound only where nobody knows an element of small order; -1 has order two in
Z_N*, so the quotient by {±1} is what every value here lives in (Boneh, Bünz, Fisch 2019, section 2).
"""

from collections.abc import Sequence

import gmpy2


class Group:
    """Arithmetic modulo N up to sign. Subclasses may count or replace the multiplications.

    Every method takes and returns plain integers; results are canonical representatives min(x, N - x).
    """

    def __init__(self, n: int) -> None:
        self.n = n
        self._n = gmpy2.mpz(n)

    def canonical(self, value: int) -> int:
        """The representative of ±value in [0, (N - 1) / 2]."""
        reduced = int(value % self._n)
        return min(reduced, self.n - reduced)

    def multiply(self, left: int, right: int) -> int:
        """left · right."""
        return self.canonical(gmpy2.mpz(left) * right)

    def power(self, base: int, exponent: int) -> int:
        """base^exponent; a negative exponent inverts, which every element of the group allows."""
        return self.canonical(gmpy2.powmod(base, exponent, self._n))

    def multi_power(self, bases: Sequence[int], exponents: Sequence[int]) -> int:
        """The product of bases[i]^exponents[i]."""
        result = 1
        for base, exponent in zip(bases, exponents, strict=True):
            result = self.multiply(result, self.power(base, exponent))
        return result
