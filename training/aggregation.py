"""Federated averaging in integers: the same bytes on every machine, whoever recomputes it.

Every weight w becomes the integer q = round(w * 2^bits), half to even; the aggregate is

    Q = round(sum_k n_k q_k / sum_k n_k), half to even,

with n_k the examples behind input k (McMahan et al. 2017, algorithm 1; seeds 000, 003, 004), and the new
weight is Q * 2^-bits rounded to float32. All of it is exact: scaling by a power of two and ``rint`` are exact
in float64 for |q| < 2^53, the sum and the division are integer arithmetic, and the result does not depend on
the order of the inputs, as a floating-point sum would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from chaincode.api import Recipe
from training.errors import FixedPointOverflow, NothingToAggregate, WrongShape
from training.models import Weights
from training.snapshots import encode_snapshot, read_snapshot

__all__ = [
    "WeightedInput",
    "aggregate_snapshots",
    "divide_half_even",
    "federated_average",
    "from_fixed",
    "to_fixed",
]

Integers = npt.NDArray[np.int64]
_EXACT: Final = 2**53
_INT64: Final = 2**63 - 1


@dataclass(frozen=True)
class WeightedInput:
    """One local update that enters an aggregate."""

    snapshot: bytes
    examples: int
    """Its weight in the mean; 0 leaves it out."""


def to_fixed(tensor: npt.NDArray[np.float32], bits: int) -> Integers:
    """Round to multiples of 2^-bits, half to even.

    Raises:
        FixedPointOverflow: a weight is not finite, or its multiple does not fit in 53 bits.
    """
    if not bool(np.isfinite(tensor).all()):
        raise FixedPointOverflow("a weight is not finite")
    # float32 has 24 bits of mantissa and 2^bits is a power of two: this product is exact in float64.
    scaled = np.rint(np.ldexp(tensor.astype(np.float64), bits))
    if scaled.size and float(np.abs(scaled).max()) >= _EXACT:
        raise FixedPointOverflow(
            f"a weight of {float(np.abs(tensor).max()):g} is beyond {bits} fractional bits"
        )
    return scaled.astype(np.int64)


def from_fixed(values: Integers, bits: int) -> npt.NDArray[np.float32]:
    """Multiples of 2^-bits as float32, rounded once (half to even)."""
    return np.ldexp(values.astype(np.float64), -bits).astype(np.float32)


def divide_half_even(numerator: npt.NDArray[np.int64], denominator: int) -> npt.NDArray[np.int64]:
    """Integer division rounded to nearest, halves to even; works on int64 and on Python integers alike."""
    quotient = numerator // denominator
    remainder = numerator - quotient * denominator
    # remainder > denominator - remainder avoids doubling, which could overflow.
    rest = denominator - remainder
    up = (remainder > rest) | ((remainder == rest) & (quotient % 2 == 1))
    return np.asarray(quotient + up.astype(quotient.dtype))


def federated_average(inputs: Sequence[tuple[Weights, int]], bits: int) -> Weights:
    """The mean of the inputs' weights, each weighted by its examples.

    Args:
        inputs: weights and number of examples; the order does not matter.
        bits: fractional bits of the fixed point.

    Raises:
        NothingToAggregate: no input, a negative weight, or no example at all.
        FixedPointOverflow: see ``to_fixed``.
        WrongShape: the inputs are not of one model.
    """
    if any(examples < 0 for _, examples in inputs):
        raise NothingToAggregate("an input has a negative number of examples")
    used = [(weights, examples) for weights, examples in inputs if examples > 0]
    total = sum(examples for _, examples in used)
    if total == 0:
        raise NothingToAggregate("no input has an example behind it")
    first = used[0][0]
    for weights, _ in used:
        if {name: tensor.shape for name, tensor in weights.items()} != {n: t.shape for n, t in first.items()}:
            raise WrongShape("the inputs of an aggregate are of different models")
    return {
        name: from_fixed(_mean([(w[name], n) for w, n in used], total, bits), bits) for name in sorted(first)
    }


def aggregate_snapshots(recipe: Recipe, inputs: Sequence[WeightedInput]) -> bytes:
    """The aggregate of snapshots, as a snapshot.

    Raises:
        SnapshotError: an input is no snapshot of the recipe's model.
        AggregationError: see ``federated_average``.
    """
    pairs = [(read_snapshot(recipe, entry.snapshot), entry.examples) for entry in inputs]
    return encode_snapshot(federated_average(pairs, recipe.fixed_point_bits))


def _mean(tensors: Sequence[tuple[npt.NDArray[np.float32], int]], total: int, bits: int) -> Integers:
    fixed = [(to_fixed(tensor, bits), examples) for tensor, examples in tensors]
    largest = max((int(np.abs(values).max()) for values, _ in fixed if values.size), default=0)
    if largest * total > _INT64:
        # Python integers: slower, but the sum cannot overflow. The quotient is at most ``largest``.
        exact = sum(values.astype(object) * examples for values, examples in fixed)
        return divide_half_even(np.asarray(exact, dtype=object), total).astype(np.int64)
    summed = np.zeros_like(fixed[0][0])
    for values, examples in fixed:
        summed += values * np.int64(examples)
    return divide_half_even(summed, total)
