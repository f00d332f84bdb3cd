"""Tasks and results that travel between a training process and its worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from chaincode.api import Environment, Recipe

__all__ = [
    "AccuracyResult",
    "AccuracyTask",
    "Failure",
    "Result",
    "Task",
    "UpdateResult",
    "UpdateTask",
    "Worker",
]


@dataclass(frozen=True)
class UpdateTask:
    """Compute M_{i+1} (``training.local_update``)."""

    recipe: Recipe
    run: str
    number: int
    data: bytes
    parent: bytes
    aggregate: bytes
    features: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]


@dataclass(frozen=True)
class UpdateResult:
    """M_{i+1} and where it was computed."""

    snapshot: bytes
    environment: Environment


@dataclass(frozen=True)
class AccuracyTask:
    """How many of the examples a snapshot classifies rightly."""

    recipe: Recipe
    snapshot: bytes
    features: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]


@dataclass(frozen=True)
class AccuracyResult:
    """Fraction of 1."""

    accuracy: float


@dataclass(frozen=True)
class Failure:
    """A task that gave no result."""

    error: str
    """Class name: one of ``training.errors``, or ``WorkerFailed``."""
    message: str


Task: TypeAlias = UpdateTask | AccuracyTask
Result: TypeAlias = UpdateResult | AccuracyResult


class Worker(Protocol):
    """Computes tasks one at a time, away from the caller's process."""

    def update(self, task: UpdateTask) -> UpdateResult:
        """Compute a local update.

        Raises:
            SnapshotError: an input is no snapshot of the recipe's model, or training ran away.
            WorkerError: no result came.
        """
        ...

    def accuracy(self, task: AccuracyTask) -> float:
        """Measure a snapshot; errors as ``update``."""
        ...
