"""The group Z_N*/{±1}: the residues prime to N, where x and N - x are one element.

Proofs of exponentiation are sound only where nobody knows an element of small order; -1 has order two in
Z_N*, so the quotient by {±1} is what every value here lives in (Boneh, Bünz, Fisch 2019, section 2).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

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

        Up to two bases are raised one by one, which is faster inside the library. More go through Straus's
        interleaving or, from some hundreds on, through Pippenger's buckets, whichever takes fewer
        multiplications (`multi_power_window`).
        """
        if len(bases) <= _FEW:
            result = 1
            for base, exponent in zip(bases, exponents, strict=True):
                power = self.power(base, exponent)
                result = power if result == 1 else self.multiply(result, power)
            return result
        positive = []
        for base, exponent in zip(bases, exponents, strict=True):
            if exponent < 0:
                base, exponent = int(gmpy2.invert(base, self._n)), -exponent
            positive.append((gmpy2.mpz(base), exponent))
        window = multi_power_window(len(positive), max(exponent.bit_length() for _, exponent in positive))
        return self.canonical(self._pippenger(positive, window) if window else self._straus(positive))

    def _straus(self, pairs: Sequence[tuple[gmpy2.mpz, int]]) -> gmpy2.mpz:
        """Straus 1964 with sliding windows of 5 bits.

        b squarings are shared by all, and each base costs 16 multiplications for its odd powers and about
        b/6 more (b: bits of the longest exponent). Memory: 16 residues a base.
        """
        factors: defaultdict[int, list[gmpy2.mpz]] = defaultdict(list)
        for base, exponent in pairs:
            self._schedule(base, exponent, factors)
        residue: gmpy2.mpz | None = None
        for position in range(max(factors, default=-1), -1, -1):
            if residue is not None:
                residue = self._multiply(residue, residue)
            if position in factors:
                residue = self._fold(residue, factors[position])
        return gmpy2.mpz(1) if residue is None else residue

    def _pippenger(self, pairs: Sequence[tuple[gmpy2.mpz, int]], window: int) -> gmpy2.mpz:
        """Pippenger 1976, the bucket method: digit after digit of `window` bits, from the top.

        For each digit's place every base is multiplied into the bucket of its digit; the buckets are then
        added up by their values. Memory: 2^window residues beside the bases.
        """
        bases = [base for base, _ in pairs]
        columns = [_digits(exponent, window) for _, exponent in pairs]
        residue: gmpy2.mpz | None = None
        for place in range(max(map(len, columns)) - 1, -1, -1):
            for _ in range(window if residue is not None else 0):
                residue = self._multiply(residue, residue)
            buckets: list[gmpy2.mpz | None] = [None] * (1 << window)
            self._fill(
                buckets,
                (
                    (column[place], base)
                    for column, base in zip(columns, bases, strict=True)
                    if place < len(column) and column[place]
                ),
            )
            gathered = self._gather(buckets)
            if gathered is not None:
                residue = gathered if residue is None else self._multiply(residue, gathered)
        return gmpy2.mpz(1) if residue is None else residue

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

    def _shared_powers(
        self, base: gmpy2.mpz, exponents: list[gmpy2.mpz], window: int
    ) -> list[gmpy2.mpz] | None:
        """`powers.simultaneous_powers` where a subclass has a way of its own; None where it has none."""
        return None

    def _squares(self, value: gmpy2.mpz, count: int) -> list[gmpy2.mpz]:
        """value, value^2, value^4, ...: `count` squarings, so `count` + 1 residues. One loop, for speed."""
        n, chain = self._n, [value]
        for _ in range(count):
            value = value * value % n
            chain.append(value)
        return chain

    def _fill(self, buckets: list[gmpy2.mpz | None], work: Iterable[tuple[int, gmpy2.mpz]]) -> None:
        """Multiply each residue into the bucket that it is given with. One loop, for speed."""
        n = self._n
        for place, residue in work:
            held = buckets[place]
            buckets[place] = residue if held is None else held * residue % n

    def _fold(self, residue: gmpy2.mpz | None, factors: Iterable[gmpy2.mpz]) -> gmpy2.mpz | None:
        """The residue times all factors; None stands for the empty product. One loop, for speed."""
        n = self._n
        for factor in factors:
            residue = factor if residue is None else residue * factor % n
        return residue

    def _gather(self, buckets: Sequence[gmpy2.mpz | None]) -> gmpy2.mpz | None:
        """The product of buckets[i]^i by running products from the top; None when that is the empty one.

        Cost: a multiplication for each full bucket and one for each place below the highest.
        """
        running: gmpy2.mpz | None = None
        total: gmpy2.mpz | None = None
        for place in range(len(buckets) - 1, 0, -1):
            held = buckets[place]
            if held is not None:
                running = held if running is None else self._multiply(running, held)
            if running is not None:
                total = running if total is None else self._multiply(total, running)
        return total


def multi_power_window(count: int, bits: int) -> int:
    """The bucket method's window for `count` bases and exponents of `bits` bits; 0 where Straus is cheaper.

    By expected multiplications: Straus takes 16 + b/6 a base and b in common; the buckets take b/w times one
    a base, 2^(w + 1) for adding up, and w.
    """
    best, window = count * (16 + bits / (_WINDOW + 1)) + bits, 0
    for candidate in range(3, 17):
        places = -(-bits // candidate)
        cost = places * (count * (1 - 0.5**candidate) + (2 << candidate) + candidate)
        if cost < best:
            best, window = cost, candidate
    return window


def _digits(exponent: int, window: int) -> list[int]:
    """The digits of `window` bits, lowest first."""
    mask = (1 << window) - 1
    digits = []
    while exponent:
        digits.append(exponent & mask)
        exponent >>= window
    return digits


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
