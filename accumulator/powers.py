"""Several powers of one base over one chain of squarings: what makes all membership witnesses cheap.

Right to left (Yao 1976, with sliding windows): the base is squared once for each bit; wherever an exponent's
window begins, the residue of the moment goes into that exponent's bucket for the window's odd digit. The
chain is shared by all exponents and never kept: a segment of it is in memory at a time.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from operator import itemgetter

import gmpy2

from accumulator.group import Group

SEGMENT = 2048
"""Squarings in memory at a time (0.6 MiB at 2048 bits); windows end where a segment does."""
MAXIMUM_WINDOW = 14


def simultaneous_powers(
    group: Group, base: gmpy2.mpz, exponents: Sequence[gmpy2.mpz], window: int
) -> list[gmpy2.mpz]:
    """base^exponent for each exponent, signs kept.

    Args:
        group: the group.
        base: a residue.
        exponents: at least 1 each.
        window: bits of a sliding window, 1 to 14.

    Cost: a squaring for each bit of the longest exponent; for each exponent one multiplication in
    `window` + 1 bits and about 2^window for its buckets (`counting.simultaneous_powers_count` is exact).
    Memory: 2^(window - 1) residues an exponent.
    """
    index = _digit_index(window)
    made = group._shared_powers(base, list(exponents), window)
    if made is not None:
        return made
    # A window and the zeros after it; all per-window work below is done by maps, without a Python loop.
    tokens = re.compile(f"1.{{0,{window - 1}}}0*")
    first_bits = itemgetter(slice(window))
    texts = [exponent.digits(2)[::-1] for exponent in exponents]
    buckets: list[list[gmpy2.mpz | None]] = [[None] * (1 << (window - 1)) for _ in texts]
    length = max(map(len, texts))
    for first in range(0, length, SEGMENT):
        parts = [text[first : first + SEGMENT] for text in texts]
        found = [tokens.findall(part) for part in parts]
        begins = [
            list(accumulate(map(len, matches[:-1]), initial=part.find("1"))) if matches else []
            for part, matches in zip(parts, found, strict=True)
        ]
        if first + SEGMENT < length:
            needed = SEGMENT
        else:
            needed = 1 + max((positions[-1] for positions in begins if positions), default=0)
        chain = group._squares(base, needed - 1)
        for held, matches, positions in zip(buckets, found, begins, strict=True):
            places = map(index.__getitem__, map(first_bits, matches))
            group._fill(held, zip(places, map(chain.__getitem__, positions), strict=True))
        if first + SEGMENT < length:
            base = group._multiply(chain[-1], chain[-1])
    return [_odd_gather(group, each) for each in buckets]


@lru_cache(maxsize=MAXIMUM_WINDOW)
def _digit_index(window: int) -> dict[str, int]:
    """From a window's bits, lowest first, beginning with 1, at most `window` of them, to (digit - 1) / 2."""
    if not 1 <= window <= MAXIMUM_WINDOW:
        raise ValueError(f"a window has 1 to {MAXIMUM_WINDOW} bits, not {window}")
    return {
        format(value, f"0{length}b")[::-1]: value // 2
        for length in range(1, window + 1)
        for value in range(1, 1 << length, 2)
    }


def _odd_gather(group: Group, buckets: Sequence[gmpy2.mpz | None]) -> gmpy2.mpz:
    """The product of buckets[i]^(2i + 1): the square of that of buckets[i]^i, times that of all of them."""
    running: gmpy2.mpz | None = None
    total: gmpy2.mpz | None = None
    multiply = group._multiply
    for place in range(len(buckets) - 1, 0, -1):
        held = buckets[place]
        if held is not None:
            running = held if running is None else multiply(running, held)
        if running is not None:
            total = running if total is None else multiply(total, running)
    lowest = buckets[0]
    if total is None:
        return gmpy2.mpz(1) if lowest is None else lowest
    result = multiply(multiply(total, total), running)
    return result if lowest is None else multiply(result, lowest)
