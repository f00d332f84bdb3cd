"""Integer averaging: exact by construction, checked against rationals and against a float64 oracle."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.aggregation import (
    WeightedInput,
    aggregate_snapshots,
    divide_half_even,
    federated_average,
    from_fixed,
    to_fixed,
)
from training.errors import FixedPointOverflow, NothingToAggregate, SnapshotError, WrongShape
from training.models import initial_weights
from training.recipe import default_recipe
from training.snapshots import decode_snapshot, encode_snapshot, initial_snapshot

finite = st.floats(-100, 100, width=32)
counts = st.integers(0, 10_000)


def _weights(values):
    return {"w": np.asarray(values, dtype=np.float32)}


def _exact(columns, bits):
    """The specification in rationals: Python's round is half to even."""
    total = sum(n for _, n in columns)
    scaled = [(round(Fraction(float(w)) * 2**bits), n) for w, n in columns]
    mean = round(Fraction(sum(q * n for q, n in scaled), total))
    return np.float32(float(Fraction(mean, 2**bits)))


@given(
    st.lists(st.tuples(st.lists(finite, min_size=3, max_size=3), counts), min_size=1, max_size=6),
    st.integers(8, 30),
)
def test_it_is_the_exact_mean(inputs, bits):
    if sum(n for _, n in inputs) == 0:
        with pytest.raises(NothingToAggregate):
            federated_average([(_weights(v), n) for v, n in inputs], bits)
        return
    found = federated_average([(_weights(v), n) for v, n in inputs], bits)["w"]
    wanted = [_exact([(np.float32(v[i]), n) for v, n in inputs], bits) for i in range(3)]
    assert found.dtype == np.float32
    assert found.tolist() == [float(value) for value in wanted]


@given(
    st.lists(
        st.tuples(st.lists(finite, min_size=4, max_size=4), st.integers(1, 999)), min_size=1, max_size=6
    ),
    st.randoms(),
)
def test_order_does_not_matter(inputs, chance):
    shuffled = list(inputs)
    chance.shuffle(shuffled)
    first, second = (
        federated_average([(_weights(v), n) for v, n in order], 24) for order in (inputs, shuffled)
    )
    assert encode_snapshot(first) == encode_snapshot(second)


def test_against_a_float64_oracle():
    generator = np.random.default_rng(1)
    inputs = [(_weights(generator.normal(size=1000)), int(n)) for n in (480, 479, 478)]
    oracle = sum(w["w"].astype(np.float64) * n for w, n in inputs) / sum(n for _, n in inputs)
    found = federated_average(inputs, 24)["w"]
    # One rounding of 2^-25 before and one after the mean, then float32's own half step.
    assert float(np.abs(found - oracle).max()) <= 2**-24 + float(np.abs(oracle).max()) * 2**-24


def test_equal_inputs_give_themselves_back():
    # Weights that are multiples of 2^-24 with at most 24 bits: nothing is rounded anywhere.
    values = np.arange(-50, 50, dtype=np.float32) / np.float32(2**12)
    found = federated_average([(_weights(values), 3), (_weights(values), 5)], 24)["w"]
    assert found.tobytes() == values.tobytes()


@pytest.mark.parametrize(
    ("values", "wanted"),
    [((0, 1), 0), ((1, 2), 2), ((2, 3), 2), ((-1, 0), 0), ((-2, -1), -2), ((-3, -2), -2), ((1, 1), 1)],
)
def test_halves_go_to_even(values, wanted):
    step = np.float32(2.0**-8)
    inputs = [(_weights([value * step]), 1) for value in values]
    assert federated_average(inputs, 8)["w"][0] == np.float32(wanted) * step


@given(st.lists(st.integers(-(2**60), 2**60), min_size=1), st.integers(1, 2**61))
def test_division_on_int64_and_on_python_integers_agree(values, denominator):
    wanted = [round(Fraction(value, denominator)) for value in values]
    assert divide_half_even(np.asarray(values, dtype=np.int64), denominator).tolist() == wanted
    assert divide_half_even(np.asarray(values, dtype=object), denominator).tolist() == wanted


def test_sums_beyond_64_bits_are_exact():
    # 2^52 - 1 times 2^20 examples needs 72 bits.
    large = np.float32(2**22 - 1)
    inputs = [(_weights([large, -large]), 2**40), (_weights([large, -large]), 2**40)]
    assert federated_average(inputs, 30)["w"].tolist() == [large, -large]
    mixed = [(_weights([large]), 2**40 + 1), (_weights([0.5]), 2**40)]
    assert federated_average(mixed, 30)["w"][0] == _exact([(large, 2**40 + 1), (np.float32(0.5), 2**40)], 30)


@pytest.mark.parametrize("value", [2.0**23, -(2.0**23), 3e38, float("inf"), float("nan")])
def test_what_does_not_fit_is_refused(value):
    with pytest.raises(FixedPointOverflow):
        to_fixed(np.asarray([value], dtype=np.float32), 30)


def test_the_largest_that_fits():
    tensor = np.asarray([2**23 - 0.5, -(2**23) + 0.5], dtype=np.float32)
    assert from_fixed(to_fixed(tensor, 30), 30).tobytes() == tensor.tobytes()


@pytest.mark.parametrize("inputs", [[], [([1.0], 0)], [([1.0], -1), ([1.0], 5)]])
def test_nothing_to_aggregate(inputs):
    with pytest.raises(NothingToAggregate):
        federated_average([(_weights(v), n) for v, n in inputs], 24)


def test_inputs_of_different_models_are_refused():
    with pytest.raises(WrongShape):
        federated_average([(_weights([1.0]), 1), (_weights([1.0, 2.0]), 1)], 24)


def test_an_input_without_examples_has_no_say():
    alone = federated_average([(_weights([1.0]), 7)], 24)
    assert federated_average([(_weights([1.0]), 7), (_weights([99.0]), 0)], 24)["w"] == alone["w"]


def test_snapshots_in_snapshot_out():
    recipe = default_recipe("logistic")
    first, second = initial_snapshot(recipe), initial_snapshot(replace(recipe, seed=2))
    found = decode_snapshot(aggregate_snapshots(recipe, [WeightedInput(first, 1), WeightedInput(second, 1)]))
    one, two = initial_weights(recipe), initial_weights(replace(recipe, seed=2))
    for name, tensor in found.items():
        assert np.allclose(tensor, (one[name] + two[name]) / 2, atol=2**-24)
    with pytest.raises(SnapshotError):
        aggregate_snapshots(recipe, [WeightedInput(first, 1), WeightedInput(b"junk", 1)])
