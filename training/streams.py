"""Deterministic numbers from a seed, the same on every machine and in every library version.

``numpy.random.Generator`` does not promise its distributions across versions and ``torch`` does not promise
its generators at all; a recomputation years later would differ for no fault of the trainer. SHAKE-256 of a
tagged seed has one output for ever.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from protocol.encodings import tagged_hash

__all__ = ["permutation", "uniform"]


def uniform(bound: float, count: int, tag: str, *fields: bytes | int | str) -> npt.NDArray[np.float32]:
    """Numbers uniform in [-bound, bound), 24 bits each.

    Args:
        bound: rounded to float32 first; each result is one correctly rounded product, so exact everywhere.
        count: how many.
        tag: versioned domain of the stream.
        fields: what the stream is for.

    Returns:
        shape: (count,).
    """
    raw = hashlib.shake_256(tagged_hash(tag, *fields)).digest(4 * count)
    steps = (np.frombuffer(raw, dtype=">u4") >> 8).astype(np.int64) - (1 << 23)
    # A 24-bit integer times 2^-23 is exact in float32; only the product with the bound rounds.
    return np.asarray((steps.astype(np.float32) * np.float32(2.0**-23)) * np.float32(bound), dtype=np.float32)


def permutation(count: int, tag: str, *fields: bytes | int | str) -> npt.NDArray[np.int64]:
    """A permutation of 0 to count - 1: the order of 64-bit keys, ties by position.

    Returns:
        shape: (count,).
    """
    raw = hashlib.shake_256(tagged_hash(tag, *fields)).digest(8 * count)
    return np.argsort(np.frombuffer(raw, dtype=">u8"), kind="stable").astype(np.int64)
