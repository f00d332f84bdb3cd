"""The group Z_N*/{±1}: the residues prime to N, where x and N - x are one element.

Proofs of exponentiation are sound only where nobody knows an element of small order; -1 has order two in
Z_N*, so the quotient by {±1} is what every value here lives in (Boneh, Bünz, Fisch 2019, section 2).
"""

from collections import defaultdict
from collections.abc import Sequence

import gmpy2

_FEW = 2
_WINDOW = 5  # bits of a sliding window: the best for exponents of 256 to 384 bits


class Group:
    """Arithmetic modulo N up to sign.

    Public methods take and return plain integers, and results are canonical representatives min(x, N - x).
    All multiplications go through `_multiply` and `_power`, which a subclass may count or replace.
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
        return self.canonical(self._multiply(gmpy2.mpz(left), gmpy2.mpz(right)))

    def power(self, base: int, exponent: int) -> int:
        """base^exponent; a negative exponent inverts, which every element of the group allows."""
        if exponent < 0:
            base, exponent = int(gmpy2.invert(base, self._n)), -exponent
        return self.canonical(self._power(gmpy2.mpz(base), exponent))

    def multi_power(self, bases: Sequence[int], exponents: Sequence[int]) -> int:
        """The product of bases[i]^exponents[i]; negative exponents invert.

        Up to two bases are raised one by one, which is faster inside the library. More go through
        Straus's interleaving with sliding windows of 5 bits: b squarings are shared by all, and each base
        costs 16 multiplications for its odd powers and about b/6 more (b: bits of the longest exponent).
        Memory: 16 residues a base.
        """
        if len(bases) <= _FEW:
            result = 1
            for base, exponent in zip(bases, exponents, strict=True):
                power = self.power(base, exponent)
                result = power if result == 1 else self.multiply(result, power)
            return result
        factors: defaultdict[int, list[gmpy2.mpz]] = defaultdict(list)
        for base, exponent in zip(bases, exponents, strict=True):
            if exponent < 0:
                base, exponent = int(gmpy2.invert(base, self._n)), -exponent
            self._schedule(gmpy2.mpz(base), exponent, factors)
        residue = gmpy2.mpz(1)
        for position in range(max(factors, default=-1), -1, -1):
            if residue != 1:
                residue = self._multiply(residue, residue)
            for factor in factors.get(position, ()):
                residue = factor if residue == 1 else self._multiply(residue, factor)
        return self.canonical(residue)

    def _schedule(self, base: gmpy2.mpz, exponent: int, factors: defaultdict[int, list[gmpy2.mpz]]) -> None:
        """Note at which bit position which odd power of `base` is due."""
        windows = _sliding_windows(exponent)
        if not windows:
            return
        square = self._multiply(base, base)
        odd_powers = [base]  # base^1, base^3, base^5, ...
        for _ in range(max(digit for _, digit in windows) // 2):
            odd_powers.append(self._multiply(odd_powers[-1], square))
        for position, digit in windows:
            factors[position].append(odd_powers[digit // 2])

    def _multiply(self, left: gmpy2.mpz, right: gmpy2.mpz) -> gmpy2.mpz:
        """left · right mod N, sign kept."""
        return left * right % self._n

    def _power(self, base: gmpy2.mpz, exponent: int) -> gmpy2.mpz:
        """base^exponent mod N for a non-negative exponent, sign kept."""
        return gmpy2.powmod(base, exponent, self._n)


def _sliding_windows(exponent: int) -> list[tuple[int, int]]:
    """(position, odd digit below 2^5) with the digits shifted by their positions adding up to `exponent`."""
    bits = gmpy2.mpz(exponent)
    windows = []
    position = gmpy2.bit_scan1(bits)
    while position is not None:
        digit = int((bits >> position) & ((1 << _WINDOW) - 1))
        windows.append((int(position), digit))
        position = gmpy2.bit_scan1(bits, position + _WINDOW)
    return windows
