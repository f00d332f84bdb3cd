"""What federating costs: accuracy on scikit-learn's digits against central training."""

from __future__ import annotations

import pytest
from sklearn.datasets import load_digits

from training.central import central, federated, union
from training.datasets import DataSet, decode_readings, digit_reading
from training.errors import NothingToAggregate
from training.recipe import default_recipe

ROUNDS = 10
DEVICES = 30
EDGES = 3


@pytest.fixture(scope="module")
def split() -> tuple[list[DataSet], DataSet]:
    """A fifth held out; the rest dealt to 30 devices in turn, ten devices an edge."""
    images = load_digits()
    readings = [
        digit_reading([int(p) for p in pixels], int(label))
        for pixels, label in zip(images.data, images.target, strict=True)
    ]
    held_out, train = readings[::5], [reading for n, reading in enumerate(readings) if n % 5]
    edges = [[r for n, r in enumerate(train) if n % DEVICES // (DEVICES // EDGES) == e] for e in range(EDGES)]
    recipe = default_recipe()
    return [decode_readings(recipe, (), part) for part in edges], decode_readings(recipe, (), held_out)


@pytest.mark.parametrize("model", ["logistic", "mlp"])
def test_federated_is_within_two_hundredths_of_central(split, torch_worker, model):
    parts, held_out = split
    assert sum(part.examples for part in parts) + held_out.examples == 1797
    recipe = default_recipe(model)
    rounds = []
    together = federated(recipe, ROUNDS, parts, held_out, torch_worker, rounds.append)
    alone = central(recipe, ROUNDS, parts, held_out, torch_worker)
    assert rounds == list(range(1, ROUNDS + 1))
    assert len(together.snapshots) == len(together.accuracies) == ROUNDS + 1
    assert together.snapshots[0] == alone.snapshots[0]
    assert together.snapshots[-1] != alone.snapshots[-1]
    assert together.accuracies[0] < 0.3  # it is training that does it
    assert alone.accuracies[-1] > 0.93
    assert abs(together.accuracies[-1] - alone.accuracies[-1]) <= 0.02


def test_the_union_has_everybodys_examples(split):
    parts, _ = split
    assert union(parts).examples == sum(part.examples for part in parts)
    with pytest.raises(NothingToAggregate):
        union([])
