"""Models trained on recorded readings, each step recomputed and attested by peers (seed 003, section V.B).

Only worker processes load torch (``training.worker``, ``training.pool``): importing this package does not.
"""

from training.aggregation import WeightedInput, aggregate_snapshots
from training.central import Course, central, federated
from training.datasets import DataSet, decode_readings, digit_reading
from training.errors import TrainingError
from training.pool import ForkedWorker
from training.recipe import check_recipe, default_recipe
from training.snapshots import initial_snapshot, tree_hash
from training.tasks import AccuracyTask, UpdateTask, Worker

__all__ = [
    "AccuracyTask",
    "Course",
    "DataSet",
    "ForkedWorker",
    "TrainingError",
    "UpdateTask",
    "WeightedInput",
    "Worker",
    "aggregate_snapshots",
    "central",
    "check_recipe",
    "decode_readings",
    "default_recipe",
    "digit_reading",
    "federated",
    "initial_snapshot",
    "tree_hash",
]
