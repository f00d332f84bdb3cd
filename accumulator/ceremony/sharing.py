"""Shamir's shares and the multiplication of Ben-Or, Goldwasser and Wigderson, in Z_m.

m may be composite as long as it is prime to all differences of the points 1..k: then Lagrange's coefficients
exist. Values are `gmpy2.mpz` inside this package; they cross messages as fixed-width big-endian bytes.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import gmpy2

from accumulator._hashing import tagged_bytes

__all__ = ["lagrange", "pack", "polynomial_points", "uniform", "unpack"]

_DRAW_TAG = "edgeproof/ceremony/draw/v1"


def uniform(seed: bytes, label: str, modulus: int, count: int) -> list[Any]:
    """`count` values below `modulus`, drawn from a secret seed; each is uniform to 2^-128."""
    width = (modulus.bit_length() + 7) // 8 + 16
    raw = tagged_bytes(width * count, _DRAW_TAG, seed, label.encode())
    big = gmpy2.mpz(modulus)
    return [
        gmpy2.mpz(int.from_bytes(raw[start : start + width], "big")) % big
        for start in range(0, width * count, width)
    ]


def polynomial_points(constant: Any, coefficients: Sequence[Any], parties: int, modulus: int) -> list[Any]:
    """Values at 1..k of the polynomial with this constant term; the last coefficient is the highest."""
    points = []
    for x in range(1, parties + 1):
        value = gmpy2.mpz(0)
        for coefficient in reversed(coefficients):
            value = (value + coefficient) * x
        points.append((value + constant) % modulus)
    return points


@lru_cache(maxsize=64)
def lagrange(parties: int, modulus: int) -> tuple[Any, ...]:
    """Coefficients l_i with alpha(0) = sum of l_i · alpha(i) for every alpha of degree below k.

    Raises:
        ZeroDivisionError: the modulus shares a factor with a difference of points.
    """
    coefficients = []
    for i in range(1, parties + 1):
        top, bottom = gmpy2.mpz(1), gmpy2.mpz(1)
        for j in range(1, parties + 1):
            if j != i:
                top *= -j
                bottom *= i - j
        coefficients.append(top * gmpy2.invert(bottom, modulus) % modulus)
    return tuple(coefficients)


def pack(values: Sequence[Any], width: int) -> bytes:
    """Values as big-endian bytes of one width, one after the other."""
    return b"".join(int(value).to_bytes(width, "big") for value in values)


def unpack(raw: bytes, width: int) -> list[Any]:
    """The values of `pack`."""
    return [gmpy2.mpz(int.from_bytes(raw[at : at + width], "big")) for at in range(0, len(raw), width)]
