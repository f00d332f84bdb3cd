"""The central baseline and the in-memory federation: what the protected rounds are compared with.

Both run the very code that peers run, without a chain: the baseline trains one model on the union of the
data, as many epochs as the federation in total; the federation is the rounds' arithmetic alone. Comparing
accuracies at equal split, model and number of epochs shows what federating costs, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from chaincode.api import Recipe
from training.aggregation import WeightedInput, aggregate_snapshots
from training.datasets import DataSet
from training.errors import NothingToAggregate
from training.snapshots import initial_snapshot
from training.tasks import AccuracyTask, UpdateTask, Worker

__all__ = ["Course", "central", "federated", "union"]

Progress = Callable[[int], None]
"""Called after each round with its number."""


@dataclass(frozen=True)
class Course:
    """How training went."""

    snapshots: tuple[bytes, ...]
    """M_O of version 0 to the last round."""
    accuracies: tuple[float, ...]
    """Of each snapshot on the held-out split, fractions of 1."""


def union(parts: Sequence[DataSet]) -> DataSet:
    """All parts' examples in order, as one data set of no chain (its manifest is empty).

    Raises:
        NothingToAggregate: no part.
    """
    if not parts:
        raise NothingToAggregate("no data set")
    return DataSet(
        manifest=b"",
        features=np.concatenate([part.features for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        excluded=sum(part.excluded for part in parts),
    )


def central(
    recipe: Recipe,
    rounds: int,
    parts: Sequence[DataSet],
    held_out: DataSet,
    worker: Worker,
    progress: Progress = lambda _: None,
) -> Course:
    """Train on the union of ``parts``: as many epochs, the same model, the same initial weights."""
    return federated(recipe, rounds, [union(parts)], held_out, worker, progress, run="central")


def federated(
    recipe: Recipe,
    rounds: int,
    parts: Sequence[DataSet],
    held_out: DataSet,
    worker: Worker,
    progress: Progress = lambda _: None,
    *,
    run: str = "federated",
) -> Course:
    """Federated averaging over ``parts``, one an edge, without chains."""
    latest = initial_snapshot(recipe)
    previous = [latest] * len(parts)
    snapshots = [latest]
    accuracies = [_measure(recipe, latest, held_out, worker)]
    for number in range(1, rounds + 1):
        results = []
        for parent, part in zip(previous, parts, strict=True):
            task = UpdateTask(recipe, run, number, part.digest, parent, latest, part.features, part.labels)
            results.append(worker.update(task).snapshot)
        previous = results
        inputs = [WeightedInput(result, part.examples) for result, part in zip(results, parts, strict=True)]
        latest = aggregate_snapshots(recipe, inputs)
        snapshots.append(latest)
        accuracies.append(_measure(recipe, latest, held_out, worker))
        progress(number)
    return Course(tuple(snapshots), tuple(accuracies))


def _measure(recipe: Recipe, snapshot: bytes, held_out: DataSet, worker: Worker) -> float:
    return worker.accuracy(AccuracyTask(recipe, snapshot, held_out.features, held_out.labels))
