"""What can go wrong while models are trained, recomputed and aggregated.

::

    TrainingError
    ├── InvalidRecipe           a recipe that this code does not know, or that contradicts itself
    ├── BadReading              a reading that is no example of the recipe's data set: left out
    ├── SnapshotError           saved weights
    │   ├── MalformedSnapshot       not the canonical safetensors bytes of finite float32 tensors
    │   └── WrongShape              tensors of another model than the recipe's
    ├── AggregationError
    │   ├── NothingToAggregate      no input, or no example behind any of them
    │   └── FixedPointOverflow      a weight beyond what the fixed point carries exactly
    ├── InputError              an input of a step or an aggregate
    │   ├── Withheld                the store does not give it out (a failure of whoever must keep it)
    │   ├── NotRecorded             it does not stand on this chain, or with another content digest
    │   ├── BadManifest             the list of records is malformed, repeats itself or picks and chooses
    │   └── UnprovenInput           another chain's part is not proved by an anchor held here
    ├── NotYet                  the chains have not come far enough; ask again later
    └── WorkerError             the process that computes
        ├── WorkerTimeout           it took too long and was killed
        ├── WorkerStopped           it was ended because this process stops
        └── WorkerFailed            it died, or raised
"""

from __future__ import annotations

__all__ = [
    "AggregationError",
    "BadManifest",
    "BadReading",
    "FixedPointOverflow",
    "InputError",
    "InvalidRecipe",
    "MalformedSnapshot",
    "NotRecorded",
    "NotYet",
    "NothingToAggregate",
    "SnapshotError",
    "TrainingError",
    "UnprovenInput",
    "Withheld",
    "WorkerError",
    "WorkerFailed",
    "WorkerStopped",
    "WorkerTimeout",
    "WrongShape",
]


class TrainingError(Exception):
    """Root of this room's errors."""


class InvalidRecipe(TrainingError):
    """A recipe that this code does not know, or that contradicts itself."""


class BadReading(TrainingError):
    """A reading's bytes are no example of the recipe's data set."""


class SnapshotError(TrainingError):
    """Saved weights that cannot be used."""


class MalformedSnapshot(SnapshotError):
    """Not the canonical safetensors bytes of finite float32 tensors."""


class WrongShape(SnapshotError):
    """Tensors of another model than the recipe's."""


class AggregationError(TrainingError):
    """An aggregate that cannot be formed."""


class NothingToAggregate(AggregationError):
    """No input, or no example behind any of them."""


class FixedPointOverflow(AggregationError):
    """A weight beyond what the fixed point carries exactly."""


class InputError(TrainingError):
    """An input of a step or of an aggregate is not what it must be."""


class Withheld(InputError):
    """The store does not give an input out: absent, or not the bytes of its address."""


class NotRecorded(InputError):
    """An input does not stand on the chain, or stands there with another content digest."""


class BadManifest(InputError):
    """The list of a data set's records is malformed, repeats itself, or picks and chooses."""


class UnprovenInput(InputError):
    """Another chain's transaction is not proved by an anchor held here, or is not what it must be."""


class NotYet(TrainingError):
    """The chains have not come far enough; the text says what is awaited."""


class WorkerError(TrainingError):
    """The process that computes did not give a result."""


class WorkerTimeout(WorkerError):
    """It took longer than allowed and was killed."""


class WorkerStopped(WorkerError):
    """It was ended because this process stops."""


class WorkerFailed(WorkerError):
    """It died, or the computation raised."""
